"""Facts about each model, from the dated catalogue in `models.json`.

Pure. It restricts nothing: any name is allowed, and an unknown one gets a `Model` without capabilities.
"""

import difflib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import urlsplit

Kind = Literal["chat", "guard", "embedding", "speech-to-text", "text-to-speech", "image", "unknown"]
Status = Literal["live", "grace", "retired", "unknown"]
SIMILAR = 0.7  # similarity of two names, from 0 to 1
OVHCLOUD_DOMAIN = "ai.cloud.ovh.net"
# "2 MB" and, for models that see images, "10 MB" in OVHcloud's capabilities guide, taken as MiB (a guess), so that we
# refuse nothing that the service takes.
LARGEST_REQUEST = 2 * 1024 * 1024
LARGEST_WITH_IMAGES = 10 * 1024 * 1024
PREFIX = "ovhcloud/"  # how LiteLLM and others write the provider before a model

# How names of each family begin, after any publisher; virtual names such as mistral@latest begin so too.
FAMILIES = {
    "mistral": ("mistral", "mixtral", "ministral", "magistral", "devstral", "codestral"),
    "llama": ("llama", "meta-llama"),
    "qwen": ("qwen", "qwq"),
}


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is known of one model.

    Attributes:
        id: the name that the API takes.
        kind: what it is for; "unknown" if it isn't in the catalogue.
        context_length: tokens of the whole window, prompt and answer.
        max_completion_tokens: tokens of the longest answer.
        usd_per_million_tokens: price in US dollars by direction, "input" and "output", from `GET /v1/models`.
        prices_as_of: the day of that price, as YYYY-MM-DD.
        reasoning_efforts: the values that `reasoning_effort` may have; empty if it can't be chosen.
        dimensions: width of its embeddings.
        max_batch_size: texts in one embedding request.
        status: "grace" means still served, but about to be retired.
        announced_on: the day on which its retirement was announced, as YYYY-MM-DD.
        retires_on: the day on which it is to be retired; it may be served for longer.
        available: False if the catalogue lists it as out of service.
        requests_per_minute: what a key may ask of it; None if only the usual limit of 400 is known.
        anonymous_requests_per_minute: the same without a key; usually 2.
        replaced_by: what to use instead of a model in grace or retired; our advice, not the service's.
        system_first: whether a system message must be the first one.
    """

    id: str
    kind: Kind = "unknown"
    status: Status = "unknown"
    aliases: tuple[str, ...] = ()
    context_length: int | None = None
    max_completion_tokens: int | None = None
    usd_per_million_tokens: Mapping[str, float] = field(default_factory=dict, hash=False)
    prices_as_of: str | None = None
    tool_calling: bool = False
    structured_output: bool = False
    image_inputs: bool = False
    max_images_per_request: int | None = None
    reasoning: bool = False
    reasoning_efforts: tuple[str, ...] = ()
    dimensions: int | None = None
    min_dimensions: int | None = None
    max_batch_size: int | None = None
    announced_on: str | None = None
    retires_on: str | None = None
    available: bool = True
    requests_per_minute: int | None = None
    anonymous_requests_per_minute: int | None = None
    replaced_by: str | None = None
    system_first: bool = False
    note: str = ""

    @property
    def is_known(self) -> bool:
        return self.kind != "unknown"

    @property
    def is_virtual(self) -> bool:
        """Whether the service chooses the model behind the name, as it does for `mistral@latest`."""
        return "@" in self.id

    @cached_property
    def family(self) -> str:
        """Its family by its name, where that matters to templates: "mistral", "llama", "qwen" or an empty text."""
        name = self.id.lower().rpartition("/")[2]
        return next((family for family, beginnings in FAMILIES.items() if name.startswith(beginnings)), "")

    @property
    def largest_request(self) -> int | None:
        """Bytes that a request may have; None if the model is unknown."""
        if not self.is_known:
            return None
        return LARGEST_WITH_IMAGES if self.image_inputs else LARGEST_REQUEST

    def cost(self, *, input_tokens: int = 0, output_tokens: int = 0) -> float:
        """The cost of so many tokens in US dollars, at the prices of `prices_as_of`.

        Raises:
            ValueError: the price is not known.
        """
        total = 0.0
        for direction, tokens in (("input", input_tokens), ("output", output_tokens)):
            if tokens and direction not in self.usd_per_million_tokens:
                raise ValueError(
                    f"The price of {self.id} for {direction} tokens is not known; get it from list_models()"
                )
            total += tokens * self.usd_per_million_tokens.get(direction, 0.0) / 1_000_000
        return total


def bundled_models() -> list[Model]:
    """All models of the bundled catalogue: those that the service was known to serve on its date."""
    return list(_catalogue().values())


def catalogue_date() -> str:
    """The day of the bundled catalogue, as YYYY-MM-DD."""
    return str(_DOCUMENT["as_of"])


def model(name: str) -> Model:
    """Looks up a model in the bundled catalogue, by id or alias in any casing; sends no request.

    A name that isn't in the catalogue gives a `Model` with that id, `is_known` False and no capabilities. So does a
    virtual name such as `mistral@latest?context_size>100000`, since the service decides what it means.
    """
    return _index().get(name.removeprefix(PREFIX).lower()) or Model(id=name)


def alternatives(name: str, kind: Kind = "chat") -> str:
    """Models of a kind to use instead of an unknown one, as a clause: those with similar names, or current ones."""
    ids = {found.id.lower(): found.id for found in bundled_models() if found.kind == kind}
    near = [ids[lower] for lower in difflib.get_close_matches(name.removeprefix(PREFIX).lower(), ids, cutoff=SIMILAR)]
    if near:
        return f"the nearest names are {', '.join(near)}"
    current = [found.id for found in bundled_models() if found.kind == kind and found.status == "live"]
    return f"current models include {', '.join(current[:2])}" if current else "this service has no other of its kind"


def ids_of(kind: Kind) -> list[str]:
    """The ids of the models of a kind."""
    return [found.id for found in bundled_models() if found.kind == kind]


def names_of(fact: str) -> list[str]:
    """The ids of the live chat models of which a fact, such as "image_inputs", is true."""
    models = (found for found in bundled_models() if found.kind == "chat" and found.status == "live")
    return [found.id for found in models if getattr(found, fact)]


@lru_cache(maxsize=64)
def is_ovhcloud(base_url: str) -> bool:
    """Whether this is one of OVHcloud's own hosts."""
    host = urlsplit(base_url).hostname or ""
    return host == OVHCLOUD_DOMAIN or host.endswith("." + OVHCLOUD_DOMAIN)


