"""Lines of batch files, out and back."""

import json
from typing import Any

import pytest
from batching import chat_request
from hypothesis import example, given
from hypothesis import strategies as st

from ovhcloud_ai_endpoints import BadRequestError, InternalServerError, PayloadTooLargeError, RateLimitError
from ovhcloud_ai_endpoints._batches.lines import body_of, line_of, result_of, written
from ovhcloud_ai_endpoints._batches.requests import Lines
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._values import Exchange

BODY = b'{"model":"m"}'
KEY = "0f" * 20
USAGE = {"prompt_tokens": 3, "completion_tokens": 4}


def key(number: int = 0, place: int | None = None, body: bytes = BODY, server: str = "http://s/v1") -> str:
    return line_of(server, "/v1/chat/completions", "m", body, number=number, place=place).key


def back(**fields: Any) -> Any:
    return result_of(json.dumps({"custom_id": KEY, **fields}).encode())


class TestOut:
    def test_a_line_is_what_the_service_documents(self) -> None:
        line = written("k", "/v1/chat/completions", BODY)

        assert line.endswith(b"\n")
        assert json.loads(line) == {
            "custom_id": "k",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "m"},
        }

    def test_a_stream_is_asked_for_whole(self) -> None:
        request = chat_request("Hi", stream=True, stream_options={"include_usage": True}, seed=1)

        assert json.loads(body_of(request)).keys() == {"model", "messages", "seed"}

    def test_equal_requests_have_equal_keys(self) -> None:
        assert key() == key()

    @pytest.mark.parametrize("other", [{"number": 1}, {"place": 0}, {"body": b"{}"}, {"server": "http://t/v1"}])
    def test_others_have_others(self, other: dict[str, Any]) -> None:
        assert key() != key(**other)

    def test_too_large_a_request_is_refused_before_it_is_written(self) -> None:
        request = ChatRequest({"model": "m", "messages": [{"role": "user", "content": "x" * 100}]}, most_bytes=50)

        with pytest.raises(PayloadTooLargeError):
            body_of(request)


class TestBack:
    def test_an_answer(self) -> None:
        result = back(response={"status_code": 200, "body": {"id": "c", "usage": USAGE}}, error=None)

        assert result.is_answer
        assert (result.prompt_tokens, result.completion_tokens) == (3, 4)
        assert json.loads(result.body) == {"id": "c", "usage": USAGE}

    def test_an_error_with_a_status(self) -> None:
        error = back(response={"status_code": 429, "body": {"message": "slow down"}}, error=None).error()

        assert isinstance(error, RateLimitError)
        assert "slow down" in str(error)

    @pytest.mark.parametrize(
        ("code", "kind"), [(400, BadRequestError), ("429", RateLimitError), ("odd", InternalServerError)]
    )
    def test_an_error_without_an_answer(self, code: Any, kind: type[Exception]) -> None:
        error = back(response=None, error={"code": code, "message": "no"}).error()

        assert type(error) is kind
        assert "no" in str(error)

    def test_an_error_without_a_body(self) -> None:
        assert isinstance(back(response={"status_code": 500}).error(), InternalServerError)

    @pytest.mark.parametrize(
        "fields",
        [
            {"response": None, "error": {"code": "batch_expired", "message": "late"}},
            {"response": None, "error": None},
            {},
        ],
    )
    def test_no_answer(self, fields: dict[str, Any]) -> None:
        assert back(**fields) is None

    @pytest.mark.parametrize(
        ("response", "status"),
        [
            ({"status_code": "429", "body": {}}, 429),
            ({"status_code": True, "body": {"id": "c"}}, 200),
            ({"status_code": 10**30, "body": {"error": {"message": "no"}}}, 500),
            ({"status_code": 0, "body": None}, 500),
        ],
    )
    def test_an_odd_status(self, response: Any, status: int) -> None:
        assert back(response=response).status == status

    def test_odd_counts(self) -> None:
        usage = {"prompt_tokens": 10**30, "completion_tokens": -1}
        result = back(response={"status_code": 200, "body": {"usage": usage}})

        assert (result.prompt_tokens, result.completion_tokens) == (0, 0)

    def test_half_a_letter_stays_an_escape(self) -> None:
        assert b"\\ud83d" in back(response={"status_code": 200, "body": {"text": "Hi \ud83d"}}).body

    @pytest.mark.parametrize(
        "line", [b"[" * 100_000, b'{"custom_id": "\\ud800"}', b"", b"{", b"[]", b"null", b'{"custom_id": 3}', b"\xff"]
    )
    def test_what_says_nothing(self, line: bytes) -> None:
        assert result_of(line) is None

    @example({"error": {"code": []}})
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda one: (
                st.lists(one)
                | st.dictionaries(st.sampled_from(["response", "error", "body", "status_code", "usage", "code"]), one)
            ),
        )
    )
    def test_any_json_is_a_result_or_nothing(self, value: Any) -> None:
        fields = value if isinstance(value, dict) else {"response": value}
        result = back(**fields)

        assert result is None or result.is_answer or result.error()


@given(
    st.lists(st.binary(min_size=1).map(lambda line: line.translate(None, b"\r\n \t\x0b\x0c")), max_size=8),
    st.integers(1, 7),
)
def test_lines_are_the_same_however_they_are_cut(lines: list[bytes], size: int) -> None:
    content, reader, found = b"\n".join(lines), Lines(), []
    for at in range(0, len(content), size):
        found += reader.feed(content[at : at + size])
    found += reader.end()

    assert found == [line for line in lines if line]
    assert reader.result(Exchange()) == len(found)
