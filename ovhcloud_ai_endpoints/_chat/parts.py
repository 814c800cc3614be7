"""The parts of a message: texts, images and sounds in the API's form, and notes in place of what can't be sent.

Pure.
"""

import base64
import json
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from ovhcloud_ai_endpoints._wire import Part

Role = Literal["system", "user", "assistant", "tool"]
TEXTUAL = ("json", "xml", "yaml", "toml", "javascript", "csv")  # endings of MIME types of text that isn't text/*
BOMS = {BOM_UTF8: "utf-8-sig", BOM_UTF16_LE: "utf-16", BOM_UTF16_BE: "utf-16"}
LONGEST_FACT = 500  # characters of a URI or a name in a note
MEDIA = frozenset(
    {
        "audio",
        "document",
        "file",
        "image",
        "image_url",
        "input_audio",
        "input_file",
        "input_image",
        "media",
        "resource",
        "resource_link",
        "text-plain",
        "video",
    }
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{255,}={0,2}")  # a text this long without a space is no text

# The keys under which blocks of LangChain, MCP and the providers hold the facts for a note.
KINDS_OF_MEDIA = ("mime_type", "mimeType", "media_type")
PLACES = ("url", "uri", "file_id", "file_uri")
NAMES = ("filename", "title", "name")
CONTENTS = ("base64", "data", "blob", "bytes", "file_data")

AUDIO_FORMATS = {"mpeg": "mp3", "wave": "wav", "vnd.wave": "wav"}


def content_of(parts: Sequence[Part], role: Role) -> str | list[Part]:
    """The content of a message: if all parts are text, a string, which every template accepts.

    An assistant's parts are pieces of one text and are joined directly; those of other roles, with line breaks.
    """
    texts = [part["text"] for part in parts if part["type"] == "text"]
    separator = "" if role == "assistant" else "\n"
    return separator.join(texts) if len(texts) == len(parts) else list(parts)


def as_parts(content: str | list[Part]) -> list[Part]:
    return [text_part(content)] if isinstance(content, str) else content


def image_part(*, url: str, detail: str | None = None) -> Part:
    """An image by its URL, usually a data URL: the service is not known to fetch any other."""
    return {"type": "image_url", "image_url": {"url": url, "detail": detail} if detail else {"url": url}}


def audio_part(*, data: str, mime_type: str) -> Part:
    """A sound as base64."""
    kind = mime_type.partition("/")[2].partition(";")[0].removeprefix("x-")
    return {"type": "input_audio", "input_audio": {"data": data, "format": AUDIO_FORMATS.get(kind, kind)}}


def data_url(data: str, mime_type: str) -> str:
    """A data URL for data that is already base64."""
    return f"data:{mime_type};base64,{data}"


def text_part(text: str) -> Part:
    return {"type": "text", "text": text}


def is_text(mime_type: str) -> bool:
    """Whether files of this MIME type are text."""
    kind = mime_type.partition(";")[0].strip().lower()
    return kind.startswith("text/") or kind.endswith(TEXTUAL)


def from_base64(text: str) -> bytes:
    """The bytes that base64 encodes, with or without line breaks.

    Raises:
        ValueError: it is not base64.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise ValueError("is not base64") from error


def decoded(raw: bytes, *, is_known_text: bool = True) -> str:
    """The text of a file: UTF-8 or UTF-16, or else Windows-1252, which text editors and spreadsheets still write.

    Args:
        is_known_text: whether the file is said to be text; if not, only UTF-8 and byte order marks prove that it is.

    Raises:
        ValueError: it is none of these.
    """
    marked = next((encoding for mark, encoding in BOMS.items() if raw.startswith(mark)), None)
    encodings = [marked or "utf-8"]
    if is_known_text and not marked:
        # Latin letters in UTF-16 without a mark have a zero in every second byte.
        encodings += [
            name for name, high in (("utf-16-le", 1), ("utf-16-be", 0)) if raw[high::2].count(0) > len(raw) // 4
        ]
        encodings.append("cp1252")
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise ValueError("is not text in UTF-8, UTF-16 or Windows-1252; convert it to UTF-8")


def note(kind: str, *facts: str, size: int = 0) -> str:
    """A note in place of content that the model can't read.

    Args:
        facts: what is known of it, such as its MIME type and URI; empty ones are left out.
        size: in bytes.
    """
    known = ", ".join(fact for fact in (*facts, f"{size:,} bytes" if size else "") if fact)
    return f"[{shortened(kind)}{f' ({known})' if known else ''}: can't be shown to the model]"


def note_on(block: Mapping[str, Any]) -> str:
    """What to send for a block that can't be sent as it is: a note on a medium; of other kinds, all that is text.

    A medium is known by its kind; its note has MIME type, place, names and size.
    """
    kind = str(block.get("type") or next(iter(block), "block"))
    if kind not in MEDIA:
        return _as_json(block) or note(kind)
    found = dict(_leaves(block))
    facts = [
        next((shortened(found[name]) for name in names if isinstance(found.get(name), str)), "")
        for names in (KINDS_OF_MEDIA, PLACES, NAMES, ("description",))
    ]
    content = next((found[name] for name in CONTENTS if isinstance(found.get(name), str | bytes)), "")
    facts = [fact for fact in facts if not fact.startswith("data:")]
    return note(kind, *facts, size=len(content) if isinstance(content, bytes) else size_of(content))


def _as_json(block: Mapping[str, Any]) -> str:
    """A block as JSON, with notes in place of bytes; empty if it can't be written so."""
    try:
        return json.dumps(_without_bytes(block), ensure_ascii=False, default=str)
    except (ValueError, RecursionError, TypeError):  # circular, too deep, or with keys that aren't text
        return ""


def _without_bytes(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_bytes(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_bytes(inner) for inner in value]
    if isinstance(value, bytes):
        return note("bytes", size=len(value))
    if isinstance(value, str) and (value.startswith("data:") or _BASE64.fullmatch(value)):
        return note("base64", size=size_of(value.rpartition(",")[2]))
    return value


def size_of(encoded: str) -> int:
    """How many bytes base64 encodes."""
    return len(encoded.rstrip("=")) * 3 // 4


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST_FACT else f"{text[:LONGEST_FACT]}… ({len(text):,} characters)"


def _leaves(block: Mapping[str, Any], depth: int = 2) -> Iterator[tuple[str, Any]]:
    """The entries of a block and of the objects in it, outer ones last, so that they count."""
    for value in block.values():
        if isinstance(value, Mapping) and depth:
            yield from _leaves(value, depth - 1)
    yield from block.items()
