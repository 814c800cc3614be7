"""One call by itself: it is told what comes and when, and no socket is needed."""

import sys
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr

from ovhcloud_ai_endpoints import (
    APIConnectionError,
    APITimeoutError,
    BadRequestError,
    InternalServerError,
    InvalidResponseError,
    RateLimitError,
    Timeouts,
)
from ovhcloud_ai_endpoints._http.call import MAX_ERROR_BYTES, Call
from ovhcloud_ai_endpoints._http.limits import LATE
from ovhcloud_ai_endpoints._http.request import Content, Whole, json_content
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints._values import Exchange

KEY = "a-key-of-the-tests"


@dataclass(frozen=True)
class Asked:
    """A request of the simplest kind, whose answer is a JSON object."""

    body: dict[str, Any] = field(default_factory=lambda: {"a": 1})
    method: str = "POST"
    path: str = "/p"
    may_repeat: bool = True
    largest: int = 1000

    @property
    def model(self) -> str | None:
        return self.body.get("model")

    def content(self) -> Content:
        return json_content(self.body) if self.method == "POST" else Content()

    def read(self, whole: Whole) -> dict[str, Any]:
        return whole.json_object()


def begun(
    body: dict[str, Any] | None = None,
    *,
    base_url: str = "http://call/v1",
    request: dict[str, Any] | None = None,
    **options: Any,
) -> Call[dict[str, Any]]:
    """A call whose first attempt has begun at 0."""
    asked = Asked(**({} if body is None else {"body": body}), **(request or {}))
    call = Call(Settings(api_key=SecretStr(KEY), base_url=base_url, **options), asked)
    assert call.begin_attempt(0, 0.5) == 0
    return call


def test_request_is_made_of_path_and_body() -> None:
    call = begun({"model": "m", "input": ["é"]})

    assert (call.method, call.path, call.url) == ("POST", "/p", "http://call/v1/p")
    assert call.content == Content('{"model":"m","input":["é"]}'.encode(), "application/json")
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["Authorization"] == f"Bearer {KEY}"


def test_request_without_a_body_asks_for_something() -> None:
    call = begun(request={"method": "GET"})

    assert (call.method, call.content) == ("GET", Content())
    assert "Content-Type" not in call.headers


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_can_not_say_is_an_error_before_it_is_sent(value: Any) -> None:
    with pytest.raises(BadRequestError, match=r"^The request can't be written as JSON: .+\.$"):
        begun({"a": value})


@pytest.mark.parametrize(
    ("timeouts", "connect", "read"),
    [
        (Timeouts(connect=5, first_event=60), 5, 60),
        (Timeouts(connect=None, first_event=60), 60, 60),
        (Timeouts(connect=90, first_event=60), 60, 60),
        (Timeouts(connect=None, first_event=None, total=None), None, None),
    ],
)
def test_timeouts_are_those_of_the_clocks(timeouts: Timeouts, connect: float | None, read: float | None) -> None:
    call = begun(timeouts=timeouts)

    assert (call.connect_timeout(0), call.read_timeout(0)) == (connect, read)
    assert read is None or call.read_timeout(70) == 0.001


def test_body_of_an_error_is_kept_as_far_as_it_is_shown() -> None:
    call = begun()
    call.answered(500, {})

    assert call.received(b"a" * (MAX_ERROR_BYTES - 1), 1)
    assert not call.received(b"bc", 1)
    assert bytes(call._body) == b"a" * (MAX_ERROR_BYTES - 1) + b"b"


@pytest.mark.parametrize(("now", "more"), [(59.5, True), (60, False), (61, False)])
def test_body_of_an_error_is_read_while_there_is_time(now: float, more: bool) -> None:
    call = begun(timeouts=Timeouts(first_event=60))
    call.answered(500, {})

    assert call.received(b"a", now) is more


