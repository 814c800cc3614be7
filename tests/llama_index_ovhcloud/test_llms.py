"""What `ChatOVHCloud` promises beyond the standard suite."""

import warnings
from itertools import pairwise
from typing import Any

import pytest
from llama_index.core import PromptHelper, PromptTemplate
from llama_index.core.base.llms.types import TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.core.prompts.default_prompt_selectors import DEFAULT_TEXT_QA_PROMPT_SEL
from llama_index.core.tools import FunctionTool
from llama_index.core.types import PydanticProgramMode
from pydantic import AliasChoices, BaseModel, Field, HttpUrl, RootModel, field_validator
from standard.lifecycles import until, wait_until
from standard.ways import CHAT, COMPLETE, END, HELLO, STRUCTURED, USAGE, Way, piece

import ovhcloud_ai_endpoints as service
from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints.testing import CUT, LocalEndpoints, Pause

pytestmark = pytest.mark.usefixtures("environ")


@pytest.fixture(params=CHAT)
def ask(request: pytest.FixtureRequest) -> Way:
    return Way(request.param, CHAT[request.param])


@pytest.fixture
def llm() -> ChatOVHCloud:
    return ChatOVHCloud(model="gpt-oss-120b")


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


class Ticket(BaseModel):
    """A ticket."""

    subject: str
    priority: int


