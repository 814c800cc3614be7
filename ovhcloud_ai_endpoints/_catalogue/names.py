"""By which name to ask for a model."""

from dataclasses import dataclass

from ovhcloud_ai_endpoints._catalogue.models import PREFIX, is_ovhcloud, model
from ovhcloud_ai_endpoints._errors import NotFoundError, OVHCloudError
from ovhcloud_ai_endpoints._process import Table
from ovhcloud_ai_endpoints._wordings import says

_listed: Table[tuple[str, str], bool] = Table(1024)  # names that a server lists with the prefix, by its URL


def name_to_send(name: str, base_url: str) -> str:
    """The name to send: the id of the catalogue on OVHcloud's own hosts, elsewhere the name without a prefix.

    Proxies may list a model with the prefix; `ListedName` is for these.
    """
    if is_ovhcloud(base_url):
        return model(name).id if model(name).is_known else name.removeprefix(PREFIX)
    return name if _listed.get((base_url, name)) else name.removeprefix(PREFIX)


@dataclass(frozen=True)
class ListedName:
    """A name with its prefix, to be sent if the server does not know the one without."""

    name: str
    base_url: str

    def is_meant(self, error: OVHCloudError) -> bool:
        """Whether an error says that the name without the prefix is unknown; the server is then asked by this one."""
        is_unknown = isinstance(error, NotFoundError) or says(error.message, "unknown model")
        return is_unknown and _listed.setdefault((self.base_url, self.name), lambda: True)


def listed_name(name: str, base_url: str) -> ListedName | None:
    """The name to send after a refusal; None if there is no other."""
    return ListedName(name, base_url) if name_to_send(name, base_url) != name and not is_ovhcloud(base_url) else None
