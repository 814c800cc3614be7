"""Types for what goes over the wire: the parts of the API's JSON that we send and read.

No behaviour.
"""

from typing import Any, Literal, NotRequired, TypedDict


class TextPart(TypedDict):
    type: Literal["text"]
    text: str


class ImageURL(TypedDict):
    url: str  # a data URL; the service isn't known to fetch others
    detail: NotRequired[str]


class ImagePart(TypedDict):
    type: Literal["image_url"]
    image_url: ImageURL


class InputAudio(TypedDict):
    data: str
    format: str


class AudioPart(TypedDict):
    type: Literal["input_audio"]
    input_audio: InputAudio


Part = TextPart | ImagePart | AudioPart


class CalledFunction(TypedDict):
    name: str
    arguments: str  # a JSON object, as text


class WireToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: CalledFunction


class WireMessage(TypedDict):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[Part]
    name: NotRequired[str]
    tool_calls: NotRequired[list[WireToolCall]]
    tool_call_id: NotRequired[str]
    reasoning: NotRequired[str]  # the service reads it, and ignores the older name reasoning_content


class CompletionTokensDetails(TypedDict, total=False):
    reasoning_tokens: int | None


class PromptTokensDetails(TypedDict, total=False):
    cached_tokens: int | None


class Usage(TypedDict, total=False):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | None
    completion_tokens_details: CompletionTokensDetails | None


# Plain dicts, read key by key: unset fields are absent, and the service guarantees few of the fields that it sends.
Body = dict[str, Any]
Event = dict[str, Any]
