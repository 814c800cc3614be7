"""Structured output: every method by every kind of schema, whole, streamed and with the message."""

import asyncio
import json
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar

import pytest
from langchain_core import exceptions
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from pydantic import BaseModel, Field, HttpUrl, RootModel
from pydantic.v1 import BaseModel as BaseModelV1

from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import BadRequestError
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.usefixtures("environ")
NOTE = "The subject is streams. The priority is 2."
WANTED = {"subject": "streams", "priority": 2}
DICT = {
    "type": "object",
    "properties": {"subject": {"type": "string"}, "priority": {"type": "integer"}},
    "required": ["subject", "priority"],
}
T = TypeVar("T")
REFUSAL: Any = getattr(exceptions, "ModelRefusalError", OutputParserException)  # from langchain-core 1.7.5 on


class Ticket(BaseModel):
    """A ticket."""

    subject: str
    priority: int


class TicketV1(BaseModelV1):
    """A ticket."""

    subject: str
    priority: int


class TicketDict(TypedDict):
    """A ticket."""

    subject: str
    priority: int


class Place(BaseModel):
    """A place."""

    city: str


class Trip(BaseModel):
    """A trip, with a place inside."""

    start: Place
    note: str | None = Field(default=None, description="anything else")


FUNCTION = {"name": "Ticket", "description": "A ticket.", "parameters": Ticket.model_json_schema()}
SCHEMAS = {
    "pydantic": Ticket,
    "pydantic v1": TicketV1,
    "TypedDict": TicketDict,
    "JSON schema": Ticket.model_json_schema(),
    "function": FUNCTION,
}


def as_dict(found: Any) -> Any:
    if isinstance(found, BaseModel):
        return found.model_dump()
    return found.dict() if isinstance(found, BaseModelV1) else found


