"""What we take the service to do, checked on the local AI Endpoints; `pytest --live` checks it on the real one too.

A test marked `guess` holds what is documented nowhere; the live run settles it, and with it the name in the mark: a
constant of `_guesses`, or the class or function of the local server that it is about.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ovhcloud_ai_endpoints import model
from ovhcloud_ai_endpoints._chat.parameters import PARAMETERS
from ovhcloud_ai_endpoints._http.settings import BASE_URL
from ovhcloud_ai_endpoints.testing import LocalEndpoints, _batches, _gateway, _guesses, _schemas
from ovhcloud_ai_endpoints.testing._schemas import Chat

guess = pytest.mark.guess
LIVE_KEY = os.environ.get("LIVE_KEY")
HELLO = [{"role": "user", "content": "Say hello."}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA = {
    "name": "answer",
    "schema": {
        "type": "object",
        "properties": {"b": {"type": "string"}, "a": {"type": "string"}},
        "required": ["a", "b"],
    },
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR4nGM4oaGBFTEMLQkAgl1GAWqNFmsAAAAA"
    "SUVORK5CYII="
)


MINUTE = 61.0  # seconds until the next window of an anonymous limit, at most
SHOWN = 300  # characters of an answer in a report


class Service:
    """A service, asked by hand.

    Attributes:
        seen: status and beginning of each answer.
    """

    def __init__(self, base_url: str, key: str | None) -> None:
        self.http = httpx.Client(timeout=120, trust_env=False)
        self.base_url = base_url
        self.key = key
        self.is_local = "127.0.0.1" in base_url
        self.seen: list[str] = []

    def post(
        self,
        path: str = "/chat/completions",
        *,
        key: str | None = "",
        content: str = "",
        waits: bool = True,
        **body: Any,
    ) -> httpx.Response:
        """The answer to a request; waits for the reset when anonymous calls are limited.

        Args:
            key: None for an anonymous call; the service's by default.
            content: the body as it is sent; by default `body` as JSON.
        """
        key = self.key if key == "" else key
        headers = {"Content-Type": "application/json"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
        answer = self.http.post(self.base_url + path, headers=headers, content=content or json.dumps(body))
        self.seen.append(f"{answer.status_code} {answer.text[:SHOWN]}")
        if answer.status_code == 429 and key is None and waits:
            threading.Event().wait(MINUTE)
            return self.post(path, key=key, content=content, waits=False, **body)
        return answer

    def chat(self, model: str = "gpt-oss-20b", **body: Any) -> httpx.Response:
        return self.post(model=model, **{"messages": HELLO, **body})

    def events(self, **body: Any) -> list[Any]:
        lines = self.chat(**body, stream=True).text.splitlines()
        return [line.removeprefix("data: ") for line in lines if line.startswith("data:")]


@pytest.fixture(params=["local", pytest.param("live", marks=pytest.mark.live)])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    if request.param == "live":
        found = Service(os.environ.get("LIVE_URL", BASE_URL), LIVE_KEY)
        request.node.user_properties.append(("seen", found.seen))
        yield found
        found.http.close()
        return
    with LocalEndpoints() as server:
        found = Service(server.base_url, server.api_key)
        yield found
        found.http.close()


class TestRefusals:
    @guess("NOT_FOUND_BODY")
    def test_unknown_path_is_404(self, service: Service) -> None:
        assert service.post("/no-such-path").status_code == 404

    @guess("LARGEST_REQUEST")
    def test_two_megabytes_are_two_times_1024_times_1024(self, service: Service) -> None:
        assert service.chat(messages=[{"role": "user", "content": "x" * 2_050_000}]).status_code != 413

    def test_too_large_is_413_even_with_a_wrong_key(self, service: Service) -> None:
        assert (
            service.post(
                key="wrong", model="gpt-oss-20b", messages=[{"role": "user", "content": "x" * 2_100_000}]
            ).status_code
            == 413
        )

    @pytest.mark.parametrize(("model", "size", "status"), [("Qwen3.6-27B", 9, 200), ("m", 9, 404), ("m", 11, 413)])
    def test_models_that_see_images_and_names_that_are_unknown_take_ten_megabytes(
        self, service: Service, model: str, size: int, status: int
    ) -> None:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * size * 1_000_000}"}}

        assert service.post(model=model, messages=[{"role": "user", "content": [image]}]).status_code == status

    def test_wrong_key_is_403_before_the_body_is_read(self, service: Service) -> None:
        answer = service.post(key="wrong", foo=1)

        assert answer.status_code == 403
        assert "authentication failed" in answer.json()["message"]

    def test_wrong_type_is_422_as_text(self, service: Service) -> None:
        answer = service.chat(reasoning_effort="xhigh")

        assert answer.status_code == 422
        assert answer.headers["content-type"].startswith("text/plain")
        assert "unknown variant `xhigh`, expected one of `none`" in answer.text

    @pytest.mark.parametrize("field", ["top_k", "min_p", "chat_template_kwargs", "extra_body"])
    def test_unknown_field_is_400(self, service: Service, field: str) -> None:
        answer = service.chat(**{field: 1})

        assert answer.status_code == 400
        assert field in answer.json()["message"]

    @pytest.mark.parametrize(
        "body",
        [
            {"parallel_tool_calls": False, "tools": [TOOL]},
            {"logprobs": True, "top_logprobs": 2},
            {"max_tokens": 5, "max_completion_tokens": 5},
            {"stream_options": {"include_usage": True}},
        ],
        ids=lambda body: next(iter(body)),
    )
    def test_feature_that_is_not_supported_is_400(self, service: Service, body: dict[str, Any]) -> None:
        assert service.chat(**body).status_code == 400

    @guess("Chat")
    @pytest.mark.parametrize("field", ["user", "service_tier", "store", "metadata", "logit_bias"])
    def test_field_of_openai_is_400(self, service: Service, field: str) -> None:
        assert service.chat(**{field: "x"}).status_code == 400

    @pytest.mark.parametrize(
        "body",
        [
            {"tool_choice": "auto"},
            {"top_logprobs": 1},
            {"max_tokens": 10_000_000},
            {"response_format": {"type": "json_schema"}},
            {"response_format": {"type": "json_schema", "json_schema": {**SCHEMA, "schema": {"type": "objekt"}}}},
        ],
        ids=lambda body: " ".join(map(str, *body.items())),
    )
    def test_what_an_engine_can_not_do_is_400(self, service: Service, body: dict[str, Any]) -> None:
        """Seen with vLLM 0.32."""
        assert service.chat(**body).status_code == 400

    @guess("SEVERAL_GREEDY_ANSWERS_REFUSED")
    def test_several_answers_without_chance_are_400(self, service: Service) -> None:
        assert service.chat(n=2, temperature=0).status_code == 400

    @guess("GRAMMAR_LIMITS")
    def test_schema_that_no_grammar_can_follow_is_400(self, service: Service) -> None:
        schema = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
        format_ = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}

        assert service.chat(response_format=format_).status_code == 400

    @pytest.mark.parametrize(
        "body",
        [
            {"top_p": 0},
            {"seed": 2**63},
            {"stop": ""},
            {"messages": [{"role": "user", "content": None}]},
            {"messages": [{"role": "user"}]},
        ],
        ids=str,
    )
    def test_value_out_of_range_is_refused(self, service: Service, body: dict[str, Any]) -> None:
        """By the gateway or the engine; vLLM 0.32 takes none of them but the last."""
        assert service.chat(**body).status_code in {400, 422}

    @guess("TOO_LARGE_BODY")
    def test_too_large_says_so(self, service: Service) -> None:
        answer = service.chat(messages=[{"role": "user", "content": "x" * 2_100_000}])

        assert answer.json() == _guesses.TOO_LARGE_BODY

    @guess("UNKNOWN_MESSAGE_FIELDS_REFUSED")
    def test_unknown_field_of_a_message_is_refused(self, service: Service) -> None:
        assert service.chat(messages=[{**HELLO[0], "mood": "good"}]).status_code in {400, 422}

    @guess("STATUS_OF_REFUSED_TEMPLATE")
    def test_second_system_message_is_400(self, service: Service) -> None:
        messages = [{"role": "system", "content": "a"}, *HELLO, {"role": "system", "content": "b"}]

        assert service.chat(model="Qwen3.6-27B", messages=messages).status_code == _guesses.STATUS_OF_REFUSED_TEMPLATE

    @guess("MOST_STOPS")
    def test_fifth_stop_is_refused(self, service: Service) -> None:
        assert service.chat(stop=["1", "2", "3", "4", "5"]).status_code in {400, 422}

    def test_half_of_a_surrogate_pair_is_refused(self, service: Service) -> None:
        body = json.dumps({"model": "gpt-oss-20b", "messages": [{"role": "user", "content": "a\ud800"}]})

        assert service.post(content=body).status_code in {400, 422}

    @guess("EMPTY_TOOLS_REFUSED")
    def test_empty_list_of_tools_is_400(self, service: Service) -> None:
        assert service.chat(tools=[]).status_code == 400

    @guess("MODEL_NOT_FOUND")
    def test_unknown_model_is_404(self, service: Service) -> None:
        assert service.chat(model="gpt-oss-1b").status_code == 404

    @guess("served")
    def test_other_casing_of_a_model_is_404(self, service: Service) -> None:
        assert service.chat(model="GPT-OSS-20B").status_code == 404

    def test_effort_that_a_model_does_not_have_is_400(self, service: Service) -> None:
        answer = service.chat(model="Qwen3.8-27B", reasoning_effort="high")

        assert answer.status_code == 400
        assert "Unexpected reasoning effort high" in answer.json()["error"]["message"]

    @guess("_refused_images")
    def test_image_for_a_model_without_eyes_is_400(self, service: Service) -> None:
        image = {"type": "image_url", "image_url": {"url": PIXEL}}

        assert service.chat(messages=[{"role": "user", "content": [image]}]).status_code == 400

    @guess("REMOTE_IMAGES_REFUSED")
    def test_image_by_url_is_400(self, service: Service) -> None:
        image = {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}

        answer = service.chat(model="Qwen3.6-27B", messages=[{"role": "user", "content": [image]}])

        assert answer.status_code == 400

    @guess("_overflow")
    def test_overflow_is_400(self, service: Service) -> None:
        answer = service.chat(model="Qwen2.5-VL-72B-Instruct", messages=[{"role": "user", "content": "word " * 50_000}])

        assert answer.status_code == 400
        assert "max_tokens must be at least 1" in answer.json()["error"]["message"]

    @guess("TOO_MANY_INPUTS_STATUS")
    def test_too_many_texts_are_400(self, service: Service) -> None:
        assert service.post("/embeddings", model="bge-m3", input=["x"] * 26).status_code == 400

    @guess("Embeddings")
    def test_tokens_for_texts_are_422(self, service: Service) -> None:
        assert service.post("/embeddings", model="bge-m3", input=[[1, 2]]).status_code == 422

    @guess("EMPTY_TEXT_REFUSED")
    def test_empty_text_is_400(self, service: Service) -> None:
        assert service.post("/embeddings", model="bge-m3", input=[""]).status_code == 400

    @guess("OVERLONG_TEXT_REFUSED")
    def test_text_that_is_too_long_is_400(self, service: Service) -> None:
        answer = service.post("/embeddings", model="bge-m3", input=["word " * 9000])

        assert answer.status_code == 400
        assert "maximum context length is 8192 tokens" in answer.json()["error"]["message"]

    @guess("DIMENSIONS_REFUSED_WHERE_FIXED")
    def test_dimensions_of_a_fixed_model_are_400(self, service: Service) -> None:
        assert service.post("/embeddings", model="bge-m3", input=["x"], dimensions=64).status_code == 400


class TestAnswers:
    def test_message_has_reasoning_and_an_empty_list_of_calls(self, service: Service) -> None:
        body = service.chat(model="Qwen3.5-9B").json()

        message = body["choices"][0]["message"]
        assert body["object"] == "chat.completion"
        assert message["reasoning"]
        assert "reasoning_content" not in message
        assert message["tool_calls"] == []
        assert set(body["usage"]) >= {"prompt_tokens", "completion_tokens", "total_tokens"}

    def test_content_is_absent_when_there_is_none(self, service: Service) -> None:
        choice = service.chat(model="Qwen3.5-9B", max_tokens=5).json()["choices"][0]

        assert "content" not in choice["message"]
        assert choice["finish_reason"] == "length"

    def test_effort_none_is_no_reasoning(self, service: Service) -> None:
        assert (
            "reasoning" not in service.chat(model="Qwen3.5-9B", reasoning_effort="none").json()["choices"][0]["message"]
        )

    def test_alias_is_answered_by_its_model(self, service: Service) -> None:
        assert service.chat(model="openai/gpt-oss-20b").json()["model"] == "gpt-oss-20b"

    @pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "get_weather"}}])
    def test_tool_is_called(self, service: Service, choice: Any) -> None:
        asked = [{"role": "user", "content": "What is the weather in Paris?"}]
        answer = service.chat(messages=asked, tools=[TOOL], tool_choice=choice).json()["choices"][0]

        call = answer["message"]["tool_calls"][0]
        assert call["function"]["name"] == "get_weather"
        assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
        assert answer["finish_reason"] == "tool_calls"

    def test_schema_is_followed_in_alphabetical_order(self, service: Service) -> None:
        format_ = {"type": "json_schema", "json_schema": SCHEMA}
        text = service.chat(response_format=format_).json()["choices"][0]["message"]["content"]

        assert list(json.loads(text)) == ["a", "b"]

    def test_json_mode_gives_json(self, service: Service) -> None:
        asked = [{"role": "user", "content": "Give me JSON with the keys 'x' and 'y'."}]
        text = service.chat(messages=asked, response_format={"type": "json_object"}).json()["choices"][0]["message"][
            "content"
        ]

        assert set(json.loads(text)) == {"x", "y"}

    def test_stop_ends_an_answer(self, service: Service) -> None:
        asked = [{"role": "user", "content": "Repeat: one STOP two"}]

        assert "two" not in service.chat(messages=asked, stop=["STOP"]).json()["choices"][0]["message"]["content"]

    def test_several_answers_may_be_asked_for(self, service: Service) -> None:
        assert len(service.chat(n=2).json()["choices"]) == 2

    def test_image_is_taken(self, service: Service) -> None:
        content = [{"type": "text", "text": "Which colour?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]

        assert service.chat(model="Qwen3.6-27B", messages=[{"role": "user", "content": content}]).status_code == 200

    def test_reasoning_content_in_a_message_is_ignored(self, service: Service) -> None:
        messages = [*HELLO, {"role": "assistant", "content": "Hello.", "reasoning_content": "hm"}, *HELLO]

        assert service.chat(messages=messages).status_code == 200


class TestStreams:
    def test_end_with_usage_and_done(self, service: Service) -> None:
        events = service.events(stream_options={"include_usage": True})

        assert events[-1] == "[DONE]"
        first, *_, finish, usage = [json.loads(event) for event in events[:-1]]
        assert first["object"] == "chat.completion.chunk"
        assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert finish["choices"][0]["finish_reason"] == "stop"
        assert usage["choices"] == []
        assert usage["usage"]["total_tokens"] > 0

    def test_have_no_usage_unless_asked_for(self, service: Service) -> None:
        assert not any("usage" in json.loads(event) for event in service.events()[:-1])

    def test_name_a_tool_once(self, service: Service) -> None:
        asked = [{"role": "user", "content": "What is the weather in Paris?"}]
        deltas = [
            call
            for event in service.events(messages=asked, tools=[TOOL], tool_choice="required")[:-1]
            for choice in json.loads(event)["choices"]
            for call in choice["delta"].get("tool_calls") or []
        ]

        assert [call["function"].get("name") for call in deltas if call["function"].get("name")] == ["get_weather"]
        assert json.loads("".join(call["function"].get("arguments") or "" for call in deltas)) == {"city": "Paris"}

    def test_with_a_second_system_message_are_empty(self, service: Service) -> None:
        messages = [{"role": "system", "content": "a"}, *HELLO, {"role": "system", "content": "b"}]

        assert service.events(model="Qwen3.6-27B", messages=messages) == ["[DONE]"]


class TestEmbeddings:
    @pytest.mark.parametrize(
        ("model", "width"), [("bge-m3", 1024), ("bge-multilingual-gemma2", 3584), ("Qwen3-Embedding-8B", 4096)]
    )
    def test_have_the_models_width(self, service: Service, model: str, width: int) -> None:
        body = service.post("/embeddings", model=model, input=["one", "two"]).json()

        assert [item["index"] for item in body["data"]] == [0, 1]
        assert {len(item["embedding"]) for item in body["data"]} == {width}
        assert body["usage"]["total_tokens"] > 0

    def test_may_be_asked_for_a_single_text(self, service: Service) -> None:
        assert len(service.post("/embeddings", model="bge-m3", input="one").json()["data"]) == 1


class TestLimits:
    @guess("RESET_HEADER")
    def test_are_on_every_answer(self, service: Service) -> None:
        headers = service.chat().headers

        assert headers["x-ratelimit-limit-minute"] == ("2" if service.key is None else "400")
        assert int(headers[_guesses.RESET_HEADER]) <= 60

    @guess("RETRY_AFTER_ON_429")
    def test_without_a_key_are_two_a_minute(self, service: Service) -> None:
        answers = [service.post(key=None, waits=False, model="gpt-oss-20b", messages=HELLO) for _ in range(4)]

        assert answers[-1].status_code == 429
        assert answers[-1].json()["message"] == "API rate limit exceeded"
        assert int(answers[-1].headers["retry-after"]) <= 60


class BatchMode:
    """Files and jobs of a service. What it makes jobs of may cost `MOST_DOLLARS` in all; it cancels each of them."""

    MOST_DOLLARS = float(os.environ.get("LIVE_DOLLARS", "0.01"))

    def __init__(self, service: Service) -> None:
        self.service = service
        self.headers = {"Authorization": f"Bearer {service.key}"}
        self.spent = 0.0
        self.made: list[str] = []

    def get(self, path: str) -> httpx.Response:
        return self.service.http.get(self.service.base_url + path, headers=self.headers)

    def store(self, content: bytes, *, purpose: str = "batch", key: str | None = "") -> httpx.Response:
        headers = self.headers if key == "" else {}
        files = {"file": ("requests.jsonl", content, "application/jsonl")}
        url = f"{self.service.base_url}/files"
        return self.service.http.post(url, headers=headers, data={"purpose": purpose}, files=files)

    def make(self, content: bytes, endpoint: str = "/v1/chat/completions") -> httpx.Response:
        self.spent += content.count(b"\n") * model("gpt-oss-20b").cost(input_tokens=100, output_tokens=100)
        assert self.spent < self.MOST_DOLLARS
        body = {"input_file_id": self.store(content).json()["id"], "endpoint": endpoint, "completion_window": "24h"}
        url = f"{self.service.base_url}/batches"
        answer = self.service.http.post(url, headers=self.headers, json=body)
        self.made += [answer.json()["id"]] if answer.status_code == 200 else []
        return answer

    def after(self, status: str, job: str) -> dict[str, Any]:
        """A job, once it is no longer in a state."""
        while (seen := self.get(f"/batches/{job}").json())["status"] == status:
            threading.Event().wait(0.005 if self.service.is_local else 5)
        found: dict[str, Any] = seen
        return found

    def end(self) -> None:
        for job in self.made:
            self.service.http.post(f"{self.service.base_url}/batches/{job}/cancel", headers=self.headers)


def line(name: str = "a", url: str = "/v1/chat/completions", **body: Any) -> bytes:
    body = body or {"model": "gpt-oss-20b", "messages": HELLO, "max_tokens": 1}
    return json.dumps({"custom_id": name, "method": "POST", "url": url, "body": body}).encode() + b"\n"


@pytest.fixture
def batches(service: Service) -> Iterator[BatchMode]:
    if service.key is None:
        pytest.skip("batch mode takes a key")
    found = BatchMode(service)
    yield found
    found.end()


class TestBatchMode:
    def test_it_is_never_anonymous(self, batches: BatchMode) -> None:
        assert batches.store(line(), key=None).status_code in {401, 403}

    @guess("BatchMode")
    def test_a_file_is_for_batches(self, batches: BatchMode) -> None:
        assert batches.store(line(), purpose="nonsense").status_code == 400

    @guess("BatchMode")
    def test_a_file_is_read_as_it_was_stored(self, batches: BatchMode) -> None:
        stored = batches.store(line()).json()["id"]

        assert batches.get(f"/files/{stored}/content").content == line()

    def test_a_job_names_its_file_and_is_listed_first(self, batches: BatchMode) -> None:
        """By its file a job is found that may have been made."""
        made = batches.make(line()).json()
        listed = batches.get("/batches?limit=1").json()

        assert made["status"] == "validating"
        assert made["input_file_id"]
        assert listed["data"][0]["id"] == made["id"]
        assert listed["data"][0]["input_file_id"] == made["input_file_id"]

    @guess("BatchMode")
    def test_a_list_tells_whether_there_is_more(self, batches: BatchMode) -> None:
        first, second = batches.make(line()).json()["id"], batches.make(line()).json()["id"]
        page = batches.get("/batches?limit=1").json()

        assert page["has_more"] is True
        assert page["data"][0]["id"] == second
        assert batches.get(f"/batches?limit=1&after={second}").json()["data"][0]["id"] == first

    @guess("EMBEDDINGS_IN_BATCHES")
    def test_vectors_are_accepted(self, batches: BatchMode) -> None:
        asked = line(url="/v1/embeddings", model="bge-m3", input=["Hello"], encoding_format="base64")

        assert batches.make(asked, "/v1/embeddings").status_code == 200

    @guess("NAMES_BAD_LINE")
    @pytest.mark.timeout(300)
    def test_a_line_that_is_malformed_is_named(self, batches: BatchMode) -> None:
        job = batches.make(line() + b"{\n").json()["id"]
        seen = batches.after("validating", job)

        assert seen["status"] == "failed"
        assert seen["errors"]["data"][0]["line"] == 2

    @guess("BatchMode")
    @pytest.mark.timeout(300)
    def test_a_job_that_is_cancelled_ends(self, batches: BatchMode) -> None:
        job = batches.make(line()).json()["id"]
        batches.end()

        assert batches.after("cancelling", job)["status"] in {"cancelled", "completed"}


def test_answers_on_a_kept_connection_come_at_once() -> None:
    with LocalEndpoints() as server, httpx.Client() as client:
        headers = {"Authorization": f"Bearer {server.api_key}"}
        took = []
        for _ in range(50):
            started = time.perf_counter()
            client.post(
                f"{server.base_url}/chat/completions", headers=headers, json={"model": "gpt-oss-20b", "messages": HELLO}
            )
            took.append(time.perf_counter() - started)

    assert min(took) < 0.035  # a delayed acknowledgement would take 40 ms, each time


def test_port_that_is_taken_is_an_error() -> None:
    with LocalEndpoints() as server, pytest.raises(OSError, match="in use"):
        LocalEndpoints(port=int(server.base_url.split(":")[2].partition("/")[0])).__enter__()


def test_models_are_listed_without_a_key(service: Service) -> None:
    body = service.http.get(f"{service.base_url}/models").json()

    assert "gpt-oss-20b" in {item["id"] for item in body["data"]}
    assert isinstance(body["data"][0]["pricing"]["prompt"], str)


PARTS = (_batches, _gateway, _schemas)
UNPROBED = {"EXPIRED_LINES_ARE_ERRORS"}  # it takes a job of a day


def test_each_guess_names_what_it_settles() -> None:
    kinds = (TestRefusals, TestAnswers, TestStreams, TestEmbeddings, TestLimits, TestBatchMode)
    tests = [test for kind in kinds for test in vars(kind).values() if hasattr(test, "pytestmark")]
    marks = [mark for test in tests for mark in test.pytestmark if mark.name == "guess"]
    named = {name for mark in marks for name in mark.args}
    guesses = {name for name in vars(_guesses) if name.isupper()}

    assert all(mark.args for mark in marks)
    assert guesses - named == UNPROBED
    assert {name for name in named - guesses if not any(hasattr(one, name) for one in PARTS)} == set()


def test_gateway_knows_every_field_that_may_be_set() -> None:
    assert Chat.model_fields.keys() >= set(PARAMETERS)
