"""`ChatOVHCloud`: chat models of OVHcloud AI Endpoints for LangChain."""

import operator
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from inspect import signature
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack, get_args, overload

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.output_parsers import BaseOutputParser
from langchain_core.outputs import ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.prompt_values import ChatPromptValue, PromptValue
from langchain_core.runnables import (
    ConfigurableField,
    Runnable,
    RunnableMap,
    RunnablePassthrough,
)
from langchain_core.runnables.utils import AnyConfigurableField
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import Field, model_validator

from ovhcloud_ai_endpoints import Model, Timeouts, __version__, _catalogue, _chat, _http, _lazy
from ovhcloud_ai_endpoints import model as model_facts
from ovhcloud_ai_endpoints._chat import ChatOptions

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from langchain_ovhcloud import _configurable, _errors, _messages, _results, _structured
    from langchain_ovhcloud._arguments import ChatArguments, ChatModelName
else:
    _configurable, _errors, _messages, _results, _structured = (
        _lazy.Module(f"langchain_ovhcloud.{name}")
        for name in ("_configurable", "_errors", "_messages", "_results", "_structured")
    )

_Object = TypeVar("_Object")
StructuredOutputMethod = Literal["json_schema", "function_calling", "json_mode"]


class ChatOVHCloud(ChatOptions, BaseChatModel):
    """A chat model of OVHcloud AI Endpoints.

        from langchain_ovhcloud import ChatOVHCloud

        model = ChatOVHCloud(model="gpt-oss-120b")  # the key is in OVHCLOUD_API_KEY
        model.invoke("Hello").text

    Options that you leave out are not sent, and the service decides. Without a key, calls are anonymous, at 2 a minute
    for each model. Errors are those of `ovhcloud_ai_endpoints`, and also instances of the matching classes in
    `langchain_core.exceptions`.
    """

    streaming: bool = Field(default=False, description="Whether `invoke` streams, too.")
    n: int | None = Field(default=None, ge=1, description="Number of answers to a prompt; not in streams.")

    if TYPE_CHECKING:

        def __init__(self, model: ChatModelName | str = ..., **arguments: Unpack[ChatArguments]) -> None: ...

    @model_validator(mode="after")
    def _set_ovhcloud_version(self) -> "ChatOVHCloud":
        self._add_version("ovhcloud-ai-endpoints", __version__)
        self._ovhcloud_changed()
        return self

    @property
    def model_name(self) -> str:
        """The same as `model`, under the name that other classes use."""
        return self.model

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self._ovhcloud_changed()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed."""
        copy = super().model_copy(update=update, deep=deep)
        copy._ovhcloud_changed()  # noqa: SLF001 - its own kind
        return copy

    def _ovhcloud_changed(self) -> None:
        """Updates what core derives from the fields: its cache key, and the profile, unless the user set another."""
        self.__dict__.pop("_serialized", None)
        profile = self.profile
        if profile is None or profile.get("name") == (facts := self._ovhcloud_model).id:
            return
        if profile == _profile(model_facts(str(profile.get("name")))):
            self.__dict__["profile"] = _profile(facts)

    @property
    def _llm_type(self) -> str:
        return "ovhcloud-chat"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return {**self._ovhcloud_parameters, "model": self.model, "base_url": self.base_url}

    @property
    def lc_secrets(self) -> dict[str, str]:
        return {"api_key": "OVHCLOUD_API_KEY"}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        timeout = self.timeout
        return {"timeout": asdict(timeout)} if isinstance(timeout, Timeouts) else {}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    def _resolve_model_profile(self) -> ModelProfile | None:
        return _profile(self._ovhcloud_model)

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        """Merges the outputs of several prompts, adding up their tokens."""
        usages = [output["token_usage"] for output in llm_outputs if output and output.get("token_usage")]
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        total = {name: sum(usage.get(name) or 0 for usage in usages) for name in names} if usages else {}
        return {"token_usage": total, "model_name": self.model}

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        # Core puts a call's stop in place of the model's, even if it is None.
        return super()._get_invocation_params(stop=stop or self._stops, **kwargs)

    @property
    def _stops(self) -> list[str] | None:
        return [self.stop] if isinstance(self.stop, str) else self.stop

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = _messages.PROVIDER
        params["ls_model_name"], _ = _catalogue.names_to_send(kwargs.get("model", self.model), self.base_url)
        if stop := stop or self._stops:
            params["ls_stop"] = stop
        return params

    def get_num_tokens(self, text: str) -> int:
        """Estimates the tokens of a text: a quarter of its characters. No tokenizer is downloaded."""
        return -(-len(text) // 4)

    def get_num_tokens_from_messages(
        self,
        messages: list[BaseMessage],
        tools: "Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None" = None,
    ) -> int:
        """Estimates the tokens of messages, with core's method that needs no tokenizer."""
        return count_tokens_approximately(
            map(_messages.with_countable_images, messages), tools=[convert_to_openai_tool(tool) for tool in tools or []]
        )

    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        """The messages of an input; blocks that core would misread are put into its own form first."""
        value = super()._convert_input(model_input)
        messages = value.to_messages()
        plain = [_messages.in_core_form(message) for message in messages]
        return value if all(map(operator.is_, plain, messages)) else ChatPromptValue(messages=plain)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = self._request(messages, stop, kwargs)
        with _errors.langchain_errors(run_manager):
            return _results.chat_result(_http.Client(self._ovhcloud_settings).send(request))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = self._request(messages, stop, kwargs)
        with _errors.langchain_errors(run_manager):
            return _results.chat_result(await _http.AsyncClient(self._ovhcloud_settings).send(request))

    def generate(self, messages: list[list[BaseMessage]], *args: Any, **kwargs: Any) -> LLMResult:
        """Core's own, but in a batch all prompts are asked before any waits."""
        if len(messages) < 2 or not _http.has_sender():
            return super().generate(messages, *args, **kwargs)
        results: list[LLMResult] = []
        waiting: BaseException | None = None
        for prompt in messages:
            try:
                results.append(super().generate([prompt], *args, **kwargs))
            except _http.Waiting as error:
                waiting = error
        if waiting is not None:
            raise waiting
        return LLMResult(
            generations=[generation for result in results for generation in result.generations],
            llm_output=self._combine_llm_outputs([result.llm_output for result in results]),
            run=[run for result in results for run in result.run or []],
        )

    async def agenerate(self, *args: Any, **kwargs: Any) -> LLMResult:
        """Core's own, which takes what is no `Exception` for an answer."""
        try:
            return await super().agenerate(*args, **kwargs)
        except _errors.WaitingError as error:
            raise error.waiting from None

    async def _agenerate_with_cache(self, *args: Any, **kwargs: Any) -> ChatResult:
        try:
            return await super()._agenerate_with_cache(*args, **kwargs)
        except _http.Waiting as waiting:
            raise _errors.WaitingError(waiting) from None

    # Core reads both signatures at each call; kept, they need not be worked out.
    _generate.__signature__ = signature(_generate)  # type: ignore[attr-defined]
    _agenerate.__signature__ = signature(_agenerate)  # type: ignore[attr-defined]

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        request = self._request(messages, stop, kwargs, stream=True)
        with (
            _errors.langchain_errors(run_manager),
            _http.Client(self._ovhcloud_settings).stream(request) as deltas,
        ):
            for delta in deltas:
                piece = _results.chunk(delta)
                if run_manager:
                    run_manager.on_llm_new_token(delta.text, chunk=piece)
                yield piece
            yield from _results.last_chunks(deltas.result())

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        request = self._request(messages, stop, kwargs, stream=True)
        with _errors.langchain_errors(run_manager):
            async with _http.AsyncClient(self._ovhcloud_settings).stream(request) as deltas:
                async for delta in deltas:
                    piece = _results.chunk(delta)
                    if run_manager:
                        await run_manager.on_llm_new_token(delta.text, chunk=piece)
                    yield piece
                for piece in _results.last_chunks(deltas.result()):
                    yield piece

    def _request(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any], *, stream: bool = False
    ) -> "_chat.ChatRequest":
        wire = _messages.wire_messages(messages)
        call = {**kwargs, "stop": stop if stop is not None else kwargs.get("stop")}
        call.pop("stream", None)  # by which core decides between the two ways of calling
        if schema := call.pop("json_mode_schema", None):
            wire = _chat.with_schema(wire, schema)
        response_format = call.get("response_format")
        if isinstance(response_format, type):
            call["response_format"] = _response_format(response_format)
        return self._ovhcloud_request(wire, call, stream=stream)

    def bind_tools(
        self,
        tools: "Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool]",
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Returns the model with tools that it may call.

        Args:
            tools: functions, pydantic classes, LangChain tools, or dicts in OpenAI's or Anthropic's form.
            tool_choice: "auto", "none", "required" (also "any" and True), or the name of the tool to call.
            strict: whether arguments must follow the schema exactly.
            parallel_tool_calls: whether the model may make several calls at once; with False, only the first is kept.

        Raises:
            ValueError: `tool_choice` names none of the tools.
        """
        wire = _structured.wire_tools(tools, strict=strict)
        choice = _chat.tool_choice_for(tool_choice, _chat.names_of_tools(wire))
        options = {"tools": wire or None, "tool_choice": choice, "parallel_tool_calls": parallel_tool_calls}
        return super().bind(**{name: value for name, value in options.items() if value is not None}, **kwargs)

    def configurable_fields(self, **kwargs: AnyConfigurableField) -> "_configurable.ConfigurableFields":
        """Returns the model with fields that the config of each call may choose, such as `model`.

        `bind_tools` and `with_structured_output` of the result apply to the model that the config chooses.

        Raises:
            ValueError: there is no such field.
        """
        fields = {self._ovhcloud_aliases.get(name, name): field for name, field in kwargs.items()}
        found = super().configurable_fields(**fields)
        return _configurable.ConfigurableFields(**found.__dict__)

    def configurable_alternatives(
        self,
        which: ConfigurableField,
        *,
        default_key: str = "default",
        prefix_keys: bool = False,
        **kwargs: Runnable[Any, Any] | Callable[[], Runnable[Any, Any]],
    ) -> "_configurable.ConfigurableAlternatives":
        """Returns the model, or another one that the config of each call may choose by its name here."""
        found = super().configurable_alternatives(which, default_key=default_key, prefix_keys=prefix_keys, **kwargs)
        return _configurable.ConfigurableAlternatives(**found.__dict__)

    @overload
    def with_structured_output(
        self,
        schema: type[_Object],
        *,
        method: StructuredOutputMethod | None = None,
        include_raw: Literal[False] = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, _Object]: ...

    @overload
    def with_structured_output(
        self,
        schema: dict[str, Any] | None,
        *,
        method: StructuredOutputMethod | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any]]: ...

    @overload
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None,
        *,
        method: StructuredOutputMethod | None = None,
        include_raw: Literal[True],
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any]]: ...

    @overload
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None,
        *,
        method: StructuredOutputMethod | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]: ...

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None,
        *,
        method: StructuredOutputMethod | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Returns the model with answers that are objects of a schema.

        Args:
            schema: a pydantic class, to get instances of it; or a TypedDict or JSON schema, to get dicts. None is for
                "json_mode" only, and any JSON object.
            method: with "json_schema" the service enforces the schema; with "function_calling" the model calls a tool;
                with "json_mode" the prompt holds the schema, and the service enforces JSON. By default, the method that
                the model is known to do best.
            include_raw: whether to return dicts with "raw" (the message), "parsed" and "parsing_error" instead.
            strict: whether the answer must follow the schema exactly; sent only if set.

        Raises:
            ValueError: the method is unknown or needs a schema, or the model is known to support no objects.
            OutputParserException: when called, if the answer is not a whole object of the pydantic class, or lacks keys
                that the schema requires; `llm_output` has the raw text.
        """
        method = method or _chat.best_method(self._ovhcloud_model)
        if method not in get_args(StructuredOutputMethod):
            raise ValueError(f"method must be one of {', '.join(get_args(StructuredOutputMethod))}; got {method!r}")
        _structured.check_schema(schema)
        if schema is None and method != "json_mode":
            raise ValueError(f"schema=None needs method='json_mode'; got method={method!r}")
        parser: BaseOutputParser[Any]
        is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
        options: dict[str, Any] = {}
        if not (isinstance(schema, dict) and isinstance(schema.get("type"), list)):  # which core's tracing can't read
            options["ls_structured_output_format"] = {"kwargs": {"method": method}, "schema": schema}
        if method == "function_calling":
            tool = _structured.tool_of(schema, strict=strict)
            name = tool["function"]["name"]
            model = self.bind_tools([tool], tool_choice=name, **options, **kwargs)
            parser = (
                _structured.pydantic_tool_parser(schema)
                if is_class
                else _structured.tool_parser(name, tool["function"].get("parameters", {}))
            )
        else:
            if method == "json_mode":
                options |= {
                    "response_format": {"type": "json_object"},
                    "json_mode_schema": _structured.json_schema_of(schema),
                }
            else:
                options["response_format"] = _response_format(schema or {}, strict=strict, is_validated=is_class)
            if tools := kwargs.pop("tools", None):
                options["tools"] = [convert_to_openai_tool(tool) for tool in tools]
            model = self.bind(**options, **kwargs)
            parser = (
                _structured.pydantic_parser(schema)
                if is_class
                else _structured.json_parser(_structured.json_schema_of(schema))
            )
        if not include_raw:
            return model | parser
        parse = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parse.with_fallbacks([failed], exception_key="parsing_error")


def _response_format(
    schema: dict[str, Any] | type, *, strict: bool | None = None, is_validated: bool = False
) -> dict[str, Any]:
    converted = _structured.json_schema_of(schema, strict=strict)
    name = str(converted.get("title", "answer"))
    return _chat.json_schema_format(converted, name=name, strict=strict, is_validated=is_validated)


def _profile(facts: Model) -> ModelProfile | None:
    if not facts.context_length:
        return None
    # structured_output only for models without tools: create_agent would send tools and response_format together, and
    # engines of this kind then never call a tool (vLLM issue 39929).
    return ModelProfile(
        name=facts.id,
        max_input_tokens=facts.context_length,
        max_output_tokens=facts.max_completion_tokens or facts.context_length,
        text_inputs=True,
        image_inputs=facts.image_inputs,
        image_url_inputs=False,
        image_tool_message=facts.image_inputs and facts.family != "mistral",
        **({} if facts.tool_calling else {"structured_output": facts.structured_output}),
        pdf_inputs=False,
        audio_inputs=False,
        video_inputs=False,
        text_outputs=True,
        reasoning_output=facts.reasoning,
        reasoning_effort_levels=list(facts.reasoning_efforts),
        tool_calling=facts.tool_calling,
        tool_choice=facts.tool_calling,
        temperature=True,
    )
