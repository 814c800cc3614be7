"""Checks what the gateway in front of the models accepts, in the gateway's own order.

Pure: a request and the time in, a refusal or None out.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import ValidationError

from ovhcloud_ai_endpoints._catalogue import Model, bundled_models
from ovhcloud_ai_endpoints._catalogue.models import LARGEST_REQUEST, LARGEST_WITH_IMAGES
from ovhcloud_ai_endpoints.testing import _guesses
from ovhcloud_ai_endpoints.testing._grammars import refused_by_grammar
from ovhcloud_ai_endpoints.testing._requests import Request
from ovhcloud_ai_endpoints.testing._schemas import (
    AudioPart,
    Chat,
    Embeddings,
    ImagePart,
    NamedChoice,
    ResponseFormat,
)
from ovhcloud_ai_endpoints.testing._templates import refused_by_template

LARGEST_FILE = 200_000_000  # bytes of a batch file
FORM_BYTES = 1_000  # around it
EFFORTS = ("none", "high", "medium", "low", "minimal")  # the gateway's own list, in its own order


@dataclass(frozen=True)
class Refusal:
    """An answer other than 200."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Check(Protocol):
    """What the gateway, or the model behind it, refuses of a request; None if nothing."""

    def __call__(self, request: Request, *, is_strict: bool) -> Refusal | None: ...


class Accepted(Protocol):
    """What the gateway has to know of an endpoint.

    Attributes:
        check: None for what needs no key and counts against no limit.
    """

    @property
    def method(self) -> str: ...
    @property
    def check(self) -> Check | None: ...


