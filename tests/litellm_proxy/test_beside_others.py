"""The same questions to the same proxy by OpenAI's own client and by curl: what they get is what we get."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.timeout(120)  # the first test waits for the proxy to start

CLIENT = Path(__file__).with_name("openai_client.py")
MODELS = ("my-model", "my-vllm", "my-openai")
KEY = "sk-1234"


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"properties": {"city": {"type": "string"}}, "required": ["city"], "type": "object"},
    },
}
ASKED: dict[str, tuple[str, bool]] = {
    "text": ("Paris is in France. Rome is in Italy. Where is Rome?", False),
    "unicode": ("Łódź liegt in Polen 🇵🇱. Wo liegt Łódź?", False),
    "a call": ("What is the weather in Saint-Étienne?", True),
    "no call": ("Say nothing of it", True),
}
CASES = [(name, model) for name in ASKED for model in MODELS]

each_case = pytest.mark.parametrize(("name", "model"), CASES)
whole_or_streamed = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def request(name: str, model: str) -> dict[str, Any]:
    text, has_tool = ASKED[name]
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return {**body, "tools": [TOOL]} if has_tool else body


@pytest.fixture(scope="module")
def by_openai(proxy: str, litellm_python: Path) -> dict[tuple[str, str], dict[str, Any]]:
    asked = {"base_url": proxy, "api_key": KEY, "questions": [request(*case) for case in CASES]}
    command = [str(litellm_python), str(CLIENT)]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


def by_curl(proxy: str, body: dict[str, Any]) -> str:
    headers = ["-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type: application/json"]
    command = ["curl", "--silent", "--show-error", "--fail", "--no-buffer", *headers, "--data-binary", "@-"]
    url = f"{proxy}/chat/completions"
    done = subprocess.run([*command, url], input=json.dumps(body).encode(), capture_output=True, check=True, timeout=60)
    return done.stdout.decode()


def in_json(answer: str) -> dict[str, Any]:
    body = json.loads(answer)
    message, usage = body["choices"][0]["message"], body["usage"]
    calls = [made["function"] for made in message.get("tool_calls") or []]
    return {
        "text": message.get("content") or "",
        "calls": [[made["name"], json.loads(made["arguments"])] for made in calls],
        "tokens": [usage["prompt_tokens"], usage["completion_tokens"]],
        "finish_reason": body["choices"][0]["finish_reason"],
    }


def in_events(answer: str) -> dict[str, Any]:
    lines = [line.removeprefix("data: ") for line in answer.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    events = [json.loads(line) for line in lines]
    choices = [choice for event in events for choice in event["choices"]]
    pieces = [piece for choice in choices for piece in choice["delta"].get("tool_calls") or []]
    functions = [
        ["".join(piece["function"].get(part) or "" for piece in pieces if piece["index"] == index) for part in FUNCTION]
        for index in sorted({piece["index"] for piece in pieces})
    ]
    usage = next(event["usage"] for event in reversed(events) if event.get("usage"))
    return {
        "text": "".join(choice["delta"].get("content") or "" for choice in choices),
        "calls": [[name, json.loads(arguments)] for name, arguments in functions],
        "tokens": [usage["prompt_tokens"], usage["completion_tokens"]],
        "finish_reason": next(choice["finish_reason"] for choice in reversed(choices) if choice.get("finish_reason")),
    }


FUNCTION = ("name", "arguments")


def ours(way: Any, name: str, model: str, *, streamed: bool) -> dict[str, Any]:
    text, has_tool = ASKED[name]
    said = way.ask(text, model=model, streamed=streamed, tools=[get_weather] if has_tool else [])
    calls = [list(call) for call in said.calls]
    return {"text": said.text, "calls": calls, "tokens": list(said.tokens), "finish_reason": said.finish_reason}


@each_case
@whole_or_streamed
class TestAnAnswer:
    def test_is_what_openais_client_gets(
        self, server: LocalEndpoints, way: Any, by_openai: Any, name: str, model: str, streamed: bool
    ) -> None:
        theirs = by_openai[name, model]["streamed" if streamed else "whole"]

        assert ours(way, name, model, streamed=streamed) == theirs
        assert theirs["text"] or theirs["calls"]

    def test_is_what_curl_gets(
        self, server: LocalEndpoints, way: Any, proxy: str, name: str, model: str, streamed: bool
    ) -> None:
        options = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
        answer = by_curl(proxy, {**request(name, model), **options})
        theirs = in_events(answer) if streamed else in_json(answer)

        assert ours(way, name, model, streamed=streamed) == theirs
        assert theirs["text"] or theirs["calls"]