class TestAnswers:
    def test_hold_text_reasoning_usage_and_where_they_come_from(
        self, server: LocalEndpoints, llm: ChatOVHCloud, ask: Way
    ) -> None:
        server.reply("Hello you", reasoning="They greet", usage=USAGE, headers={"x-request-id": "r-1"})

        response = ask(llm, HELLO)[-1]

        assert response.message.blocks == [
            ThinkingBlock(content="They greet", num_tokens=3),
            TextBlock(text="Hello you"),
        ]
        assert response.raw["usage"] == USAGE
        assert response.raw["model"] == "gpt-oss-120b"
        assert response.additional_kwargs["completion_tokens"] == 7
        assert response.additional_kwargs["finish_reason"] == "stop"
        assert response.additional_kwargs["request_id"] == "r-1"
        assert response.additional_kwargs["attempts"] == 1

    @pytest.mark.parametrize("way", COMPLETE)
    def test_to_a_prompt_have_all_that_is_known_too(self, server: LocalEndpoints, llm: ChatOVHCloud, way: str) -> None:
        server.reply("Hello you", reasoning="They greet", headers={"x-request-id": "r-1"})

        responses = COMPLETE[way](llm, "Hello", logprobs=True)

        thoughts = "".join(response.additional_kwargs.get("thinking_delta", "") for response in responses)
        assert responses[-1].additional_kwargs["request_id"] == "r-1"
        assert "".join(choices[0].token for choices in responses[-1].logprobs) == "Hello you"
        assert thoughts == ("They greet" if "stream" in way else "")

    def test_hold_tool_calls_in_the_wires_form_too(self, server: LocalEndpoints, llm: ChatOVHCloud, ask: Way) -> None:
        server.reply(tool_calls=[("f", {"x": 1}, "id1"), ("g", "", "id2")])

        message = ask(llm, HELLO)[-1].message

        blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
        assert [(block.tool_name, block.tool_kwargs) for block in blocks] == [("f", {"x": 1}), ("g", {})]
        assert [(call["id"], call["function"]["arguments"]) for call in message.additional_kwargs["tool_calls"]] == [
            ("id1", '{"x": 1}'),
            ("id2", "{}"),
        ]

    def test_hold_what_was_said_and_that_it_was_refused(
        self, server: LocalEndpoints, llm: ChatOVHCloud, ask: Way
    ) -> None:
        message = {"role": "assistant", "content": "Sorry. ", "refusal": "I won't."}
        choice = {"index": 0, "message": message, "delta": message, "finish_reason": "stop"}
        said = {"id": "c", "model": "m", "choices": [choice]}
        server.reply(**({"events": [said, END]} if ask.streams else {"body": said}))

        assert ask(llm, HELLO)[-1].message.content == "Sorry. I won't."

    def test_stream_with_the_log_probabilities_of_what_is_new(self, llm: ChatOVHCloud) -> None:
        *parts, last = list(llm.stream_chat(HELLO, logprobs=True, reasoning_effort="low"))

        for part in parts:
            assert "".join(choices[0].token for choices in part.logprobs or []) == part.delta
        assert last.logprobs == [choices for part in parts for choices in part.logprobs or []]

    def test_arguments_of_tools_can_be_read_while_they_come(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply(tool_calls=[("get_weather", {"city": "San Francisco of the West"})])
        tool = FunctionTool.from_defaults(get_weather)

        seen = [
            selections[0].tool_kwargs
            for response in llm.stream_chat_with_tools([tool], "Hello")
            if (selections := llm.get_tool_calls_from_response(response, error_on_no_tool_call=False))
        ]

        assert {} in seen
        assert {"city": "San Francisco"} in seen
        assert seen[-1] == {"city": "San Francisco of the West"}

    @pytest.mark.parametrize("way", COMPLETE)
    @pytest.mark.parametrize(("formatted", "sent"), [(False, "[INST]Hello[/INST]"), (True, "Hello")])
    def test_to_a_prompt_take_its_form(self, server: LocalEndpoints, way: str, formatted: bool, sent: str) -> None:
        llm = ChatOVHCloud(model="gpt-oss-120b", completion_to_prompt="[INST]{}[/INST]".format)

        COMPLETE[way](llm, "Hello", formatted=formatted)

        assert server.requests[-1].json["messages"] == [{"role": "user", "content": sent}]

    def test_fields_of_openais_own_client_are_understood(self, server: LocalEndpoints, ask: Way) -> None:
        options = {"stream_options": {"include_usage": True}, "extra_body": {"seed": 7}}

        ask(ChatOVHCloud(model="gpt-oss-120b", additional_kwargs=options, default_headers=None), HELLO)

        assert server.requests[-1].json["seed"] == 7
        assert server.refusals == []

    def test_of_older_classes_have_their_tool_calls_too(self, llm: ChatOVHCloud) -> None:
        call = {"id": "i", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
        message = ChatMessage("", role="assistant", additional_kwargs={"tool_calls": [call]})

        selection = llm.get_tool_calls_from_response(ChatResponse(message=message))[0]

        assert (selection.tool_id, selection.tool_name, selection.tool_kwargs) == ("i", "f", {"x": 1})

    def test_bad_argument_is_an_error_before_anything_is_sent(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        with pytest.raises(TypeError, match="temprature"):
            llm.stream_chat(HELLO, temprature=1)
        assert server.requests == []


class TestTools:
    def test_may_be_in_the_wires_form(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        function = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}

        llm.chat_with_tools([function], "What time is it?")  # type: ignore[list-item]

        assert server.requests[0].json["tools"] == [function]

    @pytest.mark.parametrize(
        ("wrong", "problem"),
        [
            ([get_weather], r"the function get_weather; write FunctionTool.from_defaults\(get_weather\)"),
            (["get_weather"], "got str"),
            ("get_weather", "must be a list of LlamaIndex's tools; got str"),
            ([Ticket], "got ModelMetaclass"),
        ],
    )
    def test_must_be_tools(self, llm: ChatOVHCloud, wrong: Any, problem: str) -> None:
        with pytest.raises(TypeError, match=problem):
            llm.chat_with_tools(wrong, "Hello")

    def test_cannot_run_at_a_provider(self, llm: ChatOVHCloud) -> None:
        with pytest.raises(ValueError, match="Tools must be functions"):
            llm.chat_with_tools([{"type": "web_search"}], "Hello")  # type: ignore[list-item]


class TestStructuredOutput:
    PROMPT = PromptTemplate("{note}")
    NOTE = "The subject is streams. The priority is 2."
    TICKET = Ticket(subject="streams", priority=2)

    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({"model": "gpt-oss-120b"}, "response_format"),
            ({"model": "unknown-7b"}, "response_format"),
            ({"model": "gpt-oss-120b", "pydantic_program_mode": PydanticProgramMode.FUNCTION}, "tools"),
            ({"model": "gpt-oss-120b", "pydantic_program_mode": PydanticProgramMode.LLM}, None),
        ],
    )
    def test_is_asked_for_in_the_way_that_the_model_is_known_for(
        self, server: LocalEndpoints, options: Any, field: str | None
    ) -> None:
        server.reply(
            '{"subject": "streams", "priority": 2}', tool_calls=[("Ticket", {"subject": "streams", "priority": 2})]
        )
        llm = ChatOVHCloud(**options)
        llm.extra_body = {"model": "gpt-oss-120b"}  # since the server has no unknown ones

        assert llm.structured_predict(Ticket, self.PROMPT, note=self.NOTE) == self.TICKET

        sent = server.requests[-1].json
        assert {"response_format", "tools"} & set(sent) == ({field} if field else set())
        assert ("JSON schema" in str(sent["messages"])) is (field is None)

    def test_other_modes_are_cores(self) -> None:
        llm = ChatOVHCloud(model="gpt-oss-120b", pydantic_program_mode=PydanticProgramMode.GUIDANCE)

        with pytest.raises(ValueError, match="Unsupported pydantic program mode"):
            llm.structured_predict(Ticket, self.PROMPT, note=self.NOTE)

    def test_prompt_is_the_one_for_chat_models(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        llm.structured_predict(Ticket, DEFAULT_TEXT_QA_PROMPT_SEL, context_str=self.NOTE, query_str="Which?")

        assert [message["role"] for message in server.requests[-1].json["messages"]] == ["system", "user"]

    def test_grows_without_repeating_itself(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply('{ "subject" :   "two words" ,   "priority" : 2 }')

        found = list(llm.stream_structured_predict(Ticket, self.PROMPT, note=self.NOTE))

        assert all(before != after for before, after in pairwise(found[:-1]))
        assert (found[0].subject, found[0].priority) == (None, None)
        assert found[-1] == Ticket(subject="two words", priority=2)

    def test_class_may_have_types_that_no_grammar_can_follow(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        class Site(BaseModel):
            """A site."""

            url: HttpUrl
            tags: set[str]

        server.reply('{"url": "https://example.org", "tags": ["a", "a"]}')

        found = llm.structured_predict(Site, self.PROMPT, note=self.NOTE)

        assert found == Site(url=HttpUrl("https://example.org"), tags={"a"})

    def test_shows_fields_that_have_an_alias(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        class Page(BaseModel):
            """A page."""

            number: int = Field(alias="no")
            lines: int = 0

        class Letter(BaseModel):
            """A letter."""

            sender: str = Field(alias="from")
            text: str = Field(validation_alias=AliasChoices("body", "contents"))
            pages: list[Page] = []

        said = ['{"from": "Ada", "pages": [{"no": 1}]', ', "body": "Dear', ' Sir"}']
        server.reply(events=[*(piece({"content": text}) for text in said), piece({}, "stop"), END])

        found: list[Any] = list(llm.stream_structured_predict(Letter, self.PROMPT, note=self.NOTE))

        assert found[0].pages == [{"number": 1}]
        assert [(letter.sender, letter.text) for letter in found[:3]] == [
            ("Ada", None),
            ("Ada", "Dear"),
            ("Ada", "Dear Sir"),
        ]

    def test_long_object_is_not_read_anew_at_each_event(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        words = [f"word{place} " for place in range(2000)]
        events = [piece({"content": text}) for text in ['{"subject": "', *words, '", "priority": 2}']]
        server.reply(events=[*events, piece({}, "stop"), END])

        found = list(llm.stream_structured_predict(Ticket, self.PROMPT, note=self.NOTE))

        assert 100 < len(found) < 1000
        assert found[-1] == Ticket(subject="".join(words), priority=2)

    def test_fenced_text_is_found(self, server: LocalEndpoints) -> None:
        llm = ChatOVHCloud(model="gpt-oss-120b", pydantic_program_mode=PydanticProgramMode.LLM)
        server.reply('Here you are:\n```json\n{"subject": "streams", "priority": 2}\n```\n', times=2)

        assert llm.structured_predict(Ticket, self.PROMPT, note=self.NOTE) == self.TICKET
        assert list(llm.stream_structured_predict(Ticket, self.PROMPT, note=self.NOTE))[-1] == self.TICKET

    @pytest.mark.parametrize("mode", [PydanticProgramMode.DEFAULT, PydanticProgramMode.LLM])
    def test_list_is_found_too(self, server: LocalEndpoints, mode: PydanticProgramMode) -> None:
        llm = ChatOVHCloud(model="gpt-oss-120b", pydantic_program_mode=mode)
        server.reply('Here: [{"subject": "a", "priority": 1}]')

        found = list(llm.stream_structured_predict(RootModel[list[Ticket]], self.PROMPT, note=self.NOTE))

        assert found == [RootModel[list[Ticket]]([Ticket(subject="a", priority=1)])]

    def test_validator_may_raise_anything_of_half_a_value(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        class Code(BaseModel):
            """A code."""

            code: str

            @field_validator("code")
            @classmethod
            def second(cls, code: str) -> str:
                return {"a,b": "b"}[code]

        server.reply('{"code": "a,b"}')

        assert list(llm.stream_structured_predict(Code, self.PROMPT, note=self.NOTE))[-1] == Code(code="a,b")

    @pytest.mark.parametrize("wrong", [list[Ticket], dict, None, TICKET])
    def test_what_is_no_class_is_an_error_that_says_so(self, llm: ChatOVHCloud, wrong: Any) -> None:
        with pytest.raises(TypeError, match="output_cls must be a pydantic class"):
            llm.structured_predict(wrong, self.PROMPT, note=self.NOTE)

    def test_error_has_the_text_and_says_why(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply('{"subject": "str', finish_reason="length")

        with pytest.raises(ValueError, match=r"not a valid Ticket: it was cut at max_tokens; raise it.*said: .*str"):
            llm.structured_predict(Ticket, self.PROMPT, note=self.NOTE)

    def test_stream_that_is_left_is_hung_up(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply(events=[piece({"content": '{"subject": "x"'}), Pause(5)])
        objects = llm.stream_structured_predict(Ticket, self.PROMPT, note=self.NOTE)
        next(objects)

        objects.close()

        wait_until(lambda: server.hung_up)
        assert server.hung_up == 1

    async def test_asynchronous_stream_that_is_left_is_hung_up(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply(events=[piece({"content": '{"subject": "x"'}), Pause(5)])
        objects = await llm.astream_structured_predict(Ticket, self.PROMPT, note=self.NOTE)
        await anext(objects)

        await objects.aclose()

        await until(lambda: server.hung_up)
        assert server.hung_up == 1


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [(403, service.PermissionDeniedError), (404, service.NotFoundError), (429, service.RateLimitError)],
    )
    def test_are_the_services(self, server: LocalEndpoints, ask: Way, status: int, kind: Any) -> None:
        server.reply(status=status)

        with pytest.raises(kind):
            ask(ChatOVHCloud(model="gpt-oss-120b", max_retries=0), HELLO)

    @pytest.mark.parametrize("way", ["stream_chat", "astream_chat"])
    def test_of_a_stream_that_is_cut_have_what_had_come(
        self, server: LocalEndpoints, llm: ChatOVHCloud, way: str
    ) -> None:
        server.reply(events=[piece({"content": "half an"}), CUT])

        with pytest.raises(service.StreamInterruptedError) as caught:
            CHAT[way](llm, HELLO)

        assert caught.value.partial.text == "half an"

    def test_of_a_key_that_is_wrong_do_not_show_it(self, server: LocalEndpoints) -> None:
        secret = "sk-hidden-7"
        llm = ChatOVHCloud(model="gpt-oss-120b", api_key=secret, default_headers={"X-Key": secret})

        with pytest.raises(service.AuthenticationError) as caught:
            llm.complete("Hello")

        shown = [repr(llm), llm.to_json(), str(llm.to_payload()), str(caught.value)]
        assert server.requests[-1].api_key == secret
        assert not [text for text in shown if secret in text]


class TestTheObject:
    @pytest.mark.parametrize(
        "facts", [facts for facts in service.list_models(offline=True) if facts.kind == "chat"], ids=str
    )
    def test_knows_each_model(self, facts: service.Model) -> None:
        metadata = ChatOVHCloud(model=facts.id).metadata

        assert metadata.context_window == facts.context_length
        assert metadata.is_function_calling_model is facts.tool_calling
        assert metadata.is_chat_model

    def test_knows_its_model_in_any_casing(self) -> None:
        metadata = ChatOVHCloud(model="GPT-OSS-120b", max_tokens=500).metadata

        assert (metadata.context_window, metadata.num_output) == (131_072, 500)

    @pytest.mark.parametrize(
        ("name", "max_tokens", "num_output"),
        [
            ("gpt-oss-120b", 131_072, 114_688),
            ("gpt-oss-120b", 100_000, 100_000),
            ("gpt-oss-120b", None, -1),
            ("mistral@latest", 9_000, 9_000),
        ],
    )
    def test_metadata_leaves_room_for_a_prompt(self, name: str, max_tokens: int | None, num_output: int) -> None:
        metadata = ChatOVHCloud(model=name, max_tokens=max_tokens).metadata

        assert metadata.num_output == num_output
        if num_output > 0 and name == "gpt-oss-120b":
            PromptHelper.from_llm_metadata(metadata).truncate(PromptTemplate("{text}"), ["word"])

    def test_is_careful_with_unknown_models_unless_told(self) -> None:
        careful = ChatOVHCloud(model="new").metadata
        told = ChatOVHCloud(model="new", context_window=9_000, is_function_calling_model=True).metadata

        assert (careful.context_window, careful.is_function_calling_model) == (3_900, False)
        assert (told.context_window, told.is_function_calling_model) == (9_000, True)

    def test_keeps_its_timeouts_when_it_is_saved(self) -> None:
        llm = ChatOVHCloud(model="gpt-oss-120b", temperature=0.3, timeout=service.Timeouts(idle=5), max_retries=5)

        assert ChatOVHCloud.from_dict(llm.to_dict()).timeout == service.Timeouts(idle=5)
        assert ChatOVHCloud(**llm.model_dump()).to_dict() == llm.to_dict()

    def test_misspelt_argument_names_the_nearest(self) -> None:
        with pytest.raises(TypeError, match="'temprature'; did you mean 'temperature'"):
            ChatOVHCloud(model="m", temprature=1)


# What the constructors of the classes take that people come from: llama-index-llms-openai 0.7.10 and its children,
# llama-index-embeddings-openai 0.6.0. Objects of OpenAI's own client are not among them: they can't be used here.
OPENAI = {
    "additional_kwargs": {},
    "api_base": "http://127.0.0.1:9/v1",
    "api_key": "k",
    "api_version": "1",
    "async_http_client": None,
    "callback_manager": None,
    "default_headers": {},
    "http_client": None,
    "max_retries": 1,
    "rate_limiter": None,
    "reuse_client": True,
    "timeout": 5.0,
}
OPENAI_LIKE = {
    **OPENAI,
    "audio_config": None,
    "completion_to_prompt": None,
    "context_window": 9_000,
    "is_chat_model": True,
    "is_function_calling_model": True,
    "logprobs": None,
    "max_tokens": 5,
    "messages_to_prompt": None,
    "modalities": None,
    "model": "gpt-oss-120b",
    "output_parser": None,
    "pydantic_program_mode": PydanticProgramMode.DEFAULT,
    "query_wrapper_prompt": None,
    "reasoning_effort": "low",
    "should_use_structured_outputs": True,
    "strict": False,
    "system_prompt": "Be brief",
    "temperature": 0.1,
    "tokenizer": None,
    "top_logprobs": 0,
}
OPENAI_EMBEDDING = {
    **OPENAI,
    "dimensions": 64,
    "embed_batch_size": 10,
    "embeddings_cache": None,
    "mode": "text_search",
    "model": "bge-m3",
    "num_workers": 2,
}


@pytest.mark.parametrize(("kind", "arguments"), [(ChatOVHCloud, OPENAI_LIKE), (OVHCloudEmbeddings, OPENAI_EMBEDDING)])
def test_arguments_of_other_classes_are_understood(kind: Any, arguments: dict[str, Any]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = kind(**arguments)

    ignored = {str(warning.message).split("'")[1] for warning in caught}
    assert made.base_url == "http://127.0.0.1:9/v1"
    assert ignored == (
        {"api_version", "should_use_structured_outputs"} if kind is ChatOVHCloud else {"api_version", "mode"}
    )


TEXT = '{"subject": "streams", "priority": 2}'
PLACES: dict[str, dict[str, Any]] = {
    "content": {"text": TEXT},
    "tool call": {"text": "", "tool_calls": [("Ticket", TEXT)]},
    "prose and tool call": {"text": "Here it is.", "tool_calls": [("Ticket", TEXT)]},
    "fence": {"text": f"Here it is:\n```json\n{TEXT}\n```\nBye"},
    "prose": {"text": f"Here it is: {TEXT}."},
    "reasoning": {"text": "", "reasoning": TEXT},
    "think tag": {"text": f'<think>hm {{"subject": "x"}}</think>{TEXT}'},
}


@pytest.mark.parametrize("way", STRUCTURED)
@pytest.mark.parametrize("mode", [PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION, PydanticProgramMode.LLM])
@pytest.mark.parametrize("place", PLACES)
def test_object_is_found_wherever_the_model_puts_it(
    server: LocalEndpoints, place: str, mode: PydanticProgramMode, way: str
) -> None:
    server.reply(**PLACES[place])
    llm = ChatOVHCloud(model="gpt-oss-120b", pydantic_program_mode=mode)

    found = STRUCTURED[way](llm, Ticket, PromptTemplate("{note}"), note="?")

    assert found[-1] == Ticket(subject="streams", priority=2)


@pytest.mark.parametrize("name", ["Qwen3Guard-Gen-8B", "Qwen3Guard-Gen-0.6B"])
def test_model_that_gives_no_objects_says_which_do(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} answers with text only.*gpt-oss-120b"):
        ChatOVHCloud(model=name).structured_predict(Ticket, PromptTemplate("?"))


class Tree(BaseModel):
    """A tree."""

    name: str
    children: list["Tree"] = []


def test_class_that_holds_itself_is_sent_whole_as_a_tool(server: LocalEndpoints) -> None:
    llm = ChatOVHCloud(model="gpt-oss-120b", pydantic_program_mode=PydanticProgramMode.FUNCTION)
    wanted = Tree(name="a", children=[Tree(name="b")])
    server.reply(tool_calls=[("Tree", wanted.model_dump())])

    assert llm.structured_predict(Tree, PromptTemplate("?")) == wanted
    parameters = server.requests[-1].json["tools"][0]["function"]["parameters"]
    assert parameters["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_call_without_arguments_that_was_cut_is_no_object(server: LocalEndpoints, reason: str) -> None:
    class Anything(BaseModel):
        """Whatever."""

        name: str | None = None

    llm = ChatOVHCloud(model="gpt-oss-120b", pydantic_program_mode=PydanticProgramMode.FUNCTION)
    server.reply(tool_calls=[("Anything", "")], finish_reason=reason)

    with pytest.raises(ValueError, match="not a valid Anything"):
        llm.structured_predict(Anything, PromptTemplate("?"))
