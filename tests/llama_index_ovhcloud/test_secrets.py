"""Wherever an object, a call or a failure shows, its secrets don't."""

import asyncio
import copy
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import ChatMessage
from pydantic import SecretStr

from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints import OVHCloudError
from ovhcloud_ai_endpoints.testing import LocalEndpoints

KEY = "sk-very-secret-0123456789"
HEADER = "header-secret-0123456789"
PROXY = "proxy-secret-0123456789"
SECRETS = (KEY, HEADER, PROXY)


class Events(BaseEventHandler):
    """Keeps what instrumentation is told."""

    kept: list[str] = []

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.kept.append(repr(event) + repr(event.model_dump()))


@pytest.fixture
def events() -> Iterator[Events]:
    handler, root = Events(kept=[]), get_dispatcher()
    root.add_event_handler(handler)
    yield handler
    root.event_handlers.remove(handler)


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
    lambda one: one.to_dict(),
    lambda one: one.to_json(),
    lambda one: one.dict(),
    lambda one: one.__repr_args__(),
    pickle.dumps,
    copy.copy,
    copy.deepcopy,
    lambda one: one.model_copy(update={"timeout": 5}),
    lambda one: type(one).model_json_schema(mode="serialization"),
]


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")
@pytest.mark.parametrize("show", SHOWN)
@pytest.mark.parametrize("kind", [ChatOVHCloud, OVHCloudEmbeddings])
def test_objects_show_no_secret(kind: Any, show: Any, arguments: dict[str, Any]) -> None:
    names = {"model": "gpt-oss-120b"} if kind is ChatOVHCloud else {}
    one = kind(**arguments, **names, proxy=f"http://user:{PROXY}@127.0.0.1:9")

    assert_clean(repr(show(one)))


def test_calls_show_no_secret_to_logs_events_and_callbacks(
    arguments: dict[str, Any], server: LocalEndpoints, events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm = ChatOVHCloud(model="gpt-oss-120b", callback_manager=CallbackManager([debug]), **arguments)
    embeddings = OVHCloudEmbeddings(callback_manager=CallbackManager([debug]), **arguments)

    shown: list[Any] = [llm.complete("Hello"), list(llm.stream_chat([ChatMessage("Hello")]))]
    shown.append(asyncio.run(llm.achat([ChatMessage("Hello")])))
    embeddings.get_text_embedding_batch(["one"])
    server.fail("503")
    shown.append(llm.complete("Hello"))
    server.reply(status=401, body={"message": f"bad key {KEY}"})
    with pytest.raises(OVHCloudError):
        llm.complete("Hello")

    assert events.kept
    assert debug.get_events()
    assert {request.api_key for request in server.requests} == {KEY}
    assert_clean(repr(shown) + caplog.text + "".join(events.kept) + repr([vars(one) for one in debug.get_events()]))


@pytest.mark.parametrize("fault", ["reset", "deaf", "429-absurd", "401", "page", "cut", "stream-cut", "stream-error"])
def test_failures_show_no_secret(arguments: dict[str, Any], server: LocalEndpoints, fault: str) -> None:
    llm = ChatOVHCloud(model="gpt-oss-120b", **arguments, timeout=0.2)
    server.fail(fault, times=2)

    with pytest.raises(OVHCloudError) as caught:
        list(llm.stream_complete("Hello")) if fault.startswith("stream") else llm.complete("Hello")

    error = caught.value
    assert_clean("".join(traceback.format_exception(error)) + repr(vars(error)) + repr(error.args))
    assert_clean(repr(pickle.dumps(error)))
