"""By which name to ask for a model.

Pure, except that it remembers which of two names a server took.
"""

from dataclasses import dataclass
from typing import Any

from ovhcloud_ai_endpoints._catalogue.models import PREFIX, is_ovhcloud, model
from ovhcloud_ai_endpoints._errors import NotFoundError, OVHCloudError
from ovhcloud_ai_endpoints._process import Table
from ovhcloud_ai_endpoints._wire import Body
from ovhcloud_ai_endpoints._wordings import says

# The name to begin with, by a server's URL and the name that was asked for; the other one is tried if it is refused.
_preferred: Table[tuple[str, str], str] = Table(1024)


@dataclass(frozen=True, slots=True)
class OtherName:
    """The name to send if a server does not know the first one: with the prefix, as proxies list models, or without."""

    base_url: str
    asked: str
    name: str

    def corrected(self, body: Body, error: OVHCloudError) -> dict[str, Any] | None:
        """The body with this name, if an error says that the model is unknown; the next request begins with it."""
        if not isinstance(error, NotFoundError) and not says(error.message, "unknown model"):
            return None
        _preferred.update((self.base_url, self.asked), lambda _: self.name)
        return {**body, "model": self.name}


def names_to_send(asked: str, base_url: str) -> tuple[str, OtherName | None]:
    """The name to send, and the one to try if it is refused: OVHcloud's own hosts take the id of the catalogue only."""
    bare = asked.removeprefix(PREFIX)
    if is_ovhcloud(base_url):
        facts = model(bare)
        return (facts.id if facts.is_known else bare), None
    if bare == asked:
        return asked, None
    first, second = (asked, bare) if _preferred.get((base_url, asked)) == asked else (bare, asked)
    return first, OtherName(base_url, asked, second)
