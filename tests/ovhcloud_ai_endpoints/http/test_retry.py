import math

import pytest

from ovhcloud_ai_endpoints._http.refusals import status_error
from ovhcloud_ai_endpoints._http.retry import Retry


def delay(
    status: int = 503, *, attempt: int = 1, left: float = math.inf, chance: float = 0.5, **headers: str
) -> object:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    retry = Retry(max_retries=2, max_wait=60)
    return retry.delay(status_error(status, names, b""), attempt=attempt, left=left, chance=chance)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int) -> None:
    assert delay(status) is not None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_stays_is_not_tried_again(status: int) -> None:
    assert delay(status) is None


def test_max_retries_are_tries_after_the_first() -> None:
    assert [delay(attempt=attempt) is not None for attempt in (1, 2, 3)] == [True, True, False]


def test_backoff_doubles_up_to_its_ceiling() -> None:
    retry = Retry(max_retries=99)
    error = status_error(500, {}, b"")

    waits = [retry.delay(error, attempt=attempt, left=math.inf, chance=1.0) for attempt in (1, 2, 3, 5, 9)]

    assert waits == [0.5, 1.0, 2.0, 8.0, 8.0]


def test_what_the_service_asks_for_is_waited_with_a_little_jitter() -> None:
    assert delay(429, retry_after="10", chance=0.0) == 10.0
    assert delay(429, retry_after="10", chance=1.0) == 11.0


def test_longer_than_max_wait_is_not_waited_for() -> None:
    assert delay(429, retry_after="61") is None


def test_no_wait_goes_beyond_the_deadline() -> None:
    assert delay(429, retry_after="10", left=9.0) is None


@pytest.mark.parametrize(
    ("retry", "wait", "left", "objection"),
    [
        (Retry(), 60.0, 61.0, None),
        (Retry(), 60.1, 99.0, "max_wait=60"),
        (Retry(max_wait=0.5), 1.0, 99.0, "max_wait=0.5"),
        (Retry(), 5.0, 5.0, "timeout"),
        (Retry(max_retries=0), 0.1, 99.0, "max_retries=0"),
        (Retry(max_retries=1), 0.1, 99.0, None),
    ],
)
def test_what_forbids_to_wait_is_named(retry: Retry, wait: float, left: float, objection: str | None) -> None:
    assert retry.objection(wait, left=left) == objection


def test_two_retries_and_a_minute_are_the_rule() -> None:
    assert Retry() == Retry(max_retries=2, max_wait=60.0, backoff=0.5)


@pytest.mark.parametrize(("left", "wait"), [(10.0, None), (10.5, 10.0)])
def test_wait_that_takes_all_the_time_is_none(left: float, wait: float | None) -> None:
    assert delay(429, retry_after="10", chance=0.0, left=left) == wait
    assert delay(429, retry_after="60", chance=0.0) == 60.0
