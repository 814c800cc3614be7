"""What LangSmith is sent, by its own client, of an app that uses our chat model."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from collectors import LangSmith, Run
from serving_apps.calls import HEADER, KEY, SECRETS, SILENCE, answer_all
from serving_apps.running import run_app

from ovhcloud_ai_endpoints.testing import LocalEndpoints
from ovhcloud_ai_endpoints.testing import Request as Asked

pytestmark = pytest.mark.timeout(60)
COUNTED = {
    "input_tokens": 10,
    "output_tokens": 20,
    "total_tokens": 30,
    "input_token_details": {"cache_read": 4},
    "output_token_details": {"reasoning": 7},
}
ANSWERED = ["whole", "awaited", "stream", "awaited stream"]
STREAMED = ["stream", "awaited stream", "slow", "cut"]


@dataclass
class Traced:
    runs: list[Run]
    everything: bytes
    asked: list[Asked]
    unplayed: int

    def run(self, name: str, kind: str = "llm") -> Run:
        (found,) = [run for run in self.runs if (run.name, run.run_type) == (name, kind)]
        return found

    def below(self, run: Run) -> list[Run]:
        """All runs that it has caused, also by others."""
        children = [one for one in self.runs if one.parent == run.id]
        return children + [one for child in children for one in self.below(child)]


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    with LocalEndpoints(api_keys=[KEY]) as server, LangSmith() as collector:
        answer_all(server)
        tracing = {
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_ENDPOINT": collector.url,
            "LANGSMITH_API_KEY": "of-langsmith",
            "LANGSMITH_PROJECT": "tests",
        }
        run_app("under_langsmith.py", environ=server.environ | tracing)
        yield Traced(collector.runs(), collector.everything, list(server.requests), server.unplayed)


def time_of(run: Run, event: str) -> datetime:
    return datetime.fromisoformat(next(one["time"] for one in run.events if one["name"] == event))


def message_of(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = run.outputs["generations"][0][0]["message"]["kwargs"]
    return found


def test_service_is_asked_as_without_a_tracer(traced: Traced) -> None:
    assert (len(traced.asked), traced.unplayed) == (11, 0)
    assert {(one.api_key, one.headers["x-team"]) for one in traced.asked} == {(KEY, HEADER)}
    assert traced.asked[0].json == {
        "model": "gpt-oss-120b",
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0.3,
        "max_tokens": 77,
        "stop": ["END"],
    }


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_is_sent(traced: Traced, secret: str) -> None:
    assert b'"whole"' in traced.everything
    assert secret.encode() not in traced.everything


@pytest.mark.parametrize("name", [*ANSWERED, "slow", "tools", "refused", "cut"])
def test_calls_are_runs_of_a_model_with_provider_and_name(traced: Traced, name: str) -> None:
    shown = traced.run(name).metadata

    assert (shown["ls_provider"], shown["ls_model_name"], shown["ls_model_type"]) == (
        "ovhcloud",
        "gpt-oss-120b",
        "chat",
    )
    assert (shown["ls_temperature"], shown["ls_max_tokens"], shown["ls_stop"]) == (0.3, 77, ["END"])
    assert shown["lc_versions"]["ovhcloud-ai-endpoints"]


def test_calls_have_their_tags_and_metadata(traced: Traced) -> None:
    run = traced.run("whole")

    assert run.tags == ["from-a-test"]
    assert run.metadata["ticket"] == "T-1"


def test_parameters_are_those_that_were_sent(traced: Traced) -> None:
    shown = traced.run("whole").invocation

    assert (shown["model"], shown["temperature"], shown["max_tokens"]) == ("gpt-oss-120b", 0.3, 77)


def test_stop_of_the_model_is_among_the_parameters(traced: Traced) -> None:
    assert traced.asked[0].json["stop"] == ["END"]
    assert traced.run("whole").invocation["stop"] == ["END"]


@pytest.mark.parametrize("name", ANSWERED)
def test_usage_has_cached_and_reasoning_tokens(traced: Traced, name: str) -> None:
    run = traced.run(name)

    assert message_of(run)["usage_metadata"] == COUNTED
    assert run.metadata["usage_metadata"] == COUNTED


@pytest.mark.parametrize("name", ANSWERED)
def test_answer_and_reasoning_are_whole(traced: Traced, name: str) -> None:
    message = message_of(traced.run(name))

    assert message["content"] == "Hi there, friend"
    assert message["additional_kwargs"] == {"reasoning_content": "A greeting."}
    assert message["response_metadata"]["finish_reason"] == "stop"


@pytest.mark.parametrize("name", STREAMED)
def test_streams_show_their_first_token(traced: Traced, name: str) -> None:
    run = traced.run(name)

    assert [event["name"] for event in run.events][:2] == ["start", "new_token"]
    assert time_of(run, "start") <= time_of(run, "new_token")


def test_first_token_has_the_time_when_it_came(traced: Traced) -> None:
    run = traced.run("slow")

    assert (time_of(run, "end") - time_of(run, "new_token")).total_seconds() > SILENCE / 2


def test_tools_are_among_the_parameters(traced: Traced) -> None:
    run = traced.run("tools")

    assert run.invocation["tools"] == traced.asked[6].json["tools"]
    assert run.invocation["tools"][0]["function"]["name"] == "get_weather"


def test_tool_calls_are_in_the_answer(traced: Traced) -> None:
    message = message_of(traced.run("tools"))

    assert [(call["id"], call["name"], call["args"]) for call in message["tool_calls"]] == [
        ("call-1", "get_weather", {"city": "Paris"})
    ]
    assert message["additional_kwargs"]["reasoning_content"] == "I need a tool."


def test_schema_of_an_object_is_among_the_parameters(traced: Traced) -> None:
    (model,) = [run for run in traced.below(traced.run("object", "chain")) if run.run_type == "llm"]

    shown, sent = (one["response_format"]["json_schema"] for one in (model.invocation, traced.asked[5].json))
    assert shown["name"] == sent["name"] == "Ticket"
    assert shown["schema"]["properties"].keys() == sent["schema"]["properties"].keys() == {"subject", "priority"}
    assert model.all["extra"]["options"]["ls_structured_output_format"]["schema"]["title"] == "Ticket"


def test_object_is_the_output_of_its_chain(traced: Traced) -> None:
    assert traced.run("object", "chain").outputs == {"output": {"subject": "streams", "priority": 2}}


def test_agent_is_the_parent_of_its_models_and_tools(traced: Traced) -> None:
    kinds = [run.run_type for run in traced.below(traced.run("agent", "chain"))]

    assert (kinds.count("llm"), kinds.count("tool")) == (2, 1)


def test_failure_is_an_error_with_the_message_and_the_status(traced: Traced) -> None:
    run = traced.run("refused")

    assert (run.error or "").startswith("BadRequestError('no such key: **********.')")
    assert message_of(run)["response_metadata"]["status_code"] == 400


def test_stream_that_breaks_off_is_an_error_that_keeps_what_came(traced: Traced) -> None:
    run = traced.run("cut")

    assert (run.error or "").startswith("StreamInterruptedError(")
    assert message_of(run)["content"] == "Half of it"


def test_nothing_of_a_run_is_unreadable(traced: Traced) -> None:
    assert "not_implemented" not in json.dumps([run.all for run in traced.runs if run.run_type == "llm"])
