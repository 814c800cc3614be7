"""What Langfuse is sent, by its own client, of apps that use our classes."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from collectors import OpenTelemetry, Span
from serving_apps.calls import KEY, SECRETS, SILENCE, answer_all
from serving_apps.running import run_app

from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.timeout(60)
ANSWERED = ["whole", "awaited", "stream", "awaited stream"]
STREAMED = ["stream", "awaited stream", "slow", "cut"]


class Traced:
    def __init__(self, collector: OpenTelemetry, server: LocalEndpoints) -> None:
        self.spans = collector.spans()
        self.everything = collector.everything
        self.paths = {one.path for one in collector.received}
        self.asked = list(server.requests)
        self.unplayed = server.unplayed

    def observation(self, name: str, kind: str = "generation") -> Span:
        (found,) = [span for span in self.spans if (span.name, shown(span, "type")) == (name, kind)]
        return found

    def generation(self, text: str) -> Span:
        """Of LlamaIndex: the call whose message has this text."""
        place = "llm.input_messages.0.message.content"
        (found,) = [span for span in self.spans if span.kind == "LLM" and span.attributes.get(place) == text]
        return found


def shown(span: Span, name: str) -> Any:
    """What Langfuse shows of an observation; most of it travels as JSON."""
    value = span.attributes.get(f"langfuse.observation.{name}")
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


def traced(framework: str) -> Iterator[Traced]:
    with LocalEndpoints(api_keys=[KEY]) as server, OpenTelemetry() as collector:
        answer_all(server)
        langfuse = {
            "LANGFUSE_HOST": collector.url,
            "LANGFUSE_PUBLIC_KEY": "pk-lf-of-langfuse",
            "LANGFUSE_SECRET_KEY": "sk-lf-of-langfuse",
        }
        run_app("under_langfuse.py", framework, environ=server.environ | langfuse)
        yield Traced(collector, server)


@pytest.fixture(scope="module")
def langchain() -> Iterator[Traced]:
    yield from traced("langchain")


@pytest.fixture(scope="module")
def llama_index() -> Iterator[Traced]:
    yield from traced("llama-index")


class TestLangChain:
    def test_asks_the_service_as_without_a_tracer(self, langchain: Traced) -> None:
        assert (len(langchain.asked), langchain.unplayed) == (11, 0)
        assert {one.api_key for one in langchain.asked} == {KEY}

    @pytest.mark.parametrize("secret", SECRETS)
    def test_shows_no_secret(self, langchain: Traced, secret: str) -> None:
        assert langchain.paths == {"/api/public/otel/v1/traces"}
        assert b"Hi there, friend" in langchain.everything
        assert secret.encode() not in langchain.everything

    @pytest.mark.parametrize("name", [*ANSWERED, "slow", "tools", "refused", "cut"])
    def test_shows_the_model_and_its_provider(self, langchain: Traced, name: str) -> None:
        span = langchain.observation(name)

        assert shown(span, "model.name") == "gpt-oss-120b"
        assert shown(span, "metadata.ls_provider") == "ovhcloud"

    def test_shows_the_parameters(self, langchain: Traced) -> None:
        parameters = shown(langchain.observation("whole"), "model.parameters")

        assert (parameters["temperature"], parameters["max_tokens"]) == (0.3, 77)

    @pytest.mark.parametrize("name", ANSWERED)
    def test_shows_usage_with_cached_and_reasoning_tokens(self, langchain: Traced, name: str) -> None:
        assert shown(langchain.observation(name), "usage_details") == {
            "input": 6,
            "input_cache_read": 4,
            "output": 13,
            "output_reasoning": 7,
            "total": 30,
        }

    @pytest.mark.parametrize("name", ANSWERED)
    def test_shows_the_answer_and_its_reasoning(self, langchain: Traced, name: str) -> None:
        assert shown(langchain.observation(name), "output") == {
            "role": "assistant",
            "content": "Hi there, friend",
            "additional_kwargs": {"reasoning_content": "A greeting."},
        }

    @pytest.mark.parametrize("name", STREAMED)
    def test_shows_when_a_stream_began(self, langchain: Traced, name: str) -> None:
        began = shown(langchain.observation(name), "completion_start_time")

        assert datetime.fromisoformat(began)

    def test_first_token_has_the_time_when_it_came(self, langchain: Traced) -> None:
        slow, after = langchain.observation("slow"), langchain.observation("cut")
        times = [datetime.fromisoformat(shown(span, "completion_start_time")) for span in (slow, after)]

        assert (times[1] - times[0]).total_seconds() > SILENCE / 2

    def test_shows_tool_calls(self, langchain: Traced) -> None:
        (call,) = shown(langchain.observation("tools"), "output")["tool_calls"]

        assert (call["id"], call["name"], call["args"]) == ("call-1", "get_weather", {"city": "Paris"})

    def test_shows_tags_and_metadata(self, langchain: Traced) -> None:
        span = langchain.observation("whole")

        assert "from-a-test" in shown(span, "metadata.tags")
        assert shown(span, "metadata.ticket") == "T-1"

    def test_shows_a_failure_as_an_error_with_its_message(self, langchain: Traced) -> None:
        span = langchain.observation("refused")

        assert (shown(span, "level"), span.is_error) == ("ERROR", True)
        assert shown(span, "status_message") == "no such key: **********. [HTTP 400]"

    def test_shows_that_a_stream_broke_off(self, langchain: Traced) -> None:
        span = langchain.observation("cut")

        assert shown(span, "level") == "ERROR"
        assert "10 characters of text had arrived" in shown(span, "status_message")

    def test_shows_an_agent_above_its_models_and_tools(self, langchain: Traced) -> None:
        agent = langchain.observation("agent", "agent")
        parents = {span.id: span.parent for span in langchain.spans}

        def is_below(span: Span) -> bool:
            above = span.parent
            while above not in {None, agent.id}:
                above = parents.get(str(above))
            return above == agent.id

        kinds = [shown(span, "type") for span in langchain.spans if is_below(span)]
        assert (kinds.count("generation"), kinds.count("tool")) == (2, 1)


class TestLlamaIndex:
    def test_asks_the_service_as_without_a_tracer(self, llama_index: Traced) -> None:
        assert (len(llama_index.asked), llama_index.unplayed) == (14, 0)
        assert {one.api_key for one in llama_index.asked} == {KEY}

    @pytest.mark.parametrize("secret", SECRETS)
    def test_shows_no_secret(self, llama_index: Traced, secret: str) -> None:
        assert llama_index.paths == {"/api/public/otel/v1/traces"}
        assert b"Hi there, friend" in llama_index.everything
        assert secret.encode() not in llama_index.everything

    @pytest.mark.parametrize("name", ANSWERED)
    def test_shows_model_answer_and_usage(self, llama_index: Traced, name: str) -> None:
        attributes = llama_index.generation(name).attributes

        assert attributes["llm.model_name"] == "gpt-oss-120b"
        assert attributes["output.value"] == "assistant: Hi there, friend"
        assert [
            attributes[f"llm.token_count.{count}"]
            for count in ("prompt", "prompt_details.cache_read", "completion", "completion_details.reasoning", "total")
        ] == [10, 4, 20, 7, 30]

    @pytest.mark.parametrize("name", STREAMED)
    def test_shows_the_first_token_of_a_stream(self, llama_index: Traced, name: str) -> None:
        assert "First Token Stream Event" in [event for event, _ in llama_index.generation(name).events]

    def test_shows_a_failure_with_its_message(self, llama_index: Traced) -> None:
        span = llama_index.generation("refused")

        assert span.is_error
        assert "no such key: **********. [HTTP 400]" in span.description

    def test_shows_that_a_stream_broke_off(self, llama_index: Traced) -> None:
        span = llama_index.generation("cut")

        assert span.is_error
        assert "10 characters of text had arrived" in span.description

    def test_shows_embeddings(self, llama_index: Traced) -> None:
        texts = [
            span.attributes["embedding.embeddings.0.embedding.text"]
            for span in llama_index.spans
            if span.kind == "EMBEDDING"
        ]

        assert sorted(texts) == ["four", "one", "three"]
