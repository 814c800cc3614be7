"""Certificates, proxies, given clients, redirects: the same for calls that block and calls that are awaited."""

import asyncio
import importlib
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from forwarding import Forwarder

from ovhcloud_ai_endpoints import (
    APIConnectionError,
    APITimeoutError,
    InvalidResponseError,
    NotFoundError,
    OVHCloudError,
    Timeouts,
)
from ovhcloud_ai_endpoints._chat.options import ChatOptions
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._http.client import AsyncClient, Client
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.routes import Route
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints.testing import LocalEndpoints

REQUEST = ChatRequest({"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}]})

STREAMED = ChatRequest({"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}], "stream": True})

Ask = Callable[[Settings], Any]


@pytest.fixture(params=["blocking", "httpx", "aiohttp"])
def ask(request: pytest.FixtureRequest) -> Ask:
    if request.param == "blocking":
        return lambda settings: Client(settings).send(REQUEST)
    return lambda settings: asyncio.run(AsyncClient(replace(settings, http_backend=request.param)).send(REQUEST))


@pytest.fixture
def settings(server: LocalEndpoints) -> Settings:
    return Settings(api_key=server.api_key, base_url=server.base_url, retry=Retry(max_retries=0))


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

    @pytest.mark.parametrize("port", ["443", "8443"])
    def test_are_passed_by_for_a_host_with_its_port(
        self, proxy: Forwarder, ask: Ask, monkeypatch: pytest.MonkeyPatch, port: str
    ) -> None:
        """443 is that of https, whether the URL says so or not."""
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", f"127.0.0.1:{port}")
        shown = "" if port == "443" else f":{port}"

        with pytest.raises(
            APIConnectionError, match=r"Errno 111|refused|Connect call failed"
        ):  # of the host itself, where nobody listens
            ask(Settings(base_url=f"https://127.0.0.1{shown}/v1", retry=Retry(max_retries=0)))
        assert proxy.tunnels == []

    @pytest.mark.parametrize("scheme", ["https", "http"])
    def test_that_ask_for_a_password_are_told_of_and_not_asked_again(
        self, settings: Settings, ask: Ask, scheme: str
    ) -> None:
        refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 4\r\n\r\nwho?"
        with Forwarder(0, None, refusal=refusal) as proxy:
            url = f"http://someone:pass-word@127.0.0.1:{proxy.port}"
            with pytest.raises(APIConnectionError, match="asks for a user name and password") as caught:
                ask(replace(settings, base_url=f"{scheme}://elsewhere.invalid/v1", proxy=url, retry=Retry(backoff=0)))

        assert f"The proxy http://127.0.0.1:{proxy.port} " in str(caught.value)
        assert "pass-word" not in f"{caught.value!r}{caught.value}"
        assert caught.value.status == 407
        assert len(proxy.tunnels) == 1

    def test_that_refuse_are_told_of(self, settings: Settings, ask: Ask) -> None:
        with Forwarder(0, None, refusal=b"HTTP/1.1 403 Forbidden by policy\r\n\r\n") as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            with pytest.raises(APIConnectionError, match=r"did not pass the request on: 403 Forbidden by policy"):
                ask(replace(settings, base_url="https://elsewhere.invalid/v1", proxy=url, retry=Retry(backoff=0)))
        assert len(proxy.tunnels) == 1

    @pytest.mark.parametrize(
        "url",
        [
            "ftp://proxy.example:21",
            "socks5://proxy.example:1080",
            "http://someone:pass-word@proxy.example:99999",
            "http://someone:pass-word@[::1",
            "http://someone:pass-word@",
            f"http://someone:pass-word@{'x' * 70}.example",
        ],
    )
    def test_that_can_not_be_used_are_told_of_without_their_password(
        self, settings: Settings, ask: Ask, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", url)
        for chosen in (replace(settings, proxy=url), replace(settings, base_url="http://elsewhere.invalid/v1")):
            with pytest.raises(
                APIConnectionError, match=r"must be an http, https or socks5 URL|needs a package|can't be"
            ) as caught:
                ask(chosen)
            assert "pass-word" not in f"{caught.value!r}{caught.value}"

    @pytest.mark.parametrize("user", ["", "prüfer:prüfung@"])
    @pytest.mark.parametrize("host", ["prüfung.invalid", "PRÜFUNG.invalid"])
    def test_may_have_names_that_are_not_ascii(self, settings: Settings, ask: Ask, host: str, user: str) -> None:
        with pytest.raises(APIConnectionError, match=r"http://xn--prfung-4ya\.invalid:3128 "):
            ask(replace(settings, proxy=f"http://{user}{host}:3128"))

    def test_can_not_put_an_answer_of_their_own_before_the_handshake(
        self, settings: Settings, secure: str, certificate: str, ask: Ask
    ) -> None:
        """What came in the clear must not pass for what TLS decrypted."""
        body = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"forged"},"finish_reason":"stop"}]}'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        with Forwarder(0, None, surplus=head + body) as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            answered = ""
            with suppress(OVHCloudError):  # unless the head came in two reads, and the surplus is dropped
                answered = ask(replace(settings, base_url=secure, verify=certificate, proxy=url)).messages[0].text
            assert answered != "forged"
            assert len(proxy.tunnels) == 1

    def test_keep_their_password_out_of_what_is_printed(self) -> None:
        route = Route.of(Settings(proxy="http://someone:pass-word@127.0.0.1:3128"))

        assert "pass-word" not in f"{route!r}{route.resolved()!r}"

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
        with httpx.Client() as given, pytest.warns(UserWarning, match="pass http_async_client too"):
            asyncio.run(AsyncClient(replace(settings, http_client=given)).send(REQUEST))
        given_async = httpx.AsyncClient()
        with pytest.warns(UserWarning, match="pass http_client too"):
            Client(replace(settings, http_async_client=given_async)).send(REQUEST)
        asyncio.run(given_async.aclose())

    @pytest.mark.parametrize("library", ["httpx", "httpx2"])
    @pytest.mark.parametrize("own", [None, 0.2])
    def test_whose_pool_is_full_are_given_up_in_time(self, settings: Settings, library: str, own: float | None) -> None:
        module = importlib.import_module(library)
        timeouts = Timeouts(first_event=0.4, idle=5, total=5)
        with module.Client(limits=module.Limits(max_connections=1), timeout=module.Timeout(5, pool=own)) as given:
            settled = replace(settings, http_client=given, timeouts=timeouts)
            with Client(settled).stream(STREAMED) as deltas:
                next(deltas)
                with pytest.raises(APITimeoutError, match="every connection of the given client is in use"):
                    Client(settled).send(REQUEST)

    @pytest.mark.parametrize("library", ["httpx", "httpx2"])
    def test_whose_hooks_raise_for_a_status_change_no_error(
        self, server: LocalEndpoints, settings: Settings, library: str
    ) -> None:
        module = importlib.import_module(library)
        request = ChatRequest({"model": "no-such-model", "messages": [{"role": "user", "content": "Hello"}]})

        async def hook(answer: Any) -> None:
            answer.raise_for_status()

        async def main() -> None:
            async with module.AsyncClient(event_hooks={"response": [hook]}) as awaited:
                await AsyncClient(replace(settings, retry=Retry(), http_async_client=awaited)).send(request)

        with (
            module.Client(event_hooks={"response": [lambda answer: answer.raise_for_status()]}) as given,
            pytest.raises(NotFoundError),
        ):
            Client(replace(settings, retry=Retry(), http_client=given)).send(request)
        with pytest.raises(NotFoundError):
            asyncio.run(main())
        assert len(server.requests) == 2


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
    assert said[socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT] < 60_000
