"""`list_models`: asks the service once which models it has today, and remembers the answer.

A driver: `reading` interprets the answers.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import SecretStr

from ovhcloud_ai_endpoints._catalogue import Model, bundled_models
from ovhcloud_ai_endpoints._http import (
    AsyncClient,
    Client,
    Content,
    Settings,
    Whole,
    checked_base_url,
    environment_base_url,
)
from ovhcloud_ai_endpoints._model_list.reading import described, merged
from ovhcloud_ai_endpoints._process import Table

CATALOGUE_URL = "https://catalog.endpoints.ai.ovh.net/rest/v1"
LARGEST_LIST = 4 * 1024 * 1024  # bytes; the service's lists have less than 100 KB

_lists: Table[tuple[str, SecretStr], list[Model]] = Table(32)


@dataclass(frozen=True)
class _Listing:
    """Requests a list of models of the service or its catalogue; gives its JSON, and the day of the answer."""

    path: str
    method: ClassVar[str] = "GET"
    model: ClassVar[str | None] = None
    may_repeat: ClassVar[bool] = True
    largest: ClassVar[int] = LARGEST_LIST

    def content(self) -> Content:
        return Content()

    def read(self, whole: Whole) -> tuple[Any, str | None]:
        return whole.json(), whole.day


LISTED, DESCRIBED = _Listing("/models"), _Listing("/models_v2")


def list_models(
    *, base_url: str | None = None, api_key: str = "", refresh: bool = False, offline: bool = False
) -> list[Model]:
    """The models that the service lists, with the known facts about each.

    The first call asks `GET /v1/models`, which needs no key; later calls return the same list.

    Args:
        base_url: the service's base URL; by default OVHCLOUD_API_BASE, else OVHcloud's own.
        api_key: for other servers whose list needs a key.
        refresh: ask again, and also ask the catalogue behind OVHcloud's web site, which knows what new models can do;
            nothing else in this package contacts a host other than `base_url`.
        offline: send no request, and return the bundled catalogue, with its date in `prices_as_of`.

    Raises:
        OVHCloudError: the service can't be reached, or does not answer with a list of models.
        ValueError: `base_url` is not an http(s) URL.
    """
    if offline:
        return bundled_models()
    settings = _settings(base_url, api_key)
    key = (settings.base_url, SecretStr(api_key))
    found = None if refresh else _lists.get(key)
    if found is None:
        known = bundled_models()
        if refresh:
            catalogue, _ = Client(_settings(CATALOGUE_URL, "")).send(DESCRIBED)
            known = described(known, catalogue)
        listed, day = Client(settings).send(LISTED)
        found = _kept(key, merged(known, listed, date=day))
    return list(found)


async def alist_models(
    *, base_url: str | None = None, api_key: str = "", refresh: bool = False, offline: bool = False
) -> list[Model]:
    """The same as `list_models`, to be awaited."""
    if offline:
        return bundled_models()
    settings = _settings(base_url, api_key)
    key = (settings.base_url, SecretStr(api_key))
    found = None if refresh else _lists.get(key)
    if found is None:
        known = bundled_models()
        if refresh:
            catalogue, _ = await AsyncClient(_settings(CATALOGUE_URL, "")).send(DESCRIBED)
            known = described(known, catalogue)
        listed, day = await AsyncClient(settings).send(LISTED)
        found = _kept(key, merged(known, listed, date=day))
    return list(found)


def _kept(key: tuple[str, SecretStr], models: list[Model]) -> list[Model]:
    return _lists.update(key, lambda _: models)


def _settings(base_url: str | None, api_key: str) -> Settings:
    url = checked_base_url(environment_base_url() if base_url is None else base_url)
    return Settings(api_key=SecretStr(api_key), base_url=url)
