"""`list_models`: the models that the service has today. Asks it once, and then remembers.

A driver: what the answers mean is `_listing`'s to say.
"""

from pydantic import SecretStr

from ovhcloud_ai_endpoints._listing import described, merged
from ovhcloud_ai_endpoints._models import Model, bundled_models
from ovhcloud_ai_endpoints._settings import Settings, checked_base_url, environment_base_url
from ovhcloud_ai_endpoints._transport import AsyncClient, Client

PATH = "/models"
CATALOGUE_URL = "https://catalog.endpoints.ai.ovh.net/rest/v1"
CATALOGUE_PATH = "/models_v2"

_lists: dict[tuple[str, SecretStr], list[Model]] = {}


def list_models(
    *, base_url: str | None = None, api_key: str = "", refresh: bool = False, offline: bool = False
) -> list[Model]:
    """The models that the service lists, with what is known of each.

    The first call asks `GET /v1/models`, which takes no key; later ones give the same list.

    Args:
        base_url: of the service, else OVHCLOUD_API_BASE, else OVHcloud's own.
        api_key: for other servers that ask for one here.
        refresh: ask again, and also the catalogue behind OVHcloud's web site, which knows what new models can do; the
            only thing in this package that contacts another host than `base_url`.
        offline: ask nobody: the bundled catalogue, with its date in `prices_as_of`.

    Raises:
        OVHCloudError: the service can't be reached, or answers with something else.
    """
    if offline:
        return bundled_models()
    settings = _settings(base_url, api_key)
    key = (settings.base_url, SecretStr(api_key))
    if refresh or key not in _lists:
        known = bundled_models()
        if refresh:
            known = described(known, Client(_settings(CATALOGUE_URL, "")).get(CATALOGUE_PATH)[0])
        listed, date = Client(settings).get(PATH)
        _lists[key] = merged(known, listed, date=date)
    return list(_lists[key])


async def alist_models(
    *, base_url: str | None = None, api_key: str = "", refresh: bool = False, offline: bool = False
) -> list[Model]:
    """The same as `list_models`, to be awaited."""
    if offline:
        return bundled_models()
    settings = _settings(base_url, api_key)
    key = (settings.base_url, SecretStr(api_key))
    if refresh or key not in _lists:
        known = bundled_models()
        if refresh:
            known = described(known, (await AsyncClient(_settings(CATALOGUE_URL, "")).get(CATALOGUE_PATH))[0])
        listed, date = await AsyncClient(settings).get(PATH)
        _lists[key] = merged(known, listed, date=date)
    return list(_lists[key])


def _settings(base_url: str | None, api_key: str) -> Settings:
    url = checked_base_url(environment_base_url() if base_url is None else base_url)
    return Settings(api_key=SecretStr(api_key), base_url=url)
