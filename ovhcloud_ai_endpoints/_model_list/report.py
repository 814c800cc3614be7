"""Models as a new models.json, and as a table.

Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ovhcloud_ai_endpoints._catalogue import Model

COLUMNS = (
    "model",
    "kind",
    "context",
    "longest answer",
    "tools",
    "objects",
    "images",
    "reasoning effort",
    "vectors",
    "$ per million tokens in, out",
)


def document(models: Iterable[Model], retired: Mapping[str, Mapping[str, str]], *, date: str) -> dict[str, Any]:
    """Models as `models.json` has them."""
    empty = asdict(Model(id=""))
    entries = []
    for model in models:
        facts = asdict(model)
        if facts["prices_as_of"] == date:
            facts.pop("prices_as_of")
        entries.append({name: value for name, value in facts.items() if value != empty[name]})
    source = "GET /v1/models and the catalogue's models_v2, over what was known before"
    return {"as_of": date, "source": source, "models": entries, "retired": dict(retired)}


def table(models: Iterable[Model]) -> str:
    """The models as a table in Markdown."""
    lines = [
        f"| {' | '.join(COLUMNS)} | |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    for model in models:
        prices = [model.usd_per_million_tokens.get(direction) for direction in ("input", "output")]
        cells = [
            f"`{model.id}`",
            model.kind,
            _number(model.context_length),
            _number(model.max_completion_tokens),
            _yes(model.tool_calling),
            _yes(model.structured_output),
            f"up to {model.max_images_per_request or 'any number'}" if model.image_inputs else "",
            ", ".join(model.reasoning_efforts),
            _number(model.dimensions),
            ", ".join("?" if price is None else f"{price:g}" for price in prices) if any(prices) else "",
            _remark(model),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _yes(value: bool) -> str:
    return "yes" if value else ""


def _remark(model: Model) -> str:
    if not model.available:
        return "out of service"
    if model.status == "grace":
        when = f"retirement announced for {model.retires_on}" if model.retires_on else "about to be retired"
        return f"{when}; use `{model.replaced_by}`" if model.replaced_by else when
    return model.note
