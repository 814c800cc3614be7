"""`ChatOVHCloud`: chat models of OVHcloud AI Endpoints for LlamaIndex."""

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing, closing
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, Unpack, cast

from llama_index.core.base.llms.generic_utils import prompt_to_messages
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # passed on from elsewhere
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import Model, PydanticProgramMode

from llama_index_ovhcloud._saved import Saved
from ovhcloud_ai_endpoints import _chat as chat_face
from ovhcloud_ai_endpoints import _http, _lazy
from ovhcloud_ai_endpoints._chat import ChatOptions

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

    from llama_index_ovhcloud import _messages, _results, _structured
    from llama_index_ovhcloud._arguments import ChatArguments, ChatModelName
else:
    _messages, _results, _structured = (
        _lazy.Module(f"llama_index_ovhcloud.{name}") for name in ("_messages", "_results", "_structured")
    )

PROMPT_SHARE = 1 / 8  # of the window, at least

dispatcher = get_dispatcher(__name__)
_Method = TypeVar("_Method")


class _Decorator(Protocol):
    def __call__(self, method: _Method, /) -> _Method: ...


# Core's decorators, whose own types would make Any of each method.
_reported_chat: _Decorator = llm_chat_callback()


def _reported_completion(method: _Method) -> _Method:
    arguments = signature(cast("Any", method))
    reported: Any = llm_completion_callback()(method)
    reported.__signature__ = arguments  # for help(); core's decorator hides it
    return cast("_Method", reported)


