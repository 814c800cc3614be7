"""Models as a new models.json, and as tables.

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
    header, *rows = _rows(models)
    rows = [[f"`{name}`", *cells] for name, *cells in rows]
    lines = [f"| {' | '.join(cells)} |" for cells in (header, *rows)]
    return "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]])


def aligned(models: Iterable[Model]) -> str:
    """The models as a table in plain text, for a terminal."""
    rows = _rows(models)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _rows(models: Iterable[Model]) -> list[list[str]]:
    rows = [[*COLUMNS, ""]]
    for model in models:
        cells = [
            model.id,
            model.kind,
            _number(model.context_length),
            _number(model.max_completion_tokens),
            _yes(model.tool_calling),
            _yes(model.structured_output),
            f"up to {model.max_images_per_request or 'any number'}" if model.image_inputs else "",
            ", ".join(model.reasoning_efforts),
            _number(model.dimensions),
            _prices(model),
            _remark(model),
        ]
        rows.append(cells)
    return rows


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _yes(value: bool) -> str:
    return "yes" if value else ""


def _prices(model: Model) -> str:
    directions = ["input"] if model.dimensions else ["input", "output"]  # a vector has no tokens
    prices = [model.usd_per_million_tokens.get(direction) for direction in directions]
    return ", ".join("?" if price is None else f"{price:g}" for price in prices) if any(prices) else ""


def _remark(model: Model) -> str:
    if not model.available:
        return "out of service"
    if model.status == "grace":
        when = f"retirement announced for {model.retires_on}" if model.retires_on else "about to be retired"
        return f"{when}; use `{model.replaced_by}`" if model.replaced_by else when
    return model.note
