"""What is known of each model, from the dated catalogue in `models.json`.

Pure, and no cage: any name is allowed, an unknown one gets facts that promise nothing.
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import urlsplit

Kind = Literal["chat", "guard", "embedding", "speech-to-text", "image", "unknown"]
Status = Literal["live", "grace", "retired", "unknown"]

OVHCLOUD_DOMAIN = "ai.cloud.ovh.net"
PREFIX = "ovhcloud/"  # how LiteLLM and others write the provider before a model


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is known of one model.

    Attributes:
        id: the name that the API takes.
        kind: what it is for; "unknown" if it isn't in the catalogue.
        context_length: tokens of the whole window, prompt and answer.
        max_completion_tokens: tokens of the longest answer.
        usd_per_million_tokens: price by direction, "input" and "output", as `GET /v1/models` had it.
        reasoning_efforts: what `reasoning_effort` may be; empty if it can't be chosen.
        dimensions: width of its embeddings.
        max_batch_size: texts in one embedding request.
        status: "grace" is still served but about to go.
    """

    id: str
    kind: Kind = "unknown"
    status: Status = "unknown"
    aliases: tuple[str, ...] = ()
    context_length: int | None = None
    max_completion_tokens: int | None = None
    usd_per_million_tokens: Mapping[str, float] = field(default_factory=dict, hash=False)
    tool_calling: bool = False
    structured_output: bool = False
    image_inputs: bool = False
    max_images_per_request: int | None = None
    reasoning: bool = False
    reasoning_efforts: tuple[str, ...] = ()
    dimensions: int | None = None
    min_dimensions: int | None = None
    max_batch_size: int | None = None
    note: str = ""

    @property
    def is_known(self) -> bool:
        return self.kind != "unknown"


def list_models() -> list[Model]:
    """All models of the bundled catalogue that the service is known to serve."""
    return list(_catalogue().values())


def model(name: str) -> Model:
    """What is known of a model, by its id or an alias, in any casing.

    A name that isn't in the catalogue gives a `Model` with that id, `is_known` False and no capabilities.
    """
    return _index().get(name.removeprefix(PREFIX).lower()) or Model(id=name)


def nearest_names(name: str) -> list[str]:
    """The ids that are most like this name."""
    ids = {found.id.lower(): found.id for found in list_models()}
    near = difflib.get_close_matches(name.removeprefix(PREFIX).lower(), ids, n=3, cutoff=0.0)
    return [ids[lower] for lower in near]


def wire_name(name: str, base_url: str) -> str:
    """The name to send: on OVHcloud's own hosts the id of the catalogue, elsewhere the name as it is."""
    host = urlsplit(base_url).hostname or ""
    if host != OVHCLOUD_DOMAIN and not host.endswith("." + OVHCLOUD_DOMAIN):
        return name
    name = name.removeprefix(PREFIX)
    return model(name).id


def is_retired(name: str) -> bool:
    """Whether the service once had this model."""
    return name.removeprefix(PREFIX).lower() in {retired.lower() for retired in _document()["retired"]}


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(files(__package__).joinpath("models.json").read_text("utf-8"))
    return document


@cache
def _catalogue() -> dict[str, Model]:
    entries: list[dict[str, Any]] = _document()["models"]
    return {
        entry["id"]: Model(
            **{
                **entry,
                "aliases": tuple(entry.get("aliases", ())),
                "reasoning_efforts": tuple(entry.get("reasoning_efforts", ())),
            }
        )
        for entry in entries
    }


@cache
def _index() -> dict[str, Model]:
    return {name.lower(): found for found in _catalogue().values() for name in (*found.aliases, found.id)}