def retirement(name: str) -> str:
    """What is known of a model that was retired, as a sentence without its end; empty if it was not."""
    facts = _retired().get(name.removeprefix(PREFIX).lower())
    if facts is None:
        return ""
    date, instead = facts.get("retired_on"), facts.get("replaced_by")
    when = f"was retired on {date}" if date else "has been retired"
    return f"The model {name!r} {when}{use_instead(instead)}"


def use_instead(name: str | None) -> str:
    """The clause that names a replacement; empty if there is none."""
    return f"; use {name}, for example" if name else ""


def retired_models(*, served: Collection[str]) -> dict[str, dict[str, str]]:
    """Models known to be retired, and bundled ones that are no longer `served`: their day, and what to use instead."""
    gone = {found.id: {"replaced_by": found.replaced_by, "retired_on": found.retires_on} for found in bundled_models()}
    return {
        name: {fact: value for fact, value in facts.items() if value}
        for name, facts in {**_DOCUMENT["retired"], **gone}.items()
        if name not in served
    }


def read_models(entries: Iterable[Mapping[str, Any]]) -> list[Model]:
    """Models from entries as `models.json` has them."""
    tuples = ("aliases", "reasoning_efforts")
    return [Model(**{**entry, **{name: tuple(entry.get(name, ())) for name in tuples}}) for entry in entries]


# Read on import, since the first use may be on an event loop, which must not wait for a file.
_DOCUMENT: dict[str, Any] = json.loads(files(__package__).joinpath("models.json").read_text("utf-8"))


@cache
def _catalogue() -> dict[str, Model]:
    date = catalogue_date()
    entries: list[dict[str, Any]] = _DOCUMENT["models"]
    dated = ({"prices_as_of": date, **entry} if entry.get("usd_per_million_tokens") else entry for entry in entries)
    return {found.id: found for found in read_models(dated)}


@cache
def _retired() -> dict[str, dict[str, str]]:
    return {name.lower(): facts for name, facts in _DOCUMENT["retired"].items()}


@cache
def _index() -> dict[str, Model]:
    return {name.lower(): found for found in _catalogue().values() for name in (*found.aliases, found.id)}
