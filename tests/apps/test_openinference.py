"""What OpenInference's instrumentations of both frameworks see, in this process and through a collector."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from collectors import OpenTelemetry, Span
from openinference.instrumentation.langchain import LangChainInstrumentor
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from serving_apps.calls import HEADER, KEY, SECRETS, answer_all
from serving_apps.langchain_calls import langchain_calls
from serving_apps.llama_index_calls import llama_index_calls
from serving_apps.running import run_app

from ovhcloud_ai_endpoints.testing import LocalEndpoints
from ovhcloud_ai_endpoints.testing import Request as Asked

pytestmark = [
    pytest.mark.timeout(60),
    # OpenInference's handler for LlamaIndex writes a model's metadata so, and shows no span if it can't.
    pytest.mark.filterwarnings("ignore:The `json` method:pydantic.warnings.PydanticDeprecatedSince20"),
]
ANSWERED = ["whole", "awaited", "stream", "awaited stream"]
COUNTS = {
    "prompt": 10,
    "completion": 20,
    "total": 30,
    "prompt_details.cache_read": 4,
    "completion_details.reasoning": 7,
}


@dataclass
class Traced:
    spans: list[Span]
    shown: bytes
    asked: list[Asked]
    unplayed: int

    def below(self, span: Span) -> list[Span]:
        children = [one for one in self.spans if one.parent == span.id]
        return children + [one for child in children for one in self.below(child)]


class OfLangChain(Traced):
    def span(self, name: str, kind: str = "LLM") -> Span:
        (found,) = [span for span in self.spans if (span.name, span.kind) == (name, kind)]
        return found


class OfLlamaIndex(Traced):
    def span(self, text: str) -> Span:
        """The span of the call whose message has this text."""
        place = "llm.input_messages.0.message.content"
        (found,) = [span for span in self.spans if span.kind == "LLM" and span.attributes.get(place) == text]
        return found

    def embedding(self, text: str) -> Span:
        place = "embedding.embeddings.0.embedding.text"
        (found,) = [span for span in self.spans if span.attributes.get(place) == text]
        return found


def as_span(span: ReadableSpan) -> Span:
    assert span.context is not None
    return Span(
        name=span.name,
        attributes={name: list(one) if isinstance(one, tuple) else one for name, one in span.attributes.items()},
        is_error=span.status.status_code is StatusCode.ERROR,
        description=span.status.description or "",
        events=[(event.name, dict(event.attributes or {})) for event in span.events],
        id=format(span.context.span_id, "016x"),
        parent=format(span.parent.span_id, "016x") if span.parent else None,
    )


def traced_here(framework: str, server: LocalEndpoints) -> tuple[list[Span], bytes]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = LangChainInstrumentor() if framework == "langchain" else LlamaIndexInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in server.environ.items():
                patch.setenv(name, value)
            langchain_calls() if framework == "langchain" else llama_index_calls()
    finally:
        instrumentor.uninstrument()
    spans = exporter.get_finished_spans()
    return [as_span(span) for span in spans], "".join(span.to_json() for span in spans).encode()


def traced_by_a_collector(framework: str, server: LocalEndpoints) -> tuple[list[Span], bytes]:
    with OpenTelemetry() as collector:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        run_app("under_openinference.py", framework, environ=server.environ | endpoint)
        return collector.spans(), collector.everything


KINDS: dict[str, type[Traced]] = {"langchain": OfLangChain, "llama-index": OfLlamaIndex}
WAYS = {"here": traced_here, "collector": traced_by_a_collector}
BOTH = [(framework, way) for framework in KINDS for way in WAYS]


def of(framework: str) -> pytest.MarkDecorator:
    """Only one of the frameworks, both ways."""
    return pytest.mark.parametrize("traced", [one for one in BOTH if one[0] == framework], indirect=True, ids="-".join)


@pytest.fixture(scope="module", params=BOTH, ids="-".join)
def traced(request: pytest.FixtureRequest) -> Iterator[Any]:
    framework, way = request.param
    with LocalEndpoints(api_keys=[KEY]) as server:
        answer_all(server)
        spans, shown = WAYS[way](framework, server)
        yield KINDS[framework](spans, shown, list(server.requests), server.unplayed)


def counted(span: Span) -> dict[str, Any]:
    start = "llm.token_count."
    return {name.removeprefix(start): one for name, one in span.attributes.items() if name.startswith(start)}


def said(span: Span) -> str:
    """The text of the answer, as a string or as the block behind the thoughts."""
    start = "llm.output_messages.0.message."
    plain = span.attributes.get(f"{start}content")
    return str(plain or span.attributes.get(f"{start}contents.1.message_content.text"))


def exception_of(span: Span) -> dict[str, Any]:
    (found,) = [attributes for name, attributes in span.events if name == "exception"]
    return found


class TestBothFrameworks:
    def test_ask_the_service_as_without_a_tracer(self, traced: Any) -> None:
        chats = [one.json for one in traced.asked if one.path.endswith("/chat/completions")]

        assert traced.unplayed == 0
        assert {(one.api_key, one.headers["x-team"]) for one in traced.asked} == {(KEY, HEADER)}
        assert len(chats) == 11
        assert all((chat["temperature"], chat["max_tokens"], chat["stop"]) == (0.3, 77, ["END"]) for chat in chats)

    @pytest.mark.parametrize("secret", SECRETS)
    def test_show_no_secret(self, traced: Any, secret: str) -> None:
        assert b"gpt-oss-120b" in traced.shown
        assert secret.encode() not in traced.shown

    @pytest.mark.parametrize("name", [*ANSWERED, "slow", "tools", "refused", "cut"])
    def test_show_the_model(self, traced: Any, name: str) -> None:
        span = traced.span(name)

        assert (span.kind, span.attributes["llm.model_name"]) == ("LLM", "gpt-oss-120b")

    @pytest.mark.parametrize("name", ANSWERED)
    def test_count_tokens(self, traced: Any, name: str) -> None:
        assert counted(traced.span(name)) == COUNTS

    @pytest.mark.parametrize("name", ANSWERED)
    def test_show_the_whole_answer(self, traced: Any, name: str) -> None:
        span = traced.span(name)

        assert said(span) == "Hi there, friend"
        assert span.attributes["llm.output_messages.0.message.role"] == "assistant"
        assert span.attributes["llm.finish_reason"] == "stop"

    def test_show_tool_calls(self, traced: Any) -> None:
        shown = traced.span("tools").attributes
        call = "llm.output_messages.0.message.tool_calls.0.tool_call"

        assert shown[f"{call}.id"] == "call-1"
        assert shown[f"{call}.function.name"] == "get_weather"
        assert json.loads(shown[f"{call}.function.arguments"]) == {"city": "Paris"}

    def test_show_the_schema_of_a_tool(self, traced: Any) -> None:
        shown = json.loads(traced.span("tools").attributes["llm.tools.0.tool.json_schema"])

        assert shown["function"]["name"] == "get_weather"
        assert list(shown["function"]["parameters"]["properties"]) == ["city"]

    def test_show_a_failure_with_its_message(self, traced: Any) -> None:
        span = traced.span("refused")

        assert span.is_error
        assert "no such key: **********." in span.description
        assert exception_of(span)["exception.message"] == "no such key: **********. [HTTP 400]"
        assert exception_of(span)["exception.type"].endswith(".BadRequestError")

    def test_show_that_a_stream_broke_off(self, traced: Any) -> None:
        span = traced.span("cut")

        assert span.is_error
        assert exception_of(span)["exception.type"].endswith(".StreamInterruptedError")
        assert "10 characters of text had arrived" in exception_of(span)["exception.message"]

    def test_show_no_other_failure(self, traced: Any) -> None:
        assert {span.id for span in traced.spans if span.is_error and span.kind == "LLM"} == {
            traced.span("refused").id,
            traced.span("cut").id,
        }


@of("langchain")
class TestLangChain:
    def test_shows_the_provider(self, traced: OfLangChain) -> None:
        assert traced.span("whole").attributes["llm.provider"] == "ovhcloud"

    def test_shows_the_parameters(self, traced: OfLangChain) -> None:
        shown = json.loads(traced.span("whole").attributes["llm.invocation_parameters"])

        assert (shown["model"], shown["temperature"], shown["max_tokens"]) == ("gpt-oss-120b", 0.3, 77)

    def test_shows_metadata(self, traced: OfLangChain) -> None:
        shown = json.loads(traced.span("whole").attributes["metadata"])

        assert (shown["ticket"], shown["ls_provider"]) == ("T-1", "ovhcloud")

    def test_shows_reasoning_in_the_output(self, traced: OfLangChain) -> None:
        output = json.loads(traced.span("stream").attributes["output.value"])
        message = output["generations"][0][0]["message"]["kwargs"]

        assert message["additional_kwargs"] == {"reasoning_content": "A greeting."}

    def test_keeps_what_came_of_a_stream_that_broke_off(self, traced: OfLangChain) -> None:
        assert said(traced.span("cut")) == "Half of it"

    def test_shows_an_agent_above_its_models_and_tools(self, traced: OfLangChain) -> None:
        kinds = [span.kind for span in traced.below(traced.span("agent", "AGENT"))]

        assert (kinds.count("LLM"), kinds.count("TOOL")) == (2, 1)


@of("llama-index")
class TestLlamaIndex:
    def test_shows_the_parameters(self, traced: OfLlamaIndex) -> None:
        shown = json.loads(traced.span("whole").attributes["llm.invocation_parameters"])

        assert (shown["model_name"], shown["context_window"], shown["num_output"]) == ("gpt-oss-120b", 131072, 77)

    @pytest.mark.parametrize("name", ["stream", "awaited stream", "slow", "cut"])
    def test_shows_the_first_token_of_a_stream(self, traced: OfLlamaIndex, name: str) -> None:
        assert "First Token Stream Event" in [event for event, _ in traced.span(name).events]

    def test_shows_an_agent_above_its_models_and_tools(self, traced: OfLlamaIndex) -> None:
        (agent,) = [span for span in traced.spans if span.name == "FunctionAgent.run"]
        below = traced.below(agent)

        assert [span.name for span in below].count("ChatOVHCloud.achat") == 2
        assert [span.kind for span in below].count("TOOL") == 1

    def test_shows_the_call_below_an_object(self, traced: OfLlamaIndex) -> None:
        (outer,) = [span for span in traced.spans if span.name == "ChatOVHCloud.structured_predict"]

        assert [span.name for span in traced.below(outer)] == ["ChatOVHCloud.chat"]
        assert json.loads(outer.attributes["output.value"]) == {"subject": "streams", "priority": 2}

    @pytest.mark.parametrize(("first", "texts"), [("one", ["one", "two"]), ("three", ["three"]), ("four", ["four"])])
    def test_shows_embeddings(self, traced: OfLlamaIndex, first: str, texts: list[str]) -> None:
        span = traced.embedding(first)
        places = [f"embedding.embeddings.{place}.embedding" for place in range(len(texts))]

        assert (span.kind, span.attributes["embedding.model_name"]) == ("EMBEDDING", "bge-m3")
        assert [span.attributes[f"{place}.text"] for place in places] == texts
        assert [len(span.attributes[f"{place}.vector"]) for place in places] == [1024] * len(texts)
