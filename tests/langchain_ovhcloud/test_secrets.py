"""Wherever an object, a call or a failure shows, its secrets don't."""

import asyncio
import copy
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from pydantic import SecretStr

from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints import OVHCloudError
from ovhcloud_ai_endpoints.testing import LocalEndpoints

KEY = "sk-very-secret-0123456789"
HEADER = "header-secret-0123456789"
PROXY = "proxy-secret-0123456789"
SECRETS = (KEY, HEADER, PROXY)


class Tracer(BaseTracer):
    """Keeps what LangSmith would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[str] = []

    def _persist_run(self, run: Run) -> None:
        self.kept.append(repr(vars(run)))


class Everything(BaseCallbackHandler):
    """Keeps what callbacks are told."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *args, **kwargs: self.kept.append(repr((args, kwargs)))
        return super().__getattribute__(name)


@pytest.fixture
def server() -> Iterator[LocalEndpoints]:
    with LocalEndpoints(api_keys=[KEY]) as endpoints:
        yield endpoints


@pytest.fixture(params=["str", "SecretStr", "callable"])
def arguments(request: pytest.FixtureRequest, server: LocalEndpoints) -> dict[str, Any]:
    keys: dict[str, Any] = {"str": KEY, "SecretStr": SecretStr(KEY), "callable": lambda: SecretStr(KEY)}
    return {
        "api_key": keys[request.param],
        "base_url": server.base_url,
        "default_headers": {"X-Team": HEADER},
        "max_retries": 1,
    }


def assert_clean(shown: str) -> None:
    assert [secret for secret in SECRETS if secret in shown] == []


SHOWN: list[Callable[[Any], Any]] = [
    repr,
    str,
    lambda one: one.model_dump(),
    lambda one: one.model_dump_json() if not callable(one.api_key) else "",
    lambda one: dict(one.model_dump(exclude=set())),
    lambda one: one.__repr_args__(),
    dumps,
    dumpd,
    pickle.dumps,
    copy.copy,
    copy.deepcopy,
    lambda one: one.model_copy(update={"timeout": 5}),
]


@pytest.mark.parametrize("show", SHOWN)
@pytest.mark.parametrize("kind", [ChatOVHCloud, OVHCloudEmbeddings])
def test_objects_show_no_secret(kind: Any, show: Any, arguments: dict[str, Any]) -> None:
    names = {"model": "gpt-oss-120b"} if kind is ChatOVHCloud else {}
    one = kind(**arguments, **names, proxy=f"http://user:{PROXY}@127.0.0.1:9")

    assert_clean(repr(show(one)))


def test_parameters_for_traces_and_caches_show_no_secret(arguments: dict[str, Any]) -> None:
    model = ChatOVHCloud(model="gpt-oss-120b", **arguments)

    assert_clean(repr(model._identifying_params))
    assert_clean(repr(model._get_ls_params()))
    assert_clean(repr(model._get_invocation_params()))
    assert_clean(model._get_llm_string(stop=["a"]))


def test_calls_show_no_secret_to_logs_traces_and_callbacks(
    arguments: dict[str, Any], server: LocalEndpoints, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tracer, everything = Tracer(), Everything()
    model, config = ChatOVHCloud(model="gpt-oss-120b", **arguments), {"callbacks": [tracer, everything]}

    model.invoke("Hello", config=config)
    list(model.stream("Hello", config=config))
    asyncio.run(model.ainvoke("Hello", config=config))

    async def events() -> list[Any]:
        return [event async for event in model.astream_events("Hello", config=config)]

    shown = [asyncio.run(events())]
    OVHCloudEmbeddings(**arguments).embed_documents(["one"])
    server.fail("503")
    shown.append(model.invoke("Hello", config=config))
    server.reply(status=401, body={"message": f"bad key {KEY}"})
    with pytest.raises(OVHCloudError):
        model.invoke("Hello", config=config)

    assert tracer.kept
    assert everything.kept
    assert caplog.text
    assert {request.api_key for request in server.requests} == {KEY}
    assert_clean(repr(shown) + caplog.text)
    assert KEY not in "".join(tracer.kept + everything.kept)


@pytest.mark.parametrize("fault", ["reset", "deaf", "429-absurd", "401", "page", "cut", "stream-cut", "stream-error"])
def test_failures_show_no_secret(arguments: dict[str, Any], server: LocalEndpoints, fault: str) -> None:
    model = ChatOVHCloud(model="gpt-oss-120b", **arguments, timeout=0.2)
    server.fail(fault, times=2)

    with pytest.raises(OVHCloudError) as caught:
        list(model.stream("Hello")) if fault.startswith("stream") else model.invoke("Hello")

    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(vars(error)) + repr(error.args)
    assert_clean(shown)
    assert_clean(repr(pickle.dumps(error)))


def test_key_that_a_failure_repeats_is_taken_out(arguments: dict[str, Any], server: LocalEndpoints) -> None:
    server.reply(status=400, body={"error": {"message": f"no such key: {KEY}"}}, headers={"X-Echo": f"Bearer {KEY}"})

    with pytest.raises(OVHCloudError) as caught:
        ChatOVHCloud(model="gpt-oss-120b", **arguments).invoke("Hello")

    error = caught.value
    assert KEY not in "".join(traceback.format_exception(error)) + repr(vars(error)) + repr(error.args)
