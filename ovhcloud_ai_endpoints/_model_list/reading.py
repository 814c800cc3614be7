"""Reads what the service says about its models: `GET /v1/models`, and the catalogue behind its web site.

Pure. The first has exact windows and prices, but no capabilities; the second has capabilities, but also traps: its `id`
is that of a page, the model is `name`; a date may be the text "None" or a day that doesn't exist; any key may be
missing (OVHcloud's catalogue guide of 2026-07-29, and the catalogue of 2026-08-03).
"""

import math
import re
from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ovhcloud_ai_endpoints._catalogue import Kind, Model
from ovhcloud_ai_endpoints._errors import InvalidResponseError

KINDS: Mapping[str, Kind] = {
    "Large Language Models (LLM)": "chat",
    "Visual LLM": "chat",
    "Reasoning LLM": "chat",
    "Code LLM": "chat",
    "LLM Guard": "guard",
    "Embeddings": "embedding",
    "Image Generation": "image",
    "Speech To Text": "speech-to-text",
    "Text To Speech": "text-to-speech",
}


def merged(known: Iterable[Model], listed: Any, *, date: str | None = None) -> list[Model]:
    """The models that the service lists, merged with what was known about them.

    Args:
        listed: the body of `GET /v1/models`.
        date: the day on which it was asked, as YYYY-MM-DD.

    Raises:
        InvalidResponseError: it is not a list of models.
    """
    entries = listed.get("data") if isinstance(listed, Mapping) else None
    if not isinstance(entries, list):
        raise InvalidResponseError("The answer to GET /models is not a list of models")
    by_id = {model.id: model for model in known}
    found = []
    for entry in entries:
        id_ = entry.get("id") if isinstance(entry, Mapping) else None
        if not isinstance(id_, str) or not id_:
            continue
        model = by_id.get(id_) or Model(id=id_, kind=_kind_of_listed(entry), status="live")
        found.append(replace(model, **_facts_of_listed(entry, model, date)))
    return found


def described(known: Iterable[Model], catalogue: Any) -> list[Model]:
    """The known models, updated from the catalogue, and those that only the catalogue has.

    Args:
        catalogue: the array of the catalogue's `models_v2`.

    Raises:
        InvalidResponseError: it is no array.
    """
    if not isinstance(catalogue, Sequence) or isinstance(catalogue, str):
        raise InvalidResponseError("The answer of the catalogue is not an array")
    by_id = {model.id: model for model in known}
    for entry in catalogue:
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if isinstance(name, str) and name:
            before = by_id.get(name) or Model(id=name, status="live")
            by_id[name] = replace(before, **_facts_of_described(entry, before))
    return list(by_id.values())


def _facts_of_listed(entry: Mapping[str, Any], before: Model, date: str | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "context_length": _positive(entry.get("context_length")),
        "max_completion_tokens": _positive(entry.get("max_completion_tokens")),
    }
    pricing = entry.get("pricing")
    if isinstance(pricing, Mapping) and pricing.get("currency_unit", "USD") == "USD":
        prices = {
            direction: price
            for direction, name in (("input", "prompt"), ("output", "completion"))
            if (price := _price(pricing.get(name))) is not None
        }
        if any(prices.values()):  # models priced in another unit than tokens are listed as free
            facts |= {"usd_per_million_tokens": {**before.usd_per_million_tokens, **prices}, "prices_as_of": date}
    return {name: value for name, value in facts.items() if value is not None or name == "prices_as_of"}


def _kind_of_listed(entry: Mapping[str, Any]) -> Kind:
    """The likely kind: chat if it has a longest answer, embedding if it has only a window."""
    if not _positive(entry.get("context_length")):
        return "unknown"
    return "chat" if _positive(entry.get("max_completion_tokens")) else "embedding"


def _facts_of_described(entry: Mapping[str, Any], before: Model) -> dict[str, Any]:
    metadata = _mapping(entry, "metadata")
    specs = _mapping(metadata, "model_specs")
    capabilities = _mapping(specs, "capabilities")
    params = _mapping(_mapping(specs, "model_parameters"), "params")
    limits = _mapping(_mapping(metadata, "usage_information"), "rate_limit")
    formats, inputs = _texts(capabilities, "response_format"), _texts(capabilities, "input_modality")
    facts: dict[str, Any] = {
        "kind": KINDS.get(str(entry.get("category"))),
        "aliases": tuple(dict.fromkeys([*before.aliases, *_texts(metadata, "aliases")])) or None,
        "tool_calling": _boolean(capabilities.get("function_calling")),
        "structured_output": "json_schema" in formats if formats else None,
        "image_inputs": "image" in inputs if inputs else None,
        "reasoning": _boolean(capabilities.get("reasoning")),
        "max_images_per_request": _positive(params.get("max_images_per_prompt")),
        "dimensions": _positive(params.get("output_dimension")),
        "min_dimensions": _positive(params.get("output_dimension_min")),
        "max_batch_size": _positive(params.get("max_batch_size")),
        "context_length": before.context_length or _thousands(params.get("context_size_k")),
        "available": _boolean(entry.get("available")),
        "requests_per_minute": _per_minute(limits.get("rate_limit_api")),
        "anonymous_requests_per_minute": _per_minute(limits.get("rate_limit_api_anonymous")),
    }
    if date := _date(_mapping(metadata, "publishing_information").get("model_eol_date")):
        facts |= {"status": "grace", "retires_on": date}
    return {name: value for name, value in facts.items() if value is not None}


def _mapping(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object, or an empty one where it is missing or, as `params` may be, an empty list."""
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


def _texts(value: Mapping[str, Any], name: str) -> list[str]:
    found = value.get(name)
    return [text for text in found if isinstance(text, str) and text] if isinstance(found, list) else []


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _positive(value: Any) -> int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 1 <= value < math.inf else None


def _per_minute(limits: Any) -> int | None:
    """The limit that counts requests per minute, of those that a model has."""
    for limit in limits if isinstance(limits, list) else ():
        if isinstance(limit, Mapping) and limit.get("rate_limit_unit") == "req/m":
            return _positive(limit.get("rate_limit_value"))
    return None


def _thousands(value: Any) -> int | None:
    """A number given in thousands; only approximate, since the catalogue has 131 for 131,072."""
    found = _positive(value)
    return None if found is None else found * 1000


def _price(value: Any) -> float | None:
    """Dollars per million tokens, from dollars per token as a decimal text, which may be blank."""
    if not isinstance(value, str):
        return None
    try:
        found = float(value) * 1_000_000
    except ValueError:
        return None
    return round(found, 6) if math.isfinite(found) and found >= 0 else None


def _date(value: Any) -> str | None:
    """A date written DD/MM/YYYY, as YYYY-MM-DD; None for "None" and for the 31st of June."""
    found = re.fullmatch(r"(\d\d)/(\d\d)/(\d{4})", str(value))
    if not found:
        return None
    day, month, year = map(int, found.groups())
    is_day = 1 <= month <= 12 and year > 0 and 1 <= day <= monthrange(year, month)[1]
    return f"{year:04}-{month:02}-{day:02}" if is_day else None