@pytest.fixture
def model() -> ChatOVHCloud:
    return ChatOVHCloud(model="gpt-oss-120b")


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
class TestEveryWay:
    @pytest.mark.parametrize("strict", [None, True, False])
    def test_whole(self, model: ChatOVHCloud, schema: Any, method: Any, strict: bool | None) -> None:
        structured = model.with_structured_output(schema, method=method, strict=strict)

        found, awaited = structured.invoke(NOTE), asyncio.run(structured.ainvoke(NOTE))

        assert as_dict(found) == as_dict(awaited) == WANTED
        if isinstance(schema, type) and schema is not TicketDict:
            assert isinstance(found, schema)

    def test_streamed(self, model: ChatOVHCloud, schema: Any, method: Any) -> None:
        structured = model.with_structured_output(schema, method=method)

        async def last() -> Any:
            return [found async for found in structured.astream(NOTE)][-1]

        assert as_dict(list(structured.stream(NOTE))[-1]) == as_dict(asyncio.run(last())) == WANTED

    def test_with_the_message(self, server: LocalEndpoints, model: ChatOVHCloud, schema: Any, method: Any) -> None:
        structured = model.with_structured_output(schema, method=method, include_raw=True)
        good = structured.invoke(NOTE)
        server.reply("no")
        bad = structured.invoke(NOTE)

        assert as_dict(good["parsed"]) == WANTED
        assert (type(good["raw"]), good["parsing_error"]) == (AIMessage, None)
        assert (bad["parsed"], bad["raw"].content) == (None, "no")
        assert bad["parsing_error"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_schema_with_a_schema_inside(model: ChatOVHCloud, method: Any) -> None:
    found = model.with_structured_output(Trip, method=method).invoke("The city is Lyon.")

    assert isinstance(found, Trip)
    assert found.start.city == "Lyon"


@pytest.mark.parametrize("schema", [Ticket, TicketV1])
def test_call_that_does_not_fit_the_class_is_a_parsers_error(
    server: LocalEndpoints, model: ChatOVHCloud, schema: Any
) -> None:
    server.reply(tool_calls=[(schema.__name__, {"subject": "x"})])

    with pytest.raises(OutputParserException, match="priority"):
        model.with_structured_output(schema, method="function_calling").invoke(NOTE)


GOOD = ("Ticket", {"subject": "y", "priority": 1})
BROKEN = ("Ticket", '{"subject":"x"')


@pytest.mark.parametrize("calls", [[GOOD, BROKEN], [BROKEN, GOOD]])
@pytest.mark.parametrize("finish_reason", ["tool_calls", "length"])
def test_good_call_beside_a_broken_one_is_the_object(
    server: LocalEndpoints, model: ChatOVHCloud, calls: Any, finish_reason: str
) -> None:
    server.reply(tool_calls=calls, finish_reason=finish_reason, times=2)
    asking = model.with_structured_output(Ticket, method="function_calling")

    assert asking.invoke(NOTE) == Ticket(subject="y", priority=1)
    assert list(asking.stream(NOTE))[-1] == Ticket(subject="y", priority=1)


def test_error_shows_the_raw_arguments(server: LocalEndpoints, model: ChatOVHCloud) -> None:
    server.reply(tool_calls=[BROKEN], times=2)
    asking = model.with_structured_output(Ticket, method="function_calling")

    with pytest.raises(OutputParserException, match="can't be read") as caught:
        asking.invoke(NOTE)
    assert caught.value.llm_output == 'Ticket({"subject":"x")'
    with pytest.raises(OutputParserException, match="can't be read") as caught:
        list(asking.stream(NOTE))
    assert 'Ticket({"subject":"x"' in str(caught.value.llm_output)


STREET = {"type": "object", "properties": {"street": {"type": "string"}}, "required": ["street"]}
ORDER = {
    "title": "Order",
    "type": "object",
    "properties": {"billing": STREET, "shipping": {"$ref": "#/properties/billing"}},
    "required": ["billing", "shipping"],
}


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_pointer_in_a_schema_is_followed(server: LocalEndpoints, model: ChatOVHCloud, method: Any) -> None:
    """Models don't follow it, and write an object as a string where they don't see its schema."""
    said = '{"billing": {"street": "a"}, "shipping": "{\\"street\\": \\"b\\"}"}'
    by_call = method == "function_calling"
    server.reply(**({"tool_calls": [("Order", said)]} if by_call else {"text": said}), times=2)  # type: ignore[arg-type]
    asking = model.with_structured_output(ORDER, method=method)

    wanted = {"billing": {"street": "a"}, "shipping": {"street": "b"}}
    assert asking.invoke(NOTE) == list(asking.stream(NOTE))[-1] == wanted
    if method != "json_mode":
        sent = server.requests[0].json
        shown = (
            sent["tools"][0]["function"]["parameters"] if by_call else sent["response_format"]["json_schema"]["schema"]
        )
        assert shown["properties"]["shipping"] == STREET


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_schema_may_be_nested_deeply(server: LocalEndpoints, model: ChatOVHCloud, method: Any) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(300):
        schema = {"type": "object", "properties": {"x": schema}}
    schema["title"] = "Deep"
    said: Any = {"tool_calls": [("Deep", {"x": {}})]} if method == "function_calling" else {"text": '{"x": {}}'}
    server.reply(**said)

    assert model.with_structured_output(schema, method=method).invoke(NOTE) == {"x": {}}


@pytest.mark.parametrize("name", ["Ticket<|channel|>commentary", "functions.Ticket"])
def test_name_of_a_call_may_be_garbled(server: LocalEndpoints, model: ChatOVHCloud, name: str) -> None:
    server.reply(tool_calls=[(name, WANTED)], times=2)
    asking = model.with_structured_output(Ticket, method="function_calling")

    assert asking.invoke(NOTE) == list(asking.stream(NOTE))[-1] == Ticket(**WANTED)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_half_of_a_surrogate_pair_in_an_object_is_replaced(
    server: LocalEndpoints, model: ChatOVHCloud, method: Any
) -> None:
    said = r'{"subject": "\ud83d", "priority": 1}'
    server.reply(**({"text": said} if method == "json_schema" else {"tool_calls": [("Ticket", said)]}), times=2)
    asking = model.with_structured_output(Ticket, method=method)

    assert asking.invoke(NOTE).subject == list(asking.stream(NOTE))[-1].subject == "\ufffd"


@pytest.mark.parametrize("strict", [None, True, False])
def test_strict_is_sent_only_if_set(server: LocalEndpoints, model: ChatOVHCloud, strict: bool | None) -> None:
    model.with_structured_output(Ticket, strict=strict).invoke(NOTE)
    model.with_structured_output(Ticket, method="function_calling", strict=strict).invoke(NOTE)

    json_schema = server.requests[0].json["response_format"]["json_schema"]
    function = server.requests[1].json["tools"][0]["function"]
    assert json_schema.get("strict") == function.get("strict") == strict


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_object_that_lacks_something_required_is_an_error(
    server: LocalEndpoints, model: ChatOVHCloud, method: Any
) -> None:
    if method == "function_calling":
        server.reply(tool_calls=[("Ticket", {"subject": "x"})])
    else:
        server.reply('{"subject": "x"}')

    with pytest.raises(OutputParserException, match="lacks 'priority'"):
        model.with_structured_output(Ticket.model_json_schema(), method=method).invoke(NOTE)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize(
    "schema",
    [
        DICT,
        {"name": "Ticket", "schema": DICT, "strict": True},
        {"type": "json_schema", "json_schema": {"name": "Ticket", "schema": DICT}},
    ],
    ids=["no title", "name and schema", "response format"],
)
def test_schema_may_have_any_of_the_forms_that_are_about(
    server: LocalEndpoints, model: ChatOVHCloud, schema: Any, method: Any
) -> None:
    structured = model.with_structured_output(schema, method=method)
    assert structured.invoke(NOTE) == WANTED

    server.reply('{"subject": "x"}')
    with pytest.raises(OutputParserException, match=r"lacks 'priority'|called no tool"):
        structured.invoke(NOTE)


class Node(BaseModel):
    """A tree."""

    name: str
    children: list["Node"] = []


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_class_that_holds_itself_is_sent_whole(server: LocalEndpoints, model: ChatOVHCloud, method: Any) -> None:
    wanted = Node(name="a", children=[Node(name="b")])
    server.reply(wanted.model_dump_json(), tool_calls=[("Node", wanted.model_dump())])

    assert model.with_structured_output(Node, method=method).invoke("?") == wanted
    sent = server.requests[-1].json
    schema = (
        sent["tools"][0]["function"]["parameters"]
        if "tools" in sent
        else sent["response_format"]["json_schema"]["schema"]
    )
    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert schema["$defs"]["Node"]["properties"]["name"] == {"type": "string"}


def test_list_is_an_answer_where_one_is_wanted(server: LocalEndpoints, model: ChatOVHCloud) -> None:
    server.reply("[1, 2]")

    assert model.with_structured_output(RootModel[list[int]]).invoke("?") == RootModel[list[int]]([1, 2])


def test_call_of_another_tool_is_not_taken_for_the_object(server: LocalEndpoints, model: ChatOVHCloud) -> None:
    class Anything(BaseModel):
        """Whatever."""

        city: str | None = None

    def get_weather(city: str) -> str:
        """The weather."""
        return city

    server.reply(tool_calls=[("get_weather", {"city": "Rome"})], times=2)

    found = model.with_structured_output(Anything, include_raw=True, tools=[get_weather]).invoke("?")
    assert found["parsed"] is None
    assert found["raw"].tool_calls[0]["name"] == "get_weather"
    with pytest.raises(OutputParserException, match="called no tool"):
        model.with_structured_output(Anything, method="function_calling").invoke("?")


@pytest.mark.parametrize(
    "said",
    [
        {"text": "", "reasoning": 'Perhaps {"subject": "draft", "priority": 9}? No', "finish_reason": "stop"},
        {"text": "", "reasoning": '{"subject": "draft", "priority": 9}', "finish_reason": "length"},
        {"text": 'Draft: {"subject": "draft", "priority": 9}. Now: {"subject": "fi', "finish_reason": "length"},
        {"text": '[{"subject": "draft", "priority": 9}, {"sub', "finish_reason": "length"},
    ],
)
@pytest.mark.filterwarnings("ignore::ovhcloud_ai_endpoints.EmptyAnswerWarning")
@pytest.mark.parametrize("streamed", [False, True])
def test_draft_is_no_answer(server: LocalEndpoints, model: ChatOVHCloud, said: Any, streamed: bool) -> None:
    server.reply(**said)
    structured = model.with_structured_output(Ticket)

    with pytest.raises(OutputParserException):
        list(structured.stream("?")) if streamed else structured.invoke("?")


def test_text_may_have_line_ends_as_they_are(server: LocalEndpoints, model: ChatOVHCloud) -> None:
    server.reply('{"subject": "a\nb", "priority": 2}')

    assert model.with_structured_output(Ticket).invoke("?").subject == "a\nb"


@pytest.mark.parametrize("streamed", [False, True])
def test_loop_of_brackets_is_a_typed_error(server: LocalEndpoints, model: ChatOVHCloud, streamed: bool) -> None:
    server.reply('{"subject": ' + "[" * 3_000)
    structured = model.with_structured_output(Ticket)

    with pytest.raises(OutputParserException):
        list(structured.stream("?")) if streamed else structured.invoke("?")


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"title": "Scores", "type": "object", "additionalProperties": {"type": "integer"}}, {"Ada": 2}),
        ({"title": "Either", "anyOf": [{"type": "object", "required": ["a"]}, {"type": "object"}]}, {"a": 1}),
        ({"title": "Tags", "type": "array", "items": {"type": "string"}}, ["a", "b"]),
        ({"title": "Perhaps", "type": ["object", "null"]}, None),
        ({"title": "Whole", "type": "integer"}, 3),
        ({"title": "One", "enum": ["a", "b"]}, "a"),
        ({"title": "Any", "oneOf": [{"type": "array"}, {"type": "object"}]}, [1, 2]),
    ],
    ids=lambda value: value.get("title") if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("strict", [None, True])