def test_body_of_an_answer_has_a_limit_and_a_clock() -> None:
    call = begun(timeouts=Timeouts(first_event=60))
    call.answered(200, {})

    assert call.received(b"ab", 59)
    assert call.received(b"cd", 60)
    with pytest.raises(APITimeoutError):
        call.received(b"e", 61)
    assert bytes(call._body) == b"abcde"

    call.received(b"x" * 995, 1)
    with pytest.raises(InvalidResponseError) as caught:
        call.received(b"x", 1)
    assert caught.value.message == (f"The answer is larger than 1,000 bytes. It begins with '{'abcde' + 'x' * 195}'.")
    assert len(call._body) == 1000  # what is too much is not even kept


@pytest.mark.parametrize(
    ("headers", "target"), [({"location": "https://other/v1?key=x?y"}, "https://other/v1"), ({}, "elsewhere")]
)
def test_redirect_is_not_followed_and_told_without_its_query(headers: dict[str, str], target: str) -> None:
    call = begun()
    assert not call.answered(307, {**headers, "x-request-id": "r"})

    error = call.refusal(0)

    assert type(error) is InvalidResponseError
    assert error.message == f"The service redirects to {target}, where no key is sent. Set base_url if that is right."
    assert (error.status, error.request_id) == (307, "r")


def test_refusal_is_what_the_status_means() -> None:
    call = begun({"model": "new-model"})
    call.answered(413, {"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT", "x-request-id": "r"})
    call.received(b"big", 1)

    error = call.refusal(40)

    assert error.message.startswith(
        "big. 0.00 MB were sent, and the service takes 2 MB: perhaps a gateway on the way takes less."
    )
    assert (error.status, error.body, error.request_id, error.retry_after) == (413, "big", "r", 60)


def test_encoding_that_was_not_asked_for_is_told_with_the_status() -> None:
    call = begun()
    call.answered(200, {"content-encoding": " BR "})

    with pytest.raises(InvalidResponseError, match=r"^The answer is encoded as br, which was not asked for") as caught:
        call.begin_body()
    assert caught.value.status == 200


def test_attempts_and_waits_are_counted() -> None:
    call = begun({"model": "m"}, base_url="http://counted/v1", retry=Retry(max_retries=5))
    failure = InternalServerError("boom")
    failure.is_transient = True
    waits = []
    for now in (1, 2):
        waits.append(call.next_attempt(failure, now=now, chance=0.5))
        assert call.begin_attempt(now, 0.5) == 0
    call.answered(200, {"x-request-id": "r", "x-warning": "w"})
    call.received(b"{}", 4)
    call.result(4)

    assert waits == [0.25, 0.5]
    assert call.exchange() == Exchange(request_id="r", attempts=3, waited=0.75, first_event_after=4, warning="w")
    assert (failure.attempts, failure.waited) == (2, 0.25)


def test_nothing_of_an_attempt_is_taken_for_the_next() -> None:
    call = begun(retry=Retry(max_retries=5))
    call.answered(500, {"x-request-id": "r"})
    call.received(b"first", 1)
    call.begin_attempt(2, 0.5)

    assert call.exchange().request_id is None
    assert bytes(call._body) == b""
    assert call.meaning_of(APIConnectionError("gone")) is not None  # no answer has begun


def test_limit_that_is_reached_names_the_model() -> None:
    call = begun({"model": "gpt-oss-20b"}, base_url="http://limited/v1")
    assert call.answered(200, {"x-ratelimit-remaining-minute": "0", "ratelimit-reset": "30"})

    assert call.record_limits(10, 0) == 20 + LATE  # as old as the request, which may have left late
    settings = Settings(api_key=SecretStr(KEY), base_url="http://limited/v1", retry=Retry(max_wait=5))
    with pytest.raises(RateLimitError) as caught:
        Call(settings, Asked({"model": "gpt-oss-20b"})).begin_attempt(10, 0)
    assert caught.value.message == (
        "The limit for gpt-oss-20b is reached, and the service takes no request for 25 s. "
        "Waiting that long is ruled out by max_wait=5, so nothing was sent."
    )


