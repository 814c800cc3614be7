"""The constructor arguments that the two chat models share, as pydantic fields."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from ovhcloud_ai_endpoints import _lazy
from ovhcloud_ai_endpoints._catalogue import Model
from ovhcloud_ai_endpoints._catalogue import model as model_facts
from ovhcloud_ai_endpoints._chat.parameters import PARAMETERS, Passback
from ovhcloud_ai_endpoints._notices import say_unknown
from ovhcloud_ai_endpoints._options import ConnectionOptions
from ovhcloud_ai_endpoints._wire import WireMessage

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints._chat import request as _request
else:
    _request = _lazy.Module("ovhcloud_ai_endpoints._chat.request")


class ChatOptions(ConnectionOptions):
    """Options of a chat request. A field that is None is not sent, and the service decides."""

    _ALIASES: ClassVar[Mapping[str, str]] = {
        "max_completion_tokens": "max_tokens",
        "max_new_tokens": "max_tokens",
        "stop_sequences": "stop",
        "random_seed": "seed",
    }
    _WITHOUT_MEANING: ClassVar[Mapping[str, str]] = {
        "is_chat_model": "every model here is one",
        "should_use_structured_outputs": "the catalogue's entry for the model decides",
        "tokenizer": "no tokenizer is used",
        "safe_mode": "the service has no such field",
        "disabled_params": "fields that are not set are not sent",
        "include_response_headers": "the request's id is in the answer's metadata",
        "logit_bias": "the service has no such field",
        "service_tier": "the service has one tier",
        "store": "the service stores nothing",
        "stream_chunk_timeout": "set timeout=Timeouts(idle=...)",
        "truncation": "the service has no such field",
        "use_previous_response_id": "chat completions are used",
        "use_responses_api": "chat completions are used",
        "verbosity": "the service has no such field",
    }

    model: str = Field(
        min_length=1,
        description="Name of the model, such as `gpt-oss-120b`; names that the catalogue doesn't know are sent too. "
        "A leading `ovhcloud/` is dropped, unless the server knows the model only with it.",
    )
    temperature: float | None = Field(
        default=None, description="How random the answer is: with 0, the likeliest token comes next; 2 is the most."
    )
    top_p: float | None = Field(
        default=None, description="Tokens are drawn from the likeliest ones that together have this probability."
    )
    seed: int | None = Field(
        default=None, description="Equal requests with equal seeds get the same answer, as far as the engine can."
    )
    stop: list[str] | str | None = Field(
        default=None, description="The answer ends before any of these texts; an empty list is unset."
    )
    presence_penalty: float | None = Field(
        default=None, description="Above 0, tokens that the text holds already become less likely; from -2 to 2."
    )
    frequency_penalty: float | None = Field(
        default=None, description="Above 0, tokens become less likely with each time they occurred; from -2 to 2."
    )
    logprobs: bool | None = Field(default=None, description="Whether the answer has the log probability of each token.")
    top_logprobs: int | None = Field(
        default=None, description="For how many of the likeliest tokens at each place; asks for `logprobs`, too."
    )
    reasoning_effort: str | None = Field(
        default=None,
        description='How long a reasoning model thinks, such as "low", "medium" or "high"; the catalogue knows the '
        "levels of each model.",
    )
    max_tokens: int | None = Field(
        default=None, description="Tokens that the answer may have, reasoning included; at the bound it breaks off."
    )
    stream_usage: bool = Field(default=True, description="Whether a stream ends with its usage.")
    extra_body: dict[str, Any] | None = Field(
        default=None,
        description="Fields to merge into the request unchanged, for other servers; the service refuses unknown ones.",
    )
    reasoning_passback: Passback = Field(
        default="auto",
        description='Which reasoning goes back to the model: with "auto", that of messages after the last one of the '
        'user, as in a loop of tool calls; "always" or "never".',
    )
    neutralize_control_tokens: bool = Field(
        default=True,
        description="Whether control tokens of chat templates in contents, such as `<|im_end|>`, are broken up for "
        "models that they may fool.",
    )
    merge_deltas: bool = Field(
        default=True,
        description="Whether events of a stream that come together are one chunk; with False, each is a chunk of its "
        "own.",
    )
    context_window: int | None = Field(
        default=None, description="Tokens of the model's context window, instead of what the catalogue knows."
    )
    is_function_calling_model: bool | None = Field(
        default=None, description="Whether the model can call tools, instead of what the catalogue knows."
    )

    @model_validator(mode="after")
    def _ovhcloud_unknown_model(self) -> Self:
        facts = self._ovhcloud_model
        if not facts.is_known and not facts.context_length:
            say_unknown(facts)
        return self

    @property
    def _ovhcloud_model(self) -> Model:
        """What the catalogue knows of the model; what is set on this object takes precedence."""
        facts = model_facts(self.model)
        if self.context_window is not None:
            facts = replace(facts, context_length=self.context_window)
        if self.is_function_calling_model is not None:
            facts = replace(facts, tool_calling=self.is_function_calling_model)
        return facts

    @property
    def _ovhcloud_parameters(self) -> dict[str, Any]:
        """The request's fields that are set on this object."""
        values = self.__dict__
        return {name: value for name in PARAMETERS if (value := values.get(name)) is not None}

    def _ovhcloud_request(
        self, messages: Sequence[WireMessage], arguments: Mapping[str, Any], *, stream: bool = False
    ) -> "_request.ChatRequest":
        """Builds the request from what is set on this object; arguments of the call take precedence.

        Raises:
            TypeError: the service does not know an argument, or only the constructor takes it.
            ValueError: the tool choice names none of the tools.
        """
        fields = type(self).model_fields.keys()
        asked = {name: value for name, value in self._ovhcloud_renamed(arguments, fields).items() if value is not None}
        model = asked.pop("model", self.model)
        stream_options = asked.pop("stream_options", {})
        if not isinstance(stream_options, Mapping) or stream_options.keys() - {"include_usage"}:
            raise TypeError(f"stream_options may hold include_usage only; got {stream_options!r}")
        stream_usage = asked.pop("stream_usage", stream_options.get("include_usage", self.stream_usage))
        extra_body = {**(self.extra_body or {}), **asked.pop("extra_body", {})}
        for name in asked:
            if name in fields and name not in PARAMETERS:
                raise TypeError(f"Set {name!r} when creating {type(self).__name__}; a call can't change it")
        return _request.chat_request(
            messages,
            self._ovhcloud_parameters | asked,
            model=model,
            base_url=self.base_url,
            stream=stream,
            stream_usage=stream_usage,
            reasoning_passback=self.reasoning_passback,
            extra_body=extra_body,
            neutralize_control_tokens=self.neutralize_control_tokens,
            merge_deltas=self.merge_deltas,
        )
