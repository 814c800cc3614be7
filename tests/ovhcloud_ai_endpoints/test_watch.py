import math

import pytest

from ovhcloud_ai_endpoints import Timeouts
from ovhcloud_ai_endpoints._watch import Watch


def test_first_event_has_its_own_clock() -> None:
    watch = Watch(Timeouts(first_event=600, idle=120), now=1000)

    assert watch.left(1000) == 600
    watch.event(1500)
    assert watch.left(1500) == 120


def test_total_bounds_every_other_clock() -> None:
    watch = Watch(Timeouts(first_event=600, idle=120, total=100), now=0)

    assert watch.left(0) == 100
    watch.event(90)
    assert watch.left(90) == 10


def test_no_clock_is_no_limit() -> None:
    watch = Watch(Timeouts(first_event=None, idle=None), now=0)

    assert watch.left(1e9) == math.inf
    watch.event(1)
    assert watch.left(1e9) == math.inf


def test_time_that_the_reader_takes_is_not_silence() -> None:
    watch = Watch(Timeouts(idle=10), now=0)
    watch.event(0)

    watch.pause(300)

    assert watch.left(300) == 10


def test_total_runs_while_the_reader_is_busy() -> None:
    watch = Watch(Timeouts(idle=10, total=100), now=0)
    watch.event(0)

    watch.pause(300)

    assert watch.left(300) == -200


@pytest.mark.parametrize(
    ("timeouts", "events", "said"),
    [
        (Timeouts(first_event=5), [], "No answer began within 5 s"),
        (Timeouts(idle=7), [1], "silent for 7 s"),
        (Timeouts(total=3), [1], "not complete within 3 s"),
    ],
)
def test_error_says_which_clock_ran_out(timeouts: Timeouts, events: list[float], said: str) -> None:
    watch = Watch(timeouts, now=0)
    for event in events:
        watch.event(event)

    assert said in str(watch.expired())