def test_schema_without_properties_is_sent_whole(
    server: LocalEndpoints, model: ChatOVHCloud, schema: dict[str, Any], answer: Any, strict: bool | None
) -> None:
    server.reply(json.dumps(answer))

    assert model.with_structured_output(schema, strict=strict).invoke("Which?") == answer
    sent = server.requests[-1].json["response_format"]["json_schema"]
    assert sent["schema"] == {name: value for name, value in schema.items() if name != "title"}
    assert sent["name"] == schema["title"]


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"title": "A", "type": "array"}, {"a": 1}),
        ({"title": "A", "type": ["object", "null"]}, 5),
        ({"title": "A", "type": "integer"}, True),
    ],
)
def test_answer_of_another_type_is_a_parsers_error(
    server: LocalEndpoints, model: ChatOVHCloud, schema: dict[str, Any], answer: Any
) -> None:
    server.reply(json.dumps(answer))

    with pytest.raises(OutputParserException, match="The answer is not a JSON"):
        model.with_structured_output(schema).invoke("Which?")


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_type_may_be_a_list_beside_properties(server: LocalEndpoints, model: ChatOVHCloud, method: Any) -> None:
    schema = {"title": "A", "type": ["object", "null"], "properties": {"a": {"type": "integer"}}}
    call = {"tool_calls": [("A", {"a": 1})]} if method == "function_calling" else {"text": '{"a": 1}'}
    server.reply(**call)

    assert model.with_structured_output(schema, method=method).invoke("Which?") == {"a": 1}


