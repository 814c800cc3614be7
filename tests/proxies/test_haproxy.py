"""Both frameworks through HAProxy as a reverse proxy."""

import asyncio
from typing import Any

import pytest
from load import every
from middleboxes import SlowUplink, serving
from origins import BEGUN, ENDED, Origin, running_origin
from processes import free_port
from servers import haproxy
from ways import reached

from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import APITimeoutError

SAID = BEGUN + ENDED


def test_timeouts_of_haproxy_are_typed_errors(origin: Origin, under_load: Any) -> None:
    with (
        running_origin(free_port(), "late") as late,
        running_origin(free_port(), "stalling") as stalling,
        haproxy(origin.port, seconds=1, behind={"late": late.port, "streams": stalling.port}) as server,
    ):
        service = reached(server.port).at("late", "whole").at("streams", "stream", says=SAID)
        tally = under_load("HAProxy: timeouts of 1 s", service, rest=(0.9, 1.1))

    assert tally.problems(allowed={"InternalServerError", "StreamInterruptedError"}) == []
    assert tally.errors["StreamInterruptedError"]


@pytest.mark.parametrize("is_awaited", [False, True])
def test_client_that_is_late_for_haproxy_has_timed_out(origin: Origin, is_awaited: bool) -> None:
    waiting_for_it_all = "timeout http-request 1s\n    option http-buffer-request"
    with (
        haproxy(origin.port, defaults=waiting_for_it_all) as server,
        serving(SlowUplink(server.port, seconds=2)) as port,
    ):
        model = ChatOVHCloud(model="gpt-oss-120b", max_retries=0, **reached(port).arguments("whole"))
        with pytest.raises(APITimeoutError) as caught:
            asyncio.run(model.ainvoke("word " * 2_000)) if is_awaited else model.invoke("word " * 2_000)
        model.close()

    assert caught.value.status == 408


def test_reloads_of_haproxys_master_cost_nothing(origin: Origin, slow: Origin, under_load: Any) -> None:
    with haproxy(origin.port, behind={"streams": slow.port}, has_master=True) as server:
        service = reached(server.port).at("streams", "stream", says=SAID)
        tally = under_load("HAProxy: reloads by its master", service, meanwhile=every(1.0, server.reload))

    assert tally.problems() == []


def test_haproxy_that_is_replaced_costs_nothing(origin: Origin, slow: Origin, under_load: Any) -> None:
    with haproxy(origin.port, behind={"streams": slow.port}) as server:
        service = reached(server.port).at("streams", "stream", says=SAID)
        tally = under_load("HAProxy: replaced with -sf", service, meanwhile=every(1.0, server.replace))
        processes = len(server.processes)

    assert tally.problems() == []
    assert processes > 1
