import math

import pytest

from ovhcloud_ai_endpoints import Timeouts
from ovhcloud_ai_endpoints._http.clocks import DRAIN_SECONDS, Clocks


def test_first_event_has_its_own_clock() -> None:
    watch = Clocks(Timeouts(first_event=600, idle=120), now=1000)

    assert watch.left(1000) == 600
    watch.event(1500)
    assert watch.left(1500) == 120


def test_total_bounds_every_other_clock() -> None:
    watch = Clocks(Timeouts(first_event=600, idle=120, total=100), now=0)

    assert watch.left(0) == 100
    watch.event(90)
    assert watch.left(90) == 10


def test_no_clock_is_no_limit() -> None:
    watch = Clocks(Timeouts(first_event=None, idle=None), now=0)

    assert watch.left(1e9) == math.inf
    watch.event(1)
    assert watch.left(1e9) == math.inf


def test_time_that_the_reader_takes_is_not_silence() -> None:
    watch = Clocks(Timeouts(idle=10), now=0)
    watch.event(0)

    watch.pause(300)

    assert watch.left(300) == 10


def test_total_runs_while_the_reader_is_busy() -> None:
    watch = Clocks(Timeouts(idle=10, total=100), now=0)
    watch.event(0)

    watch.pause(300)

    assert watch.left(300) == -200


def test_time_before_the_first_event_is_nobodys_pause() -> None:
    watch = Clocks(Timeouts(first_event=60), now=0)

    watch.pause(300)

    assert watch.left(0) == 60


def test_time_that_we_make_the_call_wait_is_on_no_clock() -> None:
    watch = Clocks(Timeouts(first_event=60, idle=200, total=90), now=0)

    watch.wait(30)

    assert watch.left(0) == 90
    watch.event(0)
    assert watch.left(0) == 120


def test_first_event_is_the_first_and_no_other() -> None:
    watch = Clocks(Timeouts(), now=1)
    assert (watch.started, watch.first_event) == (1, None)

    watch.event(2)
    watch.event(3)

    assert (watch.started, watch.first_event) == (1, 2)


def test_end_of_the_body_has_a_moment_and_no_more() -> None:
    watch = Clocks(Timeouts(idle=100), now=0)
    watch.event(0)

    watch.drain(10)
    watch.drain(10.2)
    watch.pause(5)

    assert watch.left(10) == DRAIN_SECONDS


@pytest.mark.parametrize(
    ("timeouts", "events", "said", "clock"),
    [
        (Timeouts(first_event=5), [], "No answer began within 5 s", "first_event"),
        (Timeouts(idle=7), [1], "The stream was silent for 7 s", "idle"),
        (Timeouts(total=3), [1], "The answer was not complete within 3 s", "total"),
        (Timeouts(first_event=3, total=3), [], "No answer began within 3 s", "first_event"),
    ],
)
def test_error_says_which_clock_ran_out(timeouts: Timeouts, events: list[float], said: str, clock: str) -> None:
    watch = Clocks(timeouts, now=0)
    for event in events:
        watch.event(event)

    assert str(watch.expired()) == (
        f"{said}. To wait longer, raise timeout=Timeouts({clock}=...). "
        "A reasoning model may think for minutes: stream to watch it, or lower reasoning_effort."
    )