class ChatOVHCloud(Saved, ChatOptions, FunctionCallingLLM):
    """A chat model of OVHcloud AI Endpoints.

        from llama_index_ovhcloud import ChatOVHCloud

        llm = ChatOVHCloud(model="gpt-oss-120b")  # the key is in OVHCLOUD_API_KEY
        llm.complete("Hello").text

    Options that you leave out are not sent, and the service decides. Without a key, calls are anonymous, at 2 a minute
    for each model. Errors are those of `ovhcloud_ai_endpoints`.
    """

    _WITHOUT_MEANING: ClassVar[Mapping[str, str]] = {
        "audio_config": "no model here outputs audio",
        "modalities": "no model here outputs audio",
        "n": "a response of LlamaIndex has one answer",
        "strict": "the service enforces a schema as it is given",
        "streaming": "stream_chat and stream_complete stream",
        "profile": "to describe the model, set context_window and is_function_calling_model",
    }

    if TYPE_CHECKING:

        def __init__(self, model: ChatModelName | str = ..., **arguments: Unpack[ChatArguments]) -> None: ...

    @classmethod
    def class_name(cls) -> str:
        """The name under which it is serialised."""
        return "ChatOVHCloud"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex plans with: context window and tool support, from the catalogue or as set on this object."""
        facts = self._ovhcloud_model
        return LLMMetadata(
            context_window=facts.context_length or DEFAULT_CONTEXT_WINDOW,
            num_output=self._num_output(facts.context_length),
            is_chat_model=True,
            is_function_calling_model=facts.tool_calling,
            model_name=self.model,
        )

    def _num_output(self, window: int | None) -> int:
        """The tokens that core keeps free for the answer; some of the window is left for the prompt."""
        if self.max_tokens is None or window is None:
            return self.max_tokens or -1
        return min(self.max_tokens, window - int(window * PROMPT_SHARE))

    def to_payload(self) -> dict[str, Any]:
        """What instrumentation sees of this object; never a secret."""
        metadata = self.metadata.model_dump()
        return {"class_name": self.class_name(), **metadata, "model": self.model, "temperature": self.temperature}

    @_reported_chat
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The model's answer to a conversation."""
        return self._chat(messages, **kwargs)

    @_reported_chat
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The same as `chat`, to be awaited."""
        return await self._achat(messages, **kwargs)

    @_reported_chat
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Streams the answer: each response holds all of it so far, and the new text in `delta`.

        New reasoning is in `additional_kwargs["thinking_delta"]`, and `logprobs` are those of the new tokens. The last
        response has the `logprobs` of the whole answer, and its usage and finish reason in `raw`.
        """
        return self._stream_chat(messages, **kwargs)

    @_reported_chat
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """The same as `stream_chat`, to be awaited."""
        return self._astream_chat(messages, **kwargs)

    @_reported_completion
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The answer to a prompt, sent as a user message; `completion_to_prompt`, if set, formats it first."""
        return _results.completion_response(self._chat(self._asked(prompt, formatted=formatted), **kwargs))

    @_reported_completion
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The same as `complete`, to be awaited."""
        return _results.completion_response(await self._achat(self._asked(prompt, formatted=formatted), **kwargs))

    @_reported_completion
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Streams the answer to a prompt."""

        def responses() -> CompletionResponseGen:
            with closing(self._stream_chat(self._asked(prompt, formatted=formatted), **kwargs)) as chat:
                for response in chat:
                    yield _results.completion_response(response)

        return responses()

    @_reported_completion
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """The same as `stream_complete`, to be awaited."""

        async def responses() -> CompletionResponseAsyncGen:
            async with aclosing(self._astream_chat(self._asked(prompt, formatted=formatted), **kwargs)) as chat:
                async for response in chat:
                    yield _results.completion_response(response)

        return responses()

    def _asked(self, prompt: str, *, formatted: bool) -> list[ChatMessage]:
        """A prompt as a user message, formatted by `completion_to_prompt` if that is set."""
        if not formatted and self.completion_to_prompt:
            prompt = self.completion_to_prompt(prompt)
        return prompt_to_messages(prompt)

    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return _results.chat_response(_http.Client(self._ovhcloud_settings).send(self._request(messages, kwargs)))

    async def _achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return _results.chat_response(
            await _http.AsyncClient(self._ovhcloud_settings).send(self._request(messages, kwargs))
        )

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        request = self._request(messages, kwargs, stream=True)

        def responses() -> ChatResponseGen:
            with _http.Client(self._ovhcloud_settings).stream(request) as deltas:
                for delta in deltas:
                    yield _results.chat_response_chunk(deltas.so_far(), delta)
                yield _results.last_chat_response(deltas.result())

        return responses()

    def _astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        request = self._request(messages, kwargs, stream=True)

        async def responses() -> ChatResponseAsyncGen:
            async with _http.AsyncClient(self._ovhcloud_settings).stream(request) as deltas:
                async for delta in deltas:
                    yield _results.chat_response_chunk(deltas.so_far(), delta)
                yield _results.last_chat_response(deltas.result())

        return responses()

    def _request(
        self, messages: Sequence[ChatMessage], call: Mapping[str, Any], *, stream: bool = False
    ) -> "chat_face.ChatRequest":
        return self._ovhcloud_request(_messages.wire_messages(messages), call, stream=stream)

    def _prepare_chat_with_tools(
        self,
        tools: Sequence["BaseTool"],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The arguments for `chat`; `tool_choice` may be "auto", "none", "required" or a tool's name.

        Raises:
            TypeError: one of `tools` is not a tool of LlamaIndex.
        """
        messages = list(chat_history or [])
        if isinstance(user_msg, str):
            user_msg = ChatMessage(role=MessageRole.USER, content=user_msg)
        if user_msg is not None:
            messages.append(user_msg)
        choice = kwargs.pop("tool_choice", None) or ("required" if tool_required else None)
        wire = _messages.wire_tools(tools)
        parallel = None if allow_parallel_tool_calls else False
        return {"messages": messages, "tools": wire, "tool_choice": choice, "parallel_tool_calls": parallel, **kwargs}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The tool calls that the model asks for.

        Raises:
            ValueError: there are none, and `error_on_no_tool_call` is set.
        """
        selections = _results.tool_selections(response)
        if error_on_no_tool_call and not selections:
            raise ValueError(f"Expected at least one tool call; the model said: {response.message.content!r}")
        return selections

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """An object of a pydantic class, by the method that the model is known to do best.

        That is a JSON schema that the service enforces, or else a tool call. `pydantic_program_mode` overrides it: with
        "function" the model calls a tool, with "llm" the prompt only asks for JSON.

        Raises:
            ValueError: the answer is not such an object; the error has its text.
        """
        if (output := self._structured_output(output_cls)) is None:
            return cast("Model", super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args))
        _started(output_cls, prompt, prompt_args)
        messages = output.messages(self._prompted(prompt, prompt_args))
        return _ended(output.parse(self.chat(messages, **output.arguments(llm_kwargs))))

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """The same as `structured_predict`, to be awaited."""
        if (output := self._structured_output(output_cls)) is None:
            return cast("Model", await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args))
        _started(output_cls, prompt, prompt_args)
        messages = output.messages(self._prompted(prompt, prompt_args))
        return _ended(output.parse(await self.achat(messages, **output.arguments(llm_kwargs))))

    def _structured_stream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        if (output := self._structured_output(output_cls)) is None:
            yield from super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
            return
        messages = output.messages(self._prompted(prompt, prompt_args))
        with closing(self.stream_chat(messages, **output.arguments(llm_kwargs))) as responses:
            for response in responses:
                if (partial := output.parse_partial(response)) is not None:
                    yield partial
        yield output.parse(response)

    async def _structured_astream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        if (output := self._structured_output(output_cls)) is None:
            return await super()._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)

        async def objects() -> AsyncGenerator[Any, None]:
            messages = output.messages(self._prompted(prompt, prompt_args))
            async with aclosing(await self.astream_chat(messages, **output.arguments(llm_kwargs))) as responses:
                async for response in responses:
                    if (partial := output.parse_partial(response)) is not None:
                        yield partial
            yield output.parse(response)

        return objects()

    def _structured_output(self, output_cls: type[Model]) -> "_structured.StructuredOutput[Model] | None":
        """How to ask for an object; None if that is left to core."""
        match self.pydantic_program_mode:
            case PydanticProgramMode.DEFAULT:
                return _structured.StructuredOutput(output_cls, chat_face.best_method(self._ovhcloud_model))
            case PydanticProgramMode.FUNCTION:
                return _structured.StructuredOutput(output_cls, "function_calling")
            case PydanticProgramMode.LLM:
                return _structured.StructuredOutput(output_cls, "prompt")
            case _:
                return None

    def _prompted(self, prompt: PromptTemplate, prompt_args: Mapping[str, Any]) -> list[ChatMessage]:
        return self._extend_messages(prompt.format_messages(llm=self, **prompt_args))


def _started(output_cls: type[Model], prompt: PromptTemplate, prompt_args: dict[str, Any]) -> None:
    dispatcher.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args))


def _ended(found: Model) -> Model:
    dispatcher.event(LLMStructuredPredictEndEvent(output=found))
    return found
