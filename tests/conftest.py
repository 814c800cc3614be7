import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import settings

from ovhcloud_ai_endpoints.testing import LocalEndpoints

settings.register_profile("machine may be busy", deadline=None)
settings.load_profile("machine may be busy")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, URL or proxy of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("OVH", "LANGCHAIN_", "LANGSMITH_", "LC_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[LocalEndpoints]:
    """A local AI Endpoints that forgets nothing between its block's ends."""
    with LocalEndpoints() as endpoints:
        yield endpoints


@pytest.fixture
def environ(server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch) -> LocalEndpoints:
    """The same, found through environment variables."""
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture
def eight_at_once() -> Iterator[str]:
    """The base_url of a server whose embeddings come only once eight requests wait for them, else as status 400."""
    arrived = threading.Barrier(8, timeout=10)

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            self.rfile.read(int(self.headers["Content-Length"]))
            try:
                arrived.wait()
            except threading.BrokenBarrierError:
                self.send_error(400)
                return
            body = b'{"data": [{"embedding": [1.0]}]}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not into the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{httpd.server_port}/v1"
        httpd.shutdown()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--live", action="store_true", help="run the tests that talk to the real service, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--live"):
        deselected = [item for item in items if item.get_closest_marker("live")]
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]
