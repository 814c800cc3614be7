"""The limiter, by itself and in calls."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ovhcloud_ai_endpoints import RateLimitError, Timeouts
from ovhcloud_ai_endpoints._embeddings.request import EmbeddingRequest
from ovhcloud_ai_endpoints._http.call import Call
from ovhcloud_ai_endpoints._http.limits import (
    KEPT,
    LATE,
    LONGEST,
    Limiter,
    _limiters,
    forget,
    limiter,
)
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.settings import Settings


def headers(remaining: int | None = None, *, reset: float | None = None, limit: int | None = None) -> dict[str, str]:
    said = {
        "x-ratelimit-limit-minute": limit,
        "x-ratelimit-remaining-minute": remaining,
        "ratelimit-reset": reset,
    }
    return {name: str(value) for name, value in said.items() if value is not None}


class TestLimiter:
    def test_nobody_is_held_back_before_the_limit_is_reached(self) -> None:
        one = Limiter()
        one.record(0, 200, headers(1, reset=30, limit=2))

        assert [one.seconds_until_free(0, ticket) for ticket in range(100)] == [0] * 100

    def test_the_last_that_is_let_through_holds_all_back_until_the_reset(self) -> None:
        one = Limiter()

        assert one.record(0, 200, headers(0, reset=30)) == 30
        assert one.seconds_until_free(10, 1) == 20
        assert one.seconds_until_free(29.9, 2) == pytest.approx(0.1)
        assert one.seconds_until_free(30, 1) == 0

    @pytest.mark.parametrize(
        "said", [{"retry-after": "30"}, {"ratelimit-reset": "30"}, {"retry-after": "30", "ratelimit-reset": "50"}]
    )
    def test_a_refusal_does_too(self, said: dict[str, str]) -> None:
        one = Limiter()

        assert one.record(0, 429, said) == 30
        assert one.seconds_until_free(1, 1) == 29

    def test_a_date_is_read_by_the_clock_on_the_wall(self) -> None:
        one = Limiter()

        one.record(5, 429, {"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, epoch=20)

        assert one.seconds_until_free(5, 1) == 40

    def test_a_refusal_that_says_nothing_holds_nobody_back(self) -> None:
        one = Limiter()

        assert one.record(0, 429, {}) == 0
        assert one.seconds_until_free(0, 1) == 0

    @pytest.mark.parametrize(("limit", "waits"), [(400, [0, 0]), (2, [0, 58]), (1, [58, 58])])
    def test_a_refusal_that_asks_for_no_wait_changes_nothing(self, limit: int, waits: list[float]) -> None:
        one = Limiter()
        one.record(0, 429, headers(reset=10, limit=limit))
        assert one.seconds_until_free(11, 1) == 0

        assert one.record(12, 429, {"retry-after": "0"}) == 0
        assert [one.seconds_until_free(12, ticket) for ticket in (2, 3)] == waits

    def test_only_the_first_to_say_it_is_told_so(self) -> None:
        one = Limiter()

        assert [one.record(0, 429, headers(reset=10)) for _ in range(3)] == [10, 0, 0]

    def test_a_later_end_counts_and_an_earlier_does_not(self) -> None:
        one = Limiter()
        for reset in (10, 30, 20):
            one.record(0, 429, headers(reset=reset))

        assert one.seconds_until_free(0, 1) == 30

    def test_an_answer_that_took_long_says_what_was_when_it_began(self) -> None:
        one = Limiter()

        assert one.record(50, 200, headers(0, reset=30), age=50) == 0
        assert one.record(50, 200, headers(0, reset=30), age=20) == 10 + LATE

    def test_one_that_came_soon_may_have_left_late(self) -> None:
        assert Limiter().record(50, 200, headers(0, reset=30), age=2) == 30

    def test_a_reset_that_can_not_be_is_no_longer_than_a_minute(self) -> None:
        one = Limiter()
        one.record(0, 429, headers(reset=10, limit=400))
        one.seconds_until_free(10, 0)

        one.record(11, 200, headers(1, reset=45_000, limit=400))

        assert [one.seconds_until_free(11, ticket) for ticket in (1, 2)] == [0, 59]

    def test_after_the_reset_no_more_go_than_the_limit(self) -> None:
        one = Limiter()
        one.record(0, 429, headers(reset=10, limit=2))

        assert [one.seconds_until_free(10, ticket) for ticket in range(5)] == [0, 0, 60, 60, 60]
        assert [one.seconds_until_free(70, ticket) for ticket in range(2, 5)] == [0, 0, 60]

    def test_what_others_have_used_counts(self) -> None:
        one = Limiter()
        one.record(0, 429, headers(reset=10, limit=400))
        one.seconds_until_free(10, 0)

        one.record(11, 200, headers(1, reset=59, limit=400))

        assert [one.seconds_until_free(11, ticket) for ticket in range(1, 4)] == [0, 59, 59]

    def test_a_window_that_is_not_used_up_lets_all_go_again(self) -> None:
        one = Limiter()
        one.record(0, 429, headers(reset=10, limit=2))
        one.seconds_until_free(10, 1)

        assert [one.seconds_until_free(71, ticket) for ticket in range(10)] == [0] * 10
        assert not one.holds_back

    def test_windows_that_nobody_used_pass(self) -> None:
        one = Limiter()
        one.record(0, 429, headers(reset=10, limit=1))

        assert one.seconds_until_free(10 + 5 * 60 + 1, 1) == 0
        assert one.seconds_until_free(10 + 5 * 60 + 1, 2) == 59

    def test_who_was_first_goes_first(self) -> None:
        one = Limiter()
        one.record(0, 429, headers(reset=10, limit=2))
        for ticket in (3, 1, 2):
            one.seconds_until_free(0, ticket)

        assert [one.seconds_until_free(10, ticket) for ticket in (3, 2, 1)] == [60, 0, 0]

    def test_who_leaves_makes_room(self) -> None:
        one = Limiter()
        one.record(0, 429, headers(reset=10, limit=1))
        one.seconds_until_free(0, 1)
        one.seconds_until_free(0, 2)
        assert one.seconds_until_free(10, 2) == 60

        one.leave(1)
        one.leave(1)

        assert one.seconds_until_free(10, 2) == 0

    def test_who_comes_later_does_not_go_before_those_who_wait(self) -> None:
        one = Limiter()
        one.record(0, 429, headers(reset=10, limit=1))
        one.seconds_until_free(0, 1)

        assert one.seconds_until_free(10, 2) == 60
        assert one.seconds_until_free(10, 1) == 0

    def test_nothing_is_believed_for_more_than_a_day(self) -> None:
        one = Limiter()

        one.record(0, 429, {"retry-after": "9" * 30})

        assert one.seconds_until_free(0, 1) == LONGEST

    def test_what_does_not_say_until_when_or_how_many_changes_nothing(self) -> None:
        one = Limiter()
        one.record(0, 429, headers(reset=10, limit=400))
        one.seconds_until_free(10, 0)

        assert one.record(11, 200, headers(reset=59)) == 0
        assert one.record(11, 200, headers(2)) == 0
        assert [one.seconds_until_free(11, ticket) for ticket in range(10)] == [0] * 10

    def test_what_is_left_of_a_window_is_no_more_than_the_least_that_was_said(self) -> None:
        one = Limiter()
        one.record(0, 429, headers(reset=10, limit=2))
        one.seconds_until_free(10, 0)

        assert one.record(11, 200, headers(5, reset=30)) == 0
        assert [one.seconds_until_free(11, ticket) for ticket in (1, 2)] == [0, 30]

    def test_an_older_answer_does_not_end_the_wait(self) -> None:
        one = Limiter()
        one.record(0, 429, headers(reset=30))

        assert one.record(5, 200, headers(3, reset=10)) == 0
        assert one.seconds_until_free(5, 1) == 25

    def test_a_refusal_within_a_window_says_when_it_ends(self) -> None:
        one = Limiter()
        one.record(0, 429, headers(reset=10, limit=2))
        one.seconds_until_free(10, 0)

        assert one.record(20, 429, headers(reset=5)) == 5
        assert one.seconds_until_free(20, 1) == 5

    def test_an_earlier_end_does_not_open_the_window(self) -> None:
        one = Limiter()
        for reset in (30, 20):
            one.record(0, 429, headers(reset=reset, limit=1))

        assert one.seconds_until_free(20, 1) == 10

    def test_after_a_minute_it_is_asked_again(self) -> None:
        one = Limiter()

        one.record(0, 429, {"retry-after": "3600"})

        assert one.seconds_until_free(59, 1) == 3541
        assert one.seconds_until_free(60, 2) == 0

    @given(st.dictionaries(st.sampled_from([*headers(1, reset=1, limit=1), "retry-after"]), st.text(max_size=12)))
    @example({"x-ratelimit-limit-minute": "0\x1f"})
    def test_odd_headers_do_no_harm(self, said: dict[str, str]) -> None:
        one = Limiter()
        for status in (200, 429):
            assert 0 <= one.record(0, status, said) <= LONGEST

        assert 0 <= one.seconds_until_free(0, 1) <= LONGEST

    @given(
        st.lists(
            st.tuples(
                st.floats(0, 50), st.sampled_from(["ask", "leave", 200, 429]), st.integers(0, 5), st.integers(0, 70)
            )
        )
    )
    def test_whoever_waits_is_let_through_in_the_end(self, steps: list[tuple[float, str | int, int, int]]) -> None:
        one, now = Limiter(), 0.0
        for passed, what, number, reset in steps:
            now += passed
            if what == "ask":
                one.seconds_until_free(now, number)
            elif what == "leave":
                one.leave(number)
            else:
                one.record(now, int(what), headers(number, reset=reset, limit=3))

        waiting, rounds = set(range(20)), 0
        while waiting:
            waits = {ticket: one.seconds_until_free(now, ticket) for ticket in sorted(waiting)}
            waiting = {ticket for ticket, wait in waits.items() if wait}
            now += max(waits.values())
            rounds += 1
        assert rounds < 12


class TestLimiters:
    def test_are_shared_by_who_has_the_same_server_key_and_model(self) -> None:
        one = limiter("https://a/v1", "key", "m")

        others = {
            limiter("https://b/v1", "key", "m"),
            limiter("https://a/v1", "", "m"),
            limiter("https://a/v1", "key", "n"),
        }
        assert len({one, *others}) == 4
        assert limiter("https://a/v1", "key", "m") is one

        forget("https://b/v1")
        assert limiter("https://a/v1", "key", "m") is one
        assert limiter("https://b/v1", "key", "m") not in others

    def test_hold_no_key(self) -> None:
        limiter("https://a/v1", "very-secret-key", "m")

        assert "very-secret-key" not in repr(_limiters)

    def test_are_not_kept_for_ever(self) -> None:
        closed = limiter("https://a/v1", "closed", "m")
        closed.record(0, 429, headers(reset=10))
        for number in range(3 * KEPT):
            limiter("https://a/v1", f"rotating {number}", "m")

        assert len(_limiters) == KEPT
        assert limiter("https://a/v1", "closed", "m") is closed

    def test_are_not_kept_for_ever_though_all_hold_back(self) -> None:
        for number in range(3 * KEPT):
            limiter("https://a/v1", f"refused {number}", "m").record(0, 429, headers(reset=10))

        assert len(_limiters) == KEPT


ASKED = EmbeddingRequest({"model": "m", "input": ["text"]}, count=1)


def test_a_wait_that_is_too_long_is_not_begun() -> None:
    settings = Settings(api_key="key", base_url="http://short.example/v1", retry=Retry(max_wait=10))
    limiter(settings.base_url, "key", "m").record(0, 429, headers(reset=30))

    call = Call(settings, ASKED)
    with pytest.raises(
        RateLimitError, match=r"no request for 30 s\. Waiting that long is ruled out by max_wait=10, so nothing"
    ) as caught:
        call.begin_attempt(0, 0.5)

    assert caught.value.retry_after == 30
    assert "OVHCLOUD_API_KEY" not in str(caught.value)


def test_without_a_key_it_is_said_what_one_would_allow() -> None:
    settings = Settings(base_url="http://short.example/v1", retry=Retry(max_wait=10))
    limiter(settings.base_url, "", "m").record(0, 429, headers(reset=30))

    with pytest.raises(RateLimitError, match="with a key 400: set OVHCLOUD_API_KEY"):
        Call(settings, ASKED).begin_attempt(0, 0.5)


def test_limits_are_not_shared_when_that_is_asked() -> None:
    settings = Settings(api_key="key", base_url="http://off.example/v1", share_limits=False)
    limiter(settings.base_url, "key", "m").record(0, 429, headers(reset=30))

    assert Call(settings, ASKED).begin_attempt(0, 0.5) == 0


def test_a_key_that_changes_leaves_no_place_behind() -> None:
    keys = iter(["old", "new"])
    settings = Settings(api_key=lambda: next(keys), base_url="http://rotating.example/v1")
    old = limiter(settings.base_url, "old", "m")
    old.record(0, 429, headers(reset=30, limit=1))
    call = Call(settings, ASKED)

    assert call.begin_attempt(0, 0) == 30
    assert call.begin_attempt(30, 0) == 0
    assert old.seconds_until_free(30, 10**9) == 0


def test_waiting_for_a_slot_again_counts_against_no_clock() -> None:
    settings = Settings(base_url="http://slot.example/v1", timeouts=Timeouts(first_event=5, total=7))
    call = Call(settings, ASKED)
    call.begin_attempt(0, 0)
    call.answered(503, {})
    call.next_attempt(call.refusal(0), now=1, chance=0)

    call.begin_attempt(100, 0, queued=99)

    assert call.clocks.left(100) == 4


def test_waiting_for_the_limit_counts_against_the_clocks() -> None:
    settings = Settings(api_key="key", base_url="http://clock.example/v1", timeouts=Timeouts(first_event=40))
    limiter(settings.base_url, "key", "m").record(0, 429, headers(reset=30))
    call = Call(settings, ASKED)

    assert call.begin_attempt(0, 0.5) == pytest.approx(31.5)
    assert call.begin_attempt(31.5, 0.5) == 0
    assert call.clocks.left(31.5) == 8.5


@pytest.mark.parametrize(
    ("argument", "retry"),
    [("timeout", Retry()), ("max_retries=0", Retry(max_retries=0)), ("max_wait=29", Retry(max_wait=29))],
)
def test_what_forbids_to_wait_is_said(argument: str, retry: Retry) -> None:
    settings = Settings(base_url=f"http://{argument}/v1", timeouts=Timeouts(first_event=31), retry=retry)
    limiter(settings.base_url, "", "m").record(0, 429, headers(reset=30))

    with pytest.raises(RateLimitError, match=f"ruled out by {argument}"):
        Call(settings, ASKED).begin_attempt(0, 0.5)


def test_a_call_that_was_refused_does_not_wait_beyond_its_clocks() -> None:
    settings = Settings(
        api_key="key", base_url="http://late.example/v1", timeouts=Timeouts(first_event=20), retry=Retry()
    )
    call = Call(settings, ASKED)
    call.begin_attempt(0, 0)
    call.answered(429, {"retry-after": "10"})
    call.record_limits(0, 0)
    assert call.next_attempt(call.refusal(0), now=0, chance=0) == 10
    limiter(settings.base_url, "key", "m").record(5, 429, headers(reset=40))

    with pytest.raises(RateLimitError) as caught:
        call.begin_attempt(10, 0)

    assert caught.value.status == 429
