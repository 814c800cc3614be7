"""The parts of a message: texts, images and sounds in the API's form.

Pure.
"""

from collections.abc import Sequence
from typing import Literal

from ovhcloud_ai_endpoints._wire import Part

Role = Literal["system", "user", "assistant", "tool"]
AUDIO_FORMATS = {"mpeg": "mp3", "wave": "wav", "vnd.wave": "wav"}


def content_of(parts: Sequence[Part], role: Role) -> str | list[Part]:
    """The content of a message: if all parts are text, a string, which every template accepts.

    An assistant's parts are pieces of one text and are joined directly; those of other roles, with line breaks.
    """
    texts = [part["text"] for part in parts if part["type"] == "text"]
    separator = "" if role == "assistant" else "\n"
    return separator.join(texts) if len(texts) == len(parts) else list(parts)


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
