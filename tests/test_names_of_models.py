"""The prefix `ovhcloud/`, by which LiteLLM and others name a provider: on any server, and on a proxy that lists it."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

import langchain_ovhcloud as lc
import llama_index_ovhcloud as li
from ovhcloud_ai_endpoints import BadRequestError, NotFoundError
from ovhcloud_ai_endpoints.testing import LocalEndpoints

NAME, BARE = "ovhcloud/gpt-oss-20b", "gpt-oss-20b"
MODEL = "ovhcloud/bge-m3"


class Proxy(BaseHTTPRequestHandler):
    """Answers what asks for one of its names, and refuses others as LiteLLM's proxy or vLLM does."""

    protocol_version = "HTTP/1.1"
    names: ClassVar[set[str]]
    status: ClassVar[int]
    asked: ClassVar[list[str]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body["model"])
        if body["model"] not in self.names:
            said = f"{self.path}: Invalid model name passed in model={body['model']}. Call `/v1/models` to view"
            self.answer(json.dumps({"error": {"message": said}}), self.status)
        elif body.get("stream"):
            events = [{"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}]
            self.answer("".join(f"data: {json.dumps(event)}\n\n" for event in events), kind="text/event-stream")
        elif "input" in body:
            vectors = [{"index": place, "embedding": [1.0, 2.0]} for place in range(len(body["input"]))]
            self.answer(json.dumps({"data": vectors}))
        else:
            self.answer(json.dumps({"choices": [{"message": {"content": "Hi"}}]}))

    def answer(self, text: str, status: int = 200, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def proxy(request: pytest.FixtureRequest) -> Iterator[Any]:
    handler: Any = type("Handler", (Proxy,), {"names": {NAME, MODEL}, "status": 400, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.url = f"http://127.0.0.1:{server.server_port}/v1"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield handler
        server.shutdown()


CALLS: dict[str, Callable[..., Any]] = {
    "langchain": lambda **to: lc.ChatOVHCloud(**to).invoke("Hello").text,
    "langchain awaited": lambda **to: asyncio.run(lc.ChatOVHCloud(**to).ainvoke("Hello")).text,
    "langchain streamed": lambda **to: "".join(chunk.text for chunk in lc.ChatOVHCloud(**to).stream("Hello")),
    "llama_index": lambda **to: li.ChatOVHCloud(**to).complete("Hello").text,
    "llama_index streamed": lambda **to: [*li.ChatOVHCloud(**to).stream_complete("Hello")][-1].text,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
class TestChats:
    def test_go_without_the_prefix(self, server: LocalEndpoints, call: Any) -> None:
        assert call(model=NAME, base_url=server.base_url, api_key=server.api_key)
        assert [request.json["model"] for request in server.requests] == [BARE]

    @pytest.mark.parametrize("status", [400, 404])
    def test_go_with_it_where_a_proxy_lists_it_and_that_is_remembered(self, proxy: Any, call: Any, status: int) -> None:
        proxy.status = status

        assert [call(model=NAME, base_url=proxy.url, api_key="", max_retries=0) for _ in range(2)] == ["Hi", "Hi"]
        assert proxy.asked == [BARE, NAME, NAME]

    def test_fail_where_neither_is_known(self, proxy: Any, call: Any) -> None:
        proxy.names = set()

        with pytest.raises((BadRequestError, NotFoundError)):
            call(model=NAME, base_url=proxy.url, api_key="")
        assert proxy.asked == [BARE, NAME]

    def test_go_on_after_a_server_knew_none(self, proxy: Any, call: Any) -> None:
        names, proxy.names = {BARE}, set()
        with pytest.raises((BadRequestError, NotFoundError)):
            call(model=NAME, base_url=proxy.url, api_key="")
        proxy.names = names

        assert call(model=NAME, base_url=proxy.url, api_key="") == "Hi"
        assert call(model=NAME, base_url=proxy.url, api_key="") == "Hi"
        assert proxy.asked == [BARE, NAME, NAME, BARE, BARE]

    def test_fail_at_once_without_a_prefix(self, proxy: Any, call: Any) -> None:
        with pytest.raises(BadRequestError):
            call(model=BARE, base_url=proxy.url, api_key="")
        assert proxy.asked == [BARE]


@pytest.mark.parametrize(
    "embed",
    [
        lambda **to: lc.OVHCloudEmbeddings(**to).embed_documents(["a", "b"]),
        lambda **to: asyncio.run(li.OVHCloudEmbeddings(**to).aget_text_embedding_batch(["a", "b"])),
    ],
)
def test_vectors_go_with_it_where_a_proxy_lists_it(proxy: Any, embed: Any) -> None:
    assert embed(model=MODEL, base_url=proxy.url, api_key="") == [[1.0, 2.0]] * 2
    assert proxy.asked == ["bge-m3", MODEL]