@dataclass
class Gateway:
    """One gateway with its keys and its counters.

    Attributes:
        accepts: what it accepts, by path.
        is_strict: whether unknown top-level fields are refused, as the service does and other servers do not.
    """

    api_keys: frozenset[str]
    requests_per_minute: int
    anonymous_requests_per_minute: int
    accepts: "Mapping[str, Accepted]"
    is_strict: bool = True
    _counts: dict[tuple[str, str, int], int] = field(default_factory=dict)

    def admit(self, request: Request, now: float) -> tuple[Refusal | None, dict[str, str]]:
        """A refusal, or None, and the headers of the rate limit; `now` in seconds of a monotonic clock."""
        accepted = self.accepts.get(request.path.partition("?")[0])
        if accepted is None or accepted.method != request.method:
            return _json(404, _guesses.NOT_FOUND_BODY), {}
        if len(request.body) > _largest(request):
            return _json(413, _guesses.TOO_LARGE_BODY), {}
        if accepted.check is None:
            return None, {}  # needs no key, and ignores a wrong one
        if request.api_key is not None and request.api_key not in self.api_keys:
            return _json(403, {"message": FORBIDDEN}), {}
        refusal, headers = self._count(request, now)
        return refusal or accepted.check(request, is_strict=self.is_strict), headers

    def admit_to_batches(self, request: Request) -> Refusal | None:
        """A refusal of a request about files or batches, which are never anonymous; or None."""
        if len(request.body) > LARGEST_FILE + FORM_BYTES:
            return _json(413, _guesses.TOO_LARGE_BODY)
        return None if request.api_key in self.api_keys else _json(403, {"message": FORBIDDEN})

    def check(self, request: Request) -> Refusal | None:
        """What is refused of a line of a batch, which counts against no limit; None if nothing."""
        accepted = self.accepts.get(request.path)
        if accepted is None or accepted.check is None:
            return _json(404, _guesses.NOT_FOUND_BODY)
        if len(request.body) > _largest(request):
            return _json(413, _guesses.TOO_LARGE_BODY)
        return accepted.check(request, is_strict=self.is_strict)

    def _count(self, request: Request, now: float) -> tuple[Refusal | None, dict[str, str]]:
        limit = self.anonymous_requests_per_minute if request.api_key is None else self.requests_per_minute
        body = _json_of(request)
        model = str(body.get("model")) if isinstance(body, dict) else ""
        window = (request.api_key or "", model, int(now // 60))
        used = self._counts[window] = self._counts.get(window, 0) + 1
        reset = str(60 - int(now % 60))
        headers = {
            "x-ratelimit-limit-minute": str(limit),
            "x-ratelimit-remaining-minute": str(max(0, limit - used)),
            _guesses.RESET_HEADER: reset,
        }
        if used <= limit:
            return None, headers
        if _guesses.RETRY_AFTER_ON_429:
            headers["Retry-After"] = reset
        return _json(429, {"message": "API rate limit exceeded", "request_id": f"{used:032x}"}), headers


FORBIDDEN = (  # as captured on 2026-10-06, with its double space
    "Forbidden: authentication failed.  Please generate a new one at "
    "https://kepler.ai.cloud.ovh.net/v1/oauth/ovh/authorize?iam_action=publicCloudProject:ai:endpoints/call"
)


def served(name: str) -> Model | None:
    """The model with this name or alias; case matters."""
    return next((model for model in bundled_models() if name in {model.id, *model.aliases}), None)


def _largest(request: Request) -> int:
    """Bytes that a request may have: more for models that see images, and for names that the service interprets."""
    if len(request.body) <= LARGEST_REQUEST:
        return LARGEST_REQUEST
    body = _json_of(request)
    name = body.get("model") if isinstance(body, dict) else None
    found = served(name) if isinstance(name, str) else None
    return LARGEST_REQUEST if found is not None and not found.image_inputs else LARGEST_WITH_IMAGES


def _json_of(request: Request) -> Any:
    """The body as JSON; what it is not, no schema accepts. Half a surrogate pair is no text, so that is none either."""
    try:
        found = json.loads(request.body)
        if rb"\ud" in request.body.lower():
            json.dumps(found, ensure_ascii=False).encode()
    except ValueError as error:
        return error
    return found


def check_chat(request: Request, *, is_strict: bool) -> Refusal | None:
    try:
        chat = Chat.model_validate(_json_of(request))
    except ValidationError as error:
        return _unprocessable(error)
    if is_strict and chat.model_extra:
        return _unknown(chat.model_extra)
    problem = _refused_feature(chat)
    if problem:
        return _json(400, {"message": problem})
    model = served(chat.model)
    if model is None or model.kind not in {"chat", "guard"}:
        return _json(404, {"message": _guesses.MODEL_NOT_FOUND.format(chat.model)})
    problem = _refused_by_model(chat, model)
    return _json(400, {"error": {"message": problem, "type": "BadRequestError", "code": 400}}) if problem else None


def _refused_feature(chat: Chat) -> str | None:
    if chat.parallel_tool_calls is False:
        return "feature 'parallel_tool_calls=false' is not currently supported"
    if (chat.top_logprobs or 0) > 1:
        return "feature 'top_logprobs > 1' is not currently supported"
    if chat.max_tokens is not None and chat.max_completion_tokens is not None:
        return "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
    if chat.stream_options is not None and not chat.stream:
        return "Stream options can only be defined when `stream=True`"
    if chat.tools == [] and _guesses.EMPTY_TOOLS_REFUSED:
        return "`tools` must not be an empty array"
    if chat.tool_choice not in (None, "none") and not chat.tools:
        return "When using `tool_choice`, `tools` must be set."
    if chat.top_logprobs and not chat.logprobs:
        return "when using `top_logprobs`, `logprobs` must be set to true."
    if (chat.n or 1) > 1 and chat.temperature == 0 and _guesses.SEVERAL_GREEDY_ANSWERS_REFUSED:
        return f"n must be 1 when using greedy sampling, got {chat.n}."
    return _refused_format(chat.response_format)


def _refused_format(format_: ResponseFormat | None) -> str | None:
    if format_ is None or format_.type != "json_schema":
        return None
    if format_.json_schema is None:
        return "When response_format type is 'json_schema', the 'json_schema' field must be provided."
    return refused_by_grammar(format_.json_schema.schema_) if _guesses.GRAMMAR_LIMITS else None


def _refused_by_model(chat: Chat, model: Model) -> str | None:
    effort = chat.reasoning_effort
    if effort and effort not in model.reasoning_efforts:
        supported = ", ".join(model.reasoning_efforts) or "none, since it does not reason"
        return f"Unexpected reasoning effort {effort}. Supported types are {supported}."
    if chat.tools and not model.tool_calling:
        return f"{model.id} does not support tools"
    names = {tool.function.name for tool in chat.tools or []}
    if isinstance(chat.tool_choice, NamedChoice) and chat.tool_choice.function.name not in names:
        return f"tool_choice names {chat.tool_choice.function.name}, which is not among the tools"
    if chat.response_format and chat.response_format.type != "text" and not model.structured_output:
        return f"{model.id} does not support response_format"
    if problem := refused_by_template(chat, model):
        return problem
    for message in chat.messages:
        for call in message.tool_calls or []:
            if not _is_object(call.function.arguments):
                return f"the arguments of {call.function.name} are not a JSON object"
    return _refused_images(chat, model) or _overflow(chat, model)


def _refused_images(chat: Chat, model: Model) -> str | None:
    parts = [part for message in chat.messages for part in message.parts]
    images = [part for part in parts if isinstance(part, ImagePart)]
    if images and not model.image_inputs:
        return f"{model.id} is not a multimodal model"
    if len(images) > (model.max_images_per_request or 0):
        return f"At most {model.max_images_per_request} image(s) may be provided in one prompt."
    for image in images:
        head, _, data = image.image_url.url.partition(",")
        if not head.startswith("data:"):
            return "remote images are not fetched; send a data URL" if _guesses.REMOTE_IMAGES_REFUSED else None
        try:
            base64.b64decode(data, validate=True)
        except binascii.Error:
            return "the image is not base64"
    return "audio is not supported" if any(isinstance(part, AudioPart) for part in parts) else None


def _overflow(chat: Chat, model: Model) -> str | None:
    window = model.context_length or 0
    most = chat.max_tokens or chat.max_completion_tokens or 0
    if most > window:
        return f"max_tokens={most} cannot be greater than max_model_len={window}. Please request fewer output tokens."
    room = window - prompt_tokens([message.model_dump(exclude_none=True) for message in chat.messages])
    if room < 1:
        return f"max_tokens must be at least 1, got {room}. (parameter=max_tokens, value={room})"
    return None


def check_embeddings(request: Request, *, is_strict: bool) -> Refusal | None:
    try:
        asked = Embeddings.model_validate(_json_of(request))
    except ValidationError as error:
        return _unprocessable(error)
    if is_strict and asked.model_extra:
        return _unknown(asked.model_extra)
    model = served(asked.model)
    if model is None or model.kind != "embedding":
        return _json(404, {"message": _guesses.MODEL_NOT_FOUND.format(asked.model)})
    count = 1 if isinstance(asked.input, str) else len(asked.input)
    if not 1 <= count <= (model.max_batch_size or 1):
        message = f"batch size {count} > maximum allowed batch size {model.max_batch_size}"
        return _json(_guesses.TOO_MANY_INPUTS_STATUS, {"error": {"message": message}})
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    if "" in texts and _guesses.EMPTY_TEXT_REFUSED:
        return _json(400, {"error": {"message": "input cannot be an empty string"}})
    window, longest = model.context_length or 0, max(map(tokens, texts))
    if longest > window and _guesses.OVERLONG_TEXT_REFUSED:
        said = f"your prompt contains at least {window + 1} input tokens, which exceeds this limit"
        message = f"This model's maximum context length is {window} tokens. However, {said}."
        return _json(400, {"error": {"message": message}})
    if asked.dimensions is not None:
        low = model.min_dimensions
        if low is None and _guesses.DIMENSIONS_REFUSED_WHERE_FIXED:
            return _json(400, {"error": {"message": f"{model.id} does not support dimensions"}})
        if low is not None and not low <= asked.dimensions <= (model.dimensions or 0):
            return _json(400, {"error": {"message": f"dimensions must be from {low} to {model.dimensions}"}})
    return None


def prompt_tokens(messages: list[dict[str, Any]]) -> int:
    """An estimate: four characters to a token, 4 tokens more for each message, and 256 for each image."""
    total = 0
    for message in messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
        total += 4 + sum(256 if part["type"] != "text" else tokens(part["text"]) for part in parts)
        total += tokens(message.get("reasoning") or "")
        total += sum(tokens(call["function"]["arguments"]) for call in message.get("tool_calls") or [])
    return total


def tokens(text: str) -> int:
    return -(-len(text) // 4)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _json(status: int, body: Mapping[str, Any]) -> Refusal:
    return Refusal(status, json.dumps(body).encode())


def _unknown(extra: Mapping[str, Any]) -> Refusal:
    said = json.dumps(extra, separators=(",", ":"))
    return _json(400, {"message": f"feature 'extra arguments: {said}' is not currently supported"})


def _unprocessable(error: ValidationError) -> Refusal:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    said = problem["msg"]
    if problem["loc"][:1] == ("reasoning_effort",):
        wanted = ", ".join(f"`{effort}`" for effort in EFFORTS)
        said = f"unknown variant `{problem['input']}`, expected one of {wanted}"
    text = f"Failed to deserialize the JSON body into the target type: {place}: {said}"
    return Refusal(422, text.encode(), "text/plain; charset=utf-8")