def test_tool_of_a_list_is_refused(model: ChatOVHCloud) -> None:
    with pytest.raises(ValueError, match="A tool's arguments are an object"):
        model.with_structured_output({"title": "A", "type": "array"}, method="function_calling")


@pytest.mark.parametrize("strict", [None, False, True])
def test_tool_without_properties_is_sent_whole(
    server: LocalEndpoints, model: ChatOVHCloud, strict: bool | None
) -> None:
    schema = {"title": "Scores", "type": "object", "additionalProperties": {"type": "integer"}}
    server.reply(tool_calls=[("Scores", {"Ada": 2})])

    found = model.with_structured_output(schema, method="function_calling", strict=strict).invoke("Which?")

    function = server.requests[-1].json["tools"][0]["function"]
    assert found == {"Ada": 2}
    assert function["parameters"] == {"type": "object", "additionalProperties": {"type": "integer"}}
    assert function.get("strict") is strict


@pytest.mark.parametrize("include_raw", [False, True])
def test_json_mode_needs_no_schema(server: LocalEndpoints, model: ChatOVHCloud, include_raw: bool) -> None:
    server.reply('{"city": "Rome"}')

    found = model.with_structured_output(None, method="json_mode", include_raw=include_raw).invoke("In JSON, please.")

    assert (found["parsed"] if include_raw else found) == {"city": "Rome"}
    assert [message["role"] for message in server.requests[-1].json["messages"]] == ["user"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_other_methods_need_a_schema(model: ChatOVHCloud, method: Any) -> None:
    with pytest.raises(ValueError, match="schema=None needs method='json_mode'"):
        model.with_structured_output(None, method=method)


class Site(BaseModel):
    """A site whose types no grammar can follow."""

    url: HttpUrl
    tags: set[str]
    folder: Path


def test_class_may_have_types_that_no_grammar_can_follow(server: LocalEndpoints, model: ChatOVHCloud) -> None:
    server.reply('{"url": "https://example.org", "tags": ["a", "a"], "folder": "/srv"}')

    found = model.with_structured_output(Site).invoke("Which site?")

    assert found == Site(url=HttpUrl("https://example.org"), tags={"a"}, folder=Path("/srv"))


def test_schema_that_no_grammar_can_follow_says_what_to_leave_out(model: ChatOVHCloud) -> None:
    with pytest.raises(BadRequestError, match="Leave uniqueItems"):
        model.with_structured_output(Site.model_json_schema()).invoke("Which site?")


def test_schema_of_the_caller_is_left_as_it_is(model: ChatOVHCloud) -> None:
    schema = Ticket.model_json_schema()
    before = repr(schema)
    for method in ("json_schema", "function_calling", "json_mode"):
        model.with_structured_output(schema, method=method, strict=True).invoke(NOTE)

    assert repr(schema) == before


def test_tracing_knows_the_schema_and_the_service_does_not(server: LocalEndpoints, model: ChatOVHCloud) -> None:
    structured = model.with_structured_output(Ticket)
    structured.batch([NOTE, NOTE])

    assert all("ls_structured_output_format" not in str(request.json) for request in server.requests)


class Box(BaseModel, Generic[T]):
    """Holds one thing."""

    content: T


@pytest.mark.parametrize("streamed", [False, True])
def test_generic_class_is_found_by_a_tool(server: LocalEndpoints, streamed: bool) -> None:
    model = ChatOVHCloud(model="gpt-oss-120b").with_structured_output(Box[int], method="function_calling")
    server.reply(tool_calls=[("Box_int_", {"content": 7})])

    found = list(model.stream("7?"))[-1] if streamed else model.invoke("7?")

    assert found == Box[int](content=7)
    assert server.requests[-1].json["tools"][0]["function"]["name"] == "Box_int_"


PLACES: dict[str, dict[str, Any]] = {
    "content": {"text": '{"subject": "streams", "priority": 2}'},
    "tool call": {"text": "", "tool_calls": [("Ticket", WANTED)]},
    "prose and tool call": {"text": "Here it is.", "tool_calls": [("Ticket", WANTED)]},
    "fence": {"text": 'Here it is:\n```json\n{"subject": "streams", "priority": 2}\n```\nBye'},
    "prose": {"text": 'Here it is: {"subject": "streams", "priority": 2}.'},
    "reasoning": {"text": "", "reasoning": '{"subject": "streams", "priority": 2}'},
    "think tag": {"text": '<think>hm {"subject": "x"}</think>{"subject": "streams", "priority": 2}'},
    "other order": {"text": '{"priority": 2, "subject": "streams"}'},
}


@pytest.mark.parametrize("schema", [Ticket, TicketV1, TicketDict], ids=lambda schema: schema.__name__)
@pytest.mark.parametrize("method", [None, "function_calling", "json_mode"])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_object_is_found_wherever_the_model_puts_it(
    server: LocalEndpoints, place: str, streamed: bool, method: Any, schema: Any
) -> None:
    said = dict(PLACES[place])
    if "tool_calls" in said:
        said["tool_calls"] = [(schema.__name__, WANTED)]
    server.reply(**said)
    model = ChatOVHCloud(model="gpt-oss-120b").with_structured_output(schema, method=method)

    found = list(model.stream("?"))[-1] if streamed else model.invoke("?")

    assert (found if isinstance(found, dict) else found.dict() if schema is TicketV1 else found.model_dump()) == WANTED


def test_reasoning_is_no_answer_where_there_is_one(server: LocalEndpoints) -> None:
    server.reply("I don't know", reasoning='{"subject": "streams", "priority": 2}')

    with pytest.raises(OutputParserException, match="don't know"):
        ChatOVHCloud(model="gpt-oss-120b").with_structured_output(Ticket).invoke("?")


@pytest.mark.parametrize("name", ["Qwen3Guard-Gen-8B", "Qwen3Guard-Gen-0.6B"])
def test_model_that_gives_no_objects_says_which_do(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} answers with text only.*gpt-oss-120b"):
        ChatOVHCloud(model=name).with_structured_output(Ticket)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_refusal_is_an_error_of_its_own(server: LocalEndpoints, model: ChatOVHCloud, method: Any) -> None:
    body = {"choices": [{"message": {"role": "assistant", "refusal": "I can't."}, "finish_reason": "stop"}]}
    asking = model.with_structured_output(Ticket, method=method)

    server.reply(body=body)
    with pytest.raises(REFUSAL, match="I can't") as caught:
        asking.invoke(NOTE)
    if REFUSAL is not OutputParserException:
        assert isinstance(caught.value.raw_message, AIMessage)
    server.reply(body=body)
    raw: Any = model.with_structured_output(Ticket, method=method, include_raw=True).invoke(NOTE)
    assert isinstance(raw["parsing_error"], REFUSAL)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize(("schema", "shown"), [(list[Ticket], r"list\[.*Ticket\]"), (int, "int"), (dict, "dict")])
def test_schema_of_what_is_no_object_is_an_error(method: Any, schema: Any, shown: str) -> None:
    with pytest.raises(ValueError, match=f"The schema must be that of an object; got {shown}. Give a class"):
        ChatOVHCloud(model="gpt-oss-20b").with_structured_output(schema, method=method)
