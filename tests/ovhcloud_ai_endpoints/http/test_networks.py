"""Certificates, proxies, given clients, redirects: the same for calls that block and calls that are awaited."""

import asyncio
import importlib
import socket
import socketserver
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from ovhcloud_ai_endpoints import APIConnectionError, InvalidResponseError
from ovhcloud_ai_endpoints._chat.options import ChatOptions
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._http.client import AsyncClient, Client
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints.testing import LocalEndpoints

REQUEST = ChatRequest({"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}]})

Ask = Callable[[Settings], Any]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    if request.param == "sync":
        return lambda settings: Client(settings).send(REQUEST)
    return lambda settings: asyncio.run(AsyncClient(settings).send(REQUEST))


@pytest.fixture
def settings(server: LocalEndpoints) -> Settings:
    return Settings(api_key=server.api_key, base_url=server.base_url, retry=Retry(max_retries=0))


class Forwarder(socketserver.ThreadingTCPServer):
    """In front of the local server: ends TLS, or is a proxy for CONNECT, which then knows who came."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, to: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.tunnels: list[str] = []
        self.to = to
        self.tls = tls
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        super().__exit__(*error)


class Tunnel(socketserver.BaseRequestHandler):
    server: Forwarder

    def handle(self) -> None:
        with suppress(OSError):
            if self.server.tls:
                with self.server.tls.wrap_socket(self.request, server_side=True) as secured:
                    self.join(secured, self.server.to)
            else:
                target = self.request.recv(65536).decode().split()[1]
                self.server.tunnels.append(target)
                self.request.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                self.join(self.request, int(target.rpartition(":")[2]))

    def join(self, here: socket.socket, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as there:
            back = threading.Thread(target=self.copy, args=(there, here), daemon=True)
            back.start()
            self.copy(here, there)
            back.join()

    @staticmethod
    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(server: LocalEndpoints, authority: trustme.CA) -> Iterator[str]:
    """The base URL of the same server, behind TLS with a certificate that no system trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with Forwarder(httpx.URL(server.base_url).port or 0, context) as forwarder:
        yield f"https://localhost:{forwarder.port}/v1"


@pytest.fixture
def certificate(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


class TestCertificates:
    def test_that_nobody_trusts_are_an_error_that_names_what_to_set(
        self, settings: Settings, secure: str, ask: Ask
    ) -> None:
        with pytest.raises(APIConnectionError, match=r"not trusted.*verify= or SSL_CERT_FILE"):
            ask(replace(settings, base_url=secure))

    @pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
    def test_may_be_named_by_the_environment(
        self, settings: Settings, secure: str, certificate: str, ask: Ask, monkeypatch: Any, variable: str
    ) -> None:
        monkeypatch.setenv(variable, certificate)

        assert ask(replace(settings, base_url=secure))

    def test_of_the_environment_are_not_used_when_it_is_not_trusted(
        self, settings: Settings, secure: str, certificate: str, ask: Ask, monkeypatch: Any
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", certificate)

        with pytest.raises(APIConnectionError, match="not trusted"):
            ask(replace(settings, base_url=secure, trust_env=False))

    def test_may_be_given(self, settings: Settings, secure: str, certificate: str, ask: Ask) -> None:
        context = ssl.create_default_context(cafile=certificate)

        for verify in (certificate, context, False):
            assert ask(replace(settings, base_url=secure, verify=verify))

    def test_that_can_not_be_read_are_an_error_that_names_the_file(
        self, settings: Settings, secure: str, ask: Ask, tmp_path: Path
    ) -> None:
        (tmp_path / "no.pem").write_text("no certificate", "utf-8")

        for verify in (str(tmp_path / "absent.pem"), str(tmp_path / "no.pem")):
            with pytest.raises(APIConnectionError, match=f"certificates in {verify} can't be read"):
                ask(replace(settings, base_url=secure, verify=verify))

    def test_of_another_host_are_an_error(self, settings: Settings, secure: str, certificate: str, ask: Ask) -> None:
        with pytest.raises(APIConnectionError, match="not trusted"):
            ask(replace(settings, base_url=secure.replace("localhost", "127.0.0.1"), verify=certificate))


class TestProxies:
    @pytest.fixture
    def proxy(self) -> Iterator[Forwarder]:
        with Forwarder(0, None) as forwarder:
            yield forwarder

    def test_may_be_given(self, settings: Settings, secure: str, certificate: str, proxy: Forwarder, ask: Ask) -> None:
        url = f"http://127.0.0.1:{proxy.port}"

        assert ask(replace(settings, base_url=secure, verify=certificate, proxy=url))
        assert proxy.tunnels == [secure.removeprefix("https://").removesuffix("/v1")]

    @pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
    def test_may_be_named_by_the_environment(
        self,
        settings: Settings,
        secure: str,
        certificate: str,
        proxy: Forwarder,
        ask: Ask,
        monkeypatch: Any,
        variable: str,
    ) -> None:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")

        assert ask(replace(settings, base_url=secure, verify=certificate))
        assert len(proxy.tunnels) == 1

    def test_are_passed_by_where_the_environment_says_so(
        self, settings: Settings, secure: str, certificate: str, proxy: Forwarder, ask: Ask, monkeypatch: Any
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        for settled in (replace(settings, trust_env=False), settings):
            assert ask(replace(settled, base_url=secure, verify=certificate))
            monkeypatch.setenv("NO_PROXY", "localhost")
            if settled.trust_env:
                assert proxy.tunnels == []

    def test_that_can_not_be_reached_are_an_error(self, settings: Settings, secure: str, ask: Ask) -> None:
        with pytest.raises(APIConnectionError, match="proxy"):
            ask(replace(settings, base_url=secure, proxy="http://127.0.0.1:9"))


class TestGivenClients:
    @pytest.mark.parametrize("library", ["httpx", "httpx2"])
    def test_are_used_as_they_are(self, server: LocalEndpoints, settings: Settings, library: str) -> None:
        module = importlib.import_module(library)
        with module.Client(headers={"X-Given": "sync"}) as given:
            Client(replace(settings, http_client=given)).send(REQUEST)
            assert not given.is_closed

        async def main() -> None:
            async with module.AsyncClient(headers={"X-Given": "async"}) as awaited:
                await AsyncClient(replace(settings, http_async_client=awaited)).send(REQUEST)
                assert not awaited.is_closed

        asyncio.run(main())

        assert [request.headers["x-given"] for request in server.requests] == ["sync", "async"]
        assert {request.headers["user-agent"].partition("/")[0] for request in server.requests} == {
            "ovhcloud-ai-endpoints"
        }

    def test_for_one_way_of_calling_are_told_of_when_the_other_is_used(self, settings: Settings) -> None:
        with httpx.Client() as given, pytest.warns(UserWarning, match="give http_async_client too"):
            asyncio.run(AsyncClient(replace(settings, http_client=given)).send(REQUEST))
        given_async = httpx.AsyncClient()
        with pytest.warns(UserWarning, match="give http_client too"):
            Client(replace(settings, http_async_client=given_async)).send(REQUEST)
        asyncio.run(given_async.aclose())


class TestKeys:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("given", [True, False])
    def test_do_not_follow_a_redirect(
        self, server: LocalEndpoints, settings: Settings, status: int, given: bool
    ) -> None:
        with LocalEndpoints() as thief, httpx.Client(follow_redirects=True) as client:
            server.reply(status=status, headers={"Location": f"{thief.base_url}/chat/completions"}, times=2)
            settings = replace(settings, http_client=client if given else None)

            with pytest.raises(InvalidResponseError, match="redirects"):
                Client(settings).send(REQUEST)
            with pytest.raises(InvalidResponseError, match="redirects"):
                asyncio.run(AsyncClient(replace(settings, http_client=None)).send(REQUEST))

        assert thief.requests == []

    @pytest.mark.parametrize("url", ["http://vllm.example/v1", "http://10.0.0.7:8000/v1", "http://[2001:db8::1]/v1"])
    def test_sent_in_the_clear_are_warned_of_once(self, url: str) -> None:
        with pytest.warns(UserWarning, match="plain HTTP"):
            ChatOptions(model="gpt-oss-120b", api_key="key", base_url=url)

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ChatOptions(model="gpt-oss-120b", api_key="key", base_url=url)

    @pytest.mark.parametrize(
        ("url", "key"),
        [
            ("http://vllm.example/v1", ""),
            ("https://vllm.example/v1", "key"),
            ("http://localhost:8000/v1", "key"),
            ("http://127.0.0.9/v1", "key"),
            ("http://[::1]:8000/v1", "key"),
            ("http://api.localhost/v1", "key"),
        ],
    )
    def test_that_nobody_can_read_are_not(self, url: str, key: str) -> None:
        assert ChatOptions(model="gpt-oss-120b", api_key=key, base_url=url)


def test_connections_are_kept_alive_so_that_a_dead_peer_is_noticed_within_a_minute(
    settings: Settings, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int, int]] = []
    real = socket.socket.setsockopt

    def setsockopt(self: socket.socket, *option: Any) -> None:
        seen.append(option)
        real(self, *option)

    monkeypatch.setattr(socket.socket, "setsockopt", setsockopt)
    ask(replace(settings, trust_env=False))

    said = {option[:2]: option[2] for option in seen}
    idle, each, count = (
        said[socket.IPPROTO_TCP, option] for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert said[socket.SOL_SOCKET, socket.SO_KEEPALIVE] == 1
    assert idle + each * count < 60