def test_waits_for_the_limit_add_up() -> None:
    call = Call(Settings(api_key=SecretStr(KEY), base_url="http://adds/v1"), Asked({"model": "m"}))
    other = begun({"model": "m"}, base_url="http://adds/v1")
    other.answered(429, {"retry-after": "Thu, 01 Jan 1970 00:00:50 GMT"})
    assert other.record_limits(0, 20) == 30

    assert [call.begin_attempt(at, 0) for at in (0, 20, 30)] == [30, 10, 0]
    assert call.exchange().waited == 40


def test_limits_that_are_not_shared_hold_nobody_back() -> None:
    call = begun({"model": "m"}, share_limits=False)
    call.answered(429, {"retry-after": "30"})

    assert call.record_limits(0, 0) == 0
    assert call.begin_attempt(1, 0) == 0


def test_what_is_lost_depends_on_what_had_come() -> None:
    call, lost = begun(), APIConnectionError("gone")
    lost.is_transient = True
    assert call.meaning_of(lost) is lost
    assert lost.is_transient

    call.answered(500, {})
    assert call.meaning_of(lost) is None

    call.answered(200, {})
    timeout = APITimeoutError("late")
    timeout.is_transient = True
    assert call.meaning_of(timeout) is timeout
    assert timeout.is_transient is False
    cut = call.meaning_of(lost)
    assert cut is not None
    assert cut.message == (
        "The connection to http://call/v1 was lost before the answer ended. "
        "The request is not sent again, because it may have been billed."
    )


def test_call_that_is_given_up_says_why() -> None:
    call = begun(retry=Retry(max_retries=5))
    assert str(call.given_up()) == "Not sent: another request of this run had already failed"

    failure = InternalServerError(f"boom {KEY}")
    failure.is_transient = True
    call.next_attempt(failure, now=0, chance=0)
    assert call.given_up() is failure
    assert KEY not in str(failure)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"[1]", "The answer is not a JSON object"),
        (b"{", "The answer can't be read as JSON: EOF while parsing an object at line 1 column 1"),
    ],
)
def test_answer_that_is_none_is_told_with_the_services_id(text: bytes, problem: str) -> None:
    call = begun()
    call.answered(200, {"x-request-id": "r"})
    call.received(text, 1)

    with pytest.raises(InvalidResponseError) as caught:
        call.result(1)

    assert caught.value.message == f"{problem}. It begins with {text.decode()!r}."
    assert caught.value.request_id == "r"
    assert caught.value.headers == {"x-request-id": "r"}


def test_what_creates_something_is_sent_again_only_if_it_can_not_have_taken_effect() -> None:
    call = begun(request={"may_repeat": False})
    refused, lost = APIConnectionError("refused"), APIConnectionError("lost")
    refused.is_transient = lost.is_transient = True
    refused.may_have_taken_effect = False

    assert call.next_attempt(refused, now=0, chance=0.5) > 0
    with pytest.raises(APIConnectionError, match="lost"):
        call.next_attempt(lost, now=0, chance=0.5)


def test_limit_that_refuses_what_creates_something_is_waited_for() -> None:
    call = begun({"model": "m"}, base_url="http://creates/v1", request={"may_repeat": False})
    call.answered(429, {"retry-after": "1"})

    assert call.next_attempt(call.refusal(0), now=0, chance=0) == 1


@pytest.mark.parametrize(
    ("headers", "day"),
    [({"date": "Mon, 23 Nov 2026 10:00:00 GMT"}, "2026-11-23"), ({"date": "soon"}, None), ({}, None)],
)
def test_day_is_the_one_that_the_service_says(headers: dict[str, str], day: str | None) -> None:
    call = begun()
    call.answered(200, headers)

    assert call.whole().day == day


def test_values_of_answers_are_not_kept() -> None:
    call = begun()
    call.answered(200, {})
    call.received(b'{"a": "only once, 5f0c"}', 1)

    first, second = call.result(1)["a"], call.result(1)["a"]

    assert first == second
    assert first is not second
    assert sys.getrefcount(first) <= 2
