"""Both frameworks over a link that is slow, loses packets, or is cut; a proxy with TLS is at its far end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from link import Link, running_link
from load import TASKS, THREADS, every
from origins import BEGUN, ENDED, running_origin
from packets import FAR
from processes import free_port
from servers import Certificates, nginx
from ways import Service, reached

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", FAR])
SHORT_CUT = 2.0  # seconds
BETWEEN_CUTS = 10.0  # in which TCP sends again what was lost, however long it has come to wait
PATIENCE = 2.0  # seconds that calls have before the next event
MOST = 10.0  # seconds of a call with that patience, on a busy machine


@contextmanager
def linked(certificates: Certificates, **options: Any) -> Iterator[tuple[Link, Service]]:
    """A link with a service at its far end, whose streams take a while."""
    with (
        running_link(**options) as link,
        running_origin(free_port(), within=link.within) as origin,
        running_origin(free_port(), "slow", within=link.within) as slow,
        nginx(
            origin.port,
            behind={"streams": slow.port},
            host=FAR,
            listen=" ssl",
            server=f"{certificates.nginx} proxy_buffering off;",
            within=link.within,
        ) as server,
    ):
        service = reached(server.port, scheme="https", host=FAR, verify=certificates.ca)
        yield link, service.at("streams", "stream", says=BEGUN + ENDED)


def test_lost_packets_cost_nothing(under_load: Any, certificates: Certificates) -> None:
    with linked(certificates, delay=0.02, loss=0.02) as (_, service):
        tally = under_load("link: 2 % loss, 40 ms there and back", service)

    assert tally.problems() == []


def test_long_delay_costs_nothing(under_load: Any, certificates: Certificates) -> None:
    with linked(certificates, delay=0.15) as (_, service):
        tally = under_load("link: 300 ms there and back", service)

    assert tally.problems() == []


def test_short_cuts_cost_nothing(under_load: Any, certificates: Certificates) -> None:
    with linked(certificates, delay=0.005) as (link, service):

        def cut() -> None:
            link.cut()
            threading.Event().wait(SHORT_CUT)
            link.mend()

        tally = under_load("link: cut for 2 s", service, meanwhile=every(BETWEEN_CUTS, cut, first=1.0))

    assert tally.problems() == []
    assert tally.slowest >= SHORT_CUT


def test_cut_for_ever_is_a_typed_error_in_time(under_load: Any, certificates: Certificates, seconds: float) -> None:
    with linked(certificates, delay=0.005) as (link, service):

        def cut(over: threading.Event) -> None:
            over.wait(seconds / 2)
            link.cut()

        impatient = service.with_options(timeout=PATIENCE, max_concurrency=TASKS + THREADS)
        tally = under_load("link: cut for ever, timeout=2", impatient, meanwhile=cut, bound=MOST)

    assert tally.problems(allowed={"APITimeoutError"}) == []
    assert tally.errors["APITimeoutError"]
