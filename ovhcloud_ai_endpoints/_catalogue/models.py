"""What is known of each model, from the dated catalogue in `models.json`.

Pure, and no cage: any name is allowed, an unknown one gets facts that promise nothing.
"""

import difflib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import urlsplit

Kind = Literal["chat", "guard", "embedding", "speech-to-text", "text-to-speech", "image", "unknown"]
Status = Literal["live", "grace", "retired", "unknown"]
OVHCLOUD_DOMAIN = "ai.cloud.ovh.net"
PREFIX = "ovhcloud/"  # how LiteLLM and others write the provider before a model

# How the names of families begin, or go on behind a publisher's; virtual names such as mistral@latest begin so too.
FAMILIES = {
    "mistral": ("mistral", "mixtral", "ministral", "magistral", "devstral", "codestral"),
    "llama": ("llama", "meta-llama"),
}


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is known of one model.

    Attributes:
        id: the name that the API takes.
        kind: what it is for; "unknown" if it isn't in the catalogue.
        context_length: tokens of the whole window, prompt and answer.
        max_completion_tokens: tokens of the longest answer.
        usd_per_million_tokens: price by direction, "input" and "output", in US dollars, as `GET /v1/models` had it.
        prices_as_of: the day on which that was its price, as YYYY-MM-DD.
        reasoning_efforts: what `reasoning_effort` may be; empty if it can't be chosen.
        dimensions: width of its embeddings.
        max_batch_size: texts in one embedding request.
        status: "grace" is still served but about to go.
        replaced_by: what to use instead, for a model that goes or has gone; our advice, not the service's.
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
    replaced_by: str | None = None
    system_first: bool = False
    note: str = ""

    @property
    def is_known(self) -> bool:
        return self.kind != "unknown"

    @property
    def is_virtual(self) -> bool:
        """Whether the name leaves it to the service which model is meant, as mistral@latest does."""
        return "@" in self.id

    @property
    def family(self) -> str:
        """What its name says of its kin, where that matters to templates: "mistral", "llama" or nothing."""
        name = self.id.lower().rpartition("/")[2]
        return next((family for family, beginnings in FAMILIES.items() if name.startswith(beginnings)), "")

    def cost(self, *, input_tokens: int = 0, output_tokens: int = 0) -> float:
        """What so many tokens cost, in US dollars, at the price of `prices_as_of`.

        Raises:
            ValueError: the price is not known.
        """
        total = 0.0
        for direction, tokens in (("input", input_tokens), ("output", output_tokens)):
            if tokens and direction not in self.usd_per_million_tokens:
                raise ValueError(
                    f"The price of {self.id} for {direction} tokens is not known; list_models() asks for it"
                )
            total += tokens * self.usd_per_million_tokens.get(direction, 0.0) / 1_000_000
        return total


def bundled_models() -> list[Model]:
    """All models of the bundled catalogue that the service was known to serve on its date."""
    return list(_catalogue().values())


def catalogue_date() -> str:
    """The day of the bundled catalogue, as YYYY-MM-DD."""
    return str(_DOCUMENT["as_of"])


def model(name: str) -> Model:
    """What is known of a model, by its id or an alias, in any casing; nobody is asked.

    A name that isn't in the catalogue gives a `Model` with that id, `is_known` False and no capabilities. So does a
    virtual name such as "mistral@latest?context_size>100000", since the service decides what it means.
    """
    return _index().get(name.removeprefix(PREFIX).lower()) or Model(id=name)


def nearest_names(name: str) -> list[str]:
    """The ids that are most like this name."""
    ids = {found.id.lower(): found.id for found in bundled_models()}
    near = difflib.get_close_matches(name.removeprefix(PREFIX).lower(), ids, n=3, cutoff=0.0)
    return [ids[lower] for lower in near]


def ids_of(kind: Kind) -> list[str]:
    """The ids of the models of a kind."""
    return [found.id for found in bundled_models() if found.kind == kind]


def names_of(fact: str) -> list[str]:
    """The ids of the chat models of which a fact is true, such as "image_inputs", and which are to stay."""
    models = (found for found in bundled_models() if found.kind == "chat" and found.status == "live")
    return [found.id for found in models if getattr(found, fact)]


def is_ovhcloud(base_url: str) -> bool:
    """Whether this is one of OVHcloud's own hosts."""
    host = urlsplit(base_url).hostname or ""
    return host == OVHCLOUD_DOMAIN or host.endswith("." + OVHCLOUD_DOMAIN)


def name_to_send(name: str, base_url: str) -> str:
    """The name to send: on OVHcloud's own hosts the id of the catalogue, elsewhere the name as it is."""
    if not is_ovhcloud(base_url):
        return name
    name = name.removeprefix(PREFIX)
    return model(name).id


def is_retired(name: str) -> bool:
    """Whether the service is known to have had this model once."""
    return name.removeprefix(PREFIX).lower() in _retired()


def replacement(name: str) -> str | None:
    """What to use instead of a model that the service once had, if anything is known."""
    return _retired().get(name.removeprefix(PREFIX).lower())


def retired_models(*, served: Collection[str]) -> dict[str, str | None]:
    """Models that the service no longer has, with what to use instead: those known as such, and those not `served`."""
    gone = {found.id: found.replaced_by for found in bundled_models()}
    return {name: instead for name, instead in {**_DOCUMENT["retired"], **gone}.items() if name not in served}


def read_models(entries: Iterable[Mapping[str, Any]]) -> list[Model]:
    """Models from entries as `models.json` has them."""
    tuples = ("aliases", "reasoning_efforts")
    return [Model(**{**entry, **{name: tuple(entry.get(name, ())) for name in tuples}}) for entry in entries]


# Read with the module, since who first asks may be on an event loop, which must not wait for a file.
_DOCUMENT: dict[str, Any] = json.loads(files(__package__).joinpath("models.json").read_text("utf-8"))


@cache
def _catalogue() -> dict[str, Model]:
    date = catalogue_date()
    entries: list[dict[str, Any]] = _DOCUMENT["models"]
    dated = ({"prices_as_of": date, **entry} if entry.get("usd_per_million_tokens") else entry for entry in entries)
    return {found.id: found for found in read_models(dated)}


@cache
def _retired() -> dict[str, str | None]:
    return {name.lower(): instead for name, instead in _DOCUMENT["retired"].items()}


@cache
def _index() -> dict[str, Model]:
    return {name.lower(): found for found in _catalogue().values() for name in (*found.aliases, found.id)}
