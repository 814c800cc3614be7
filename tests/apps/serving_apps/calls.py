"""Calls to be traced: how each is made, and what the service answers to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ovhcloud_ai_endpoints import OVHCloudError
from ovhcloud_ai_endpoints.testing import CUT, LocalEndpoints, Pause

KEY = "sk-very-secret-0123456789"
HEADER = "header-secret-0123456789"
SECRETS = (KEY, HEADER)
SILENCE = 1.0  # seconds after the first token of the stream "slow"
USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 20,
    "total_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 7},
}


def event(text: str, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {"id": "c", "model": "gpt-oss-120b", "object": "chat.completion.chunk", "choices": [choice]}


ANSWERS: dict[str, list[dict[str, Any]]] = {
    "whole": [{"text": "Hi there, friend", "reasoning": "A greeting.", "usage": USAGE}],
    "awaited": [{"text": "Hi there, friend", "reasoning": "A greeting.", "usage": USAGE}],
    "stream": [{"text": "Hi there, friend", "reasoning": "A greeting.", "usage": USAGE}],
    "awaited stream": [{"text": "Hi there, friend", "reasoning": "A greeting.", "usage": USAGE}],
    "slow": [{"events": [event("Once"), Pause(SILENCE), event(" more", "stop"), "[DONE]"]}],
    "object": [{"text": '{"subject": "streams", "priority": 2}'}],
    "tools": [{"reasoning": "I need a tool.", "tool_calls": [("get_weather", {"city": "Paris"}, "call-1")]}],
    "agent": [{"tool_calls": [("get_weather", {"city": "Rome"}, "call-2")]}, {"text": "It is sunny in Rome"}],
    "refused": [{"status": 400, "body": {"error": {"message": f"no such key: {KEY}"}}}],
    "cut": [{"events": [event("Half"), event(" of it"), CUT]}],
}


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


@dataclass(frozen=True)
class Failure:
    """How a call has failed."""

    error: OVHCloudError


def answer_all(server: LocalEndpoints, names: Sequence[str] = tuple(ANSWERS)) -> None:
    """Sets what is answered to all calls, in their order."""
    for name in names:
        for answer in ANSWERS[name]:
            server.reply(**answer)


def make_all(calls: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Makes each call, and returns what each has returned, or its failure."""
    found: dict[str, Any] = {}
    for name, call in calls.items():
        try:
            found[name] = call()
        except OVHCloudError as error:
            found[name] = Failure(error)
    return found
