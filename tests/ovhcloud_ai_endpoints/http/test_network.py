"""The sockets under the HTTP library, with a clock of the test's own."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
import trustme
from unreachable import unreachable

from ovhcloud_ai_endpoints import Timeouts
from ovhcloud_ai_endpoints._http.blocking_network import BlockingNetwork, BlockingStream, Deadline, TLSInTLSStream
from ovhcloud_ai_endpoints._http.clocks import Clocks
from ovhcloud_ai_endpoints._http.loop_network import READ_AHEAD, LoopNetwork, LoopStream
from ovhcloud_ai_endpoints._http.sockets import Failures
from ovhcloud_ai_endpoints.testing import LocalEndpoints


class ConnectFailedError(Exception):
    pass


class ConnectTimedOutError(Exception):
    pass


class WriteFailedError(Exception):
    pass


FAILURES = Failures(ConnectFailedError, ConnectTimedOutError, WriteFailedError)


def ticking(seconds: float) -> Callable[[], float]:
    """A clock on which so much has passed whenever it is looked at."""
    times = count()
    return lambda: next(times) * seconds


def deadline(seconds: float, *, tick: float) -> Deadline:
    limit = Deadline(ticking(tick))
    limit.clocks = Clocks(Timeouts(first_event=seconds), 0)
    return limit


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


class TestDeadlines:
    def test_each_read_asks_anew_how_much_time_is_left(self, pair: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = pair
        stream = BlockingStream(ours, deadline(0.35, tick=0.1), FAILURES)
        theirs.sendall(b"drip, drip")

        assert [stream.read(1) for _ in range(4)] == [b"d", b"r", b"i", b"p"]
        with pytest.raises(TimeoutError):
            stream.read(1)

    def test_timeout_of_a_read_is_what_is_left(self, pair: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = pair
        stream = BlockingStream(ours, deadline(60, tick=10), FAILURES)
        theirs.sendall(b"ab")

        timeouts = []
        for _ in range(2):
            stream.read(1)
            timeouts.append(ours.gettimeout())
        assert timeouts == [60, 50]

    def test_no_clock_is_no_timeout(self, pair: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = pair
        limit = Deadline()
        limit.clocks = Clocks(Timeouts(first_event=None), 0)
        theirs.sendall(b"a")

        BlockingStream(ours, limit, FAILURES).read(1)

        assert ours.gettimeout() is None

    def test_each_piece_that_is_written_asks_anew(self, pair: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = pair
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        stop = threading.Event()

        def drain() -> None:
            while not stop.is_set() and theirs.recv(1024):
                pass

        reader = threading.Thread(target=drain, daemon=True)
        reader.start()
        with pytest.raises(TimeoutError):
            BlockingStream(ours, deadline(5, tick=0.1), FAILURES).write(b"x" * 10_000_000)
        stop.set()
        ours.close()
        reader.join(5)

    def test_failed_write_is_told_apart_since_the_answer_may_say_why(
        self, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        ours, theirs = pair
        theirs.close()

        with pytest.raises(WriteFailedError):
            BlockingStream(ours, Deadline(), FAILURES).write(b"x" * 1_000_000)

    def test_all_addresses_of_a_host_share_the_time_to_connect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 9)) for _ in range(100)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        tried: list[Any] = []

        def refused(address: Any, timeout: float) -> None:
            tried.append(timeout)
            raise ConnectionRefusedError

        monkeypatch.setattr(socket, "create_connection", refused)

        with pytest.raises(ConnectTimedOutError):
            BlockingNetwork(deadline(600, tick=0.5), FAILURES).connect_tcp("many.example", 443, timeout=5)
        assert len(tried) < 10
        assert sum(tried) <= 5

    def test_address_that_is_dead_leaves_time_for_the_next(
        self, monkeypatch: pytest.MonkeyPatch, server: LocalEndpoints
    ) -> None:
        """As where IPv6 is set up but leads nowhere."""
        port = int(server.base_url.split(":")[2].removesuffix("/v1"))
        with unreachable() as dead:
            addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", at)) for at in (dead, port)]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
            network = BlockingNetwork(Deadline(), FAILURES)

            connected = network.connect_tcp("two.example", 443, timeout=0.5)

        assert connected.get_extra_info("server_addr")[1] == port
        connected.close()

    def test_host_without_an_answering_address_is_a_failure_to_connect(self) -> None:
        with pytest.raises(ConnectFailedError, match="refused"):
            BlockingNetwork(Deadline(), FAILURES).connect_tcp("127.0.0.1", 9, timeout=5)


class TestIdleConnections:
    def test_peer_that_hangs_up_or_speaks_unasked_is_noticed(self, pair: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = pair
        stream = BlockingStream(ours, Deadline(), FAILURES)

        assert stream.get_extra_info("is_readable") is False
        theirs.sendall(b"?")
        assert stream.get_extra_info("is_readable") is True
        assert stream.read(1) == b"?"
        theirs.close()
        assert stream.get_extra_info("is_readable") is True

    def test_one_that_was_closed_is_not_used(self, pair: tuple[socket.socket, socket.socket]) -> None:
        stream = BlockingStream(pair[0], Deadline(), FAILURES)
        stream.close()

        assert stream.get_extra_info("is_readable") is True

    def test_decrypted_bytes_that_nobody_has_read_are_noticed(
        self, pair: tuple[socket.socket, socket.socket], contexts: Any
    ) -> None:
        def speak() -> None:
            with contexts[1].wrap_socket(pair[1], server_side=True) as tls:
                tls.sendall(b"ab")
                tls.recv(1)

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        stream = BlockingStream(pair[0], Deadline(), FAILURES).start_tls(contexts[0], "127.0.0.1")
        assert isinstance(stream, BlockingStream)

        assert stream.read(1) == b"a"
        assert stream.get_extra_info("is_readable") is True  # though the socket has nothing more
        stream.close()
        thread.join(5)

    def test_addresses_and_socket_are_known(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            stream = BlockingNetwork(Deadline(), FAILURES).connect_tcp(*server.getsockname())
            assert stream.get_extra_info("server_addr") == server.getsockname()
            assert stream.get_extra_info("client_addr") == stream.get_extra_info("socket").getsockname()
            assert stream.get_extra_info("ssl_object") is None
            stream.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a client and for a server."""
    client, server = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(client)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    return client, server


class TestTLSInTLS:
    """As to a proxy that is reached by https."""

    @pytest.fixture
    def peer(self, pair: tuple[socket.socket, socket.socket], contexts: Any) -> Iterator[threading.Thread]:
        """Echoes what comes within the inner TLS, and then ends it without a word."""

        def echo() -> None:
            outer = contexts[1].wrap_socket(pair[1], server_side=True)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            inner = contexts[1].wrap_bio(incoming, outgoing, server_side=True)

            def until_done(step: Callable[[], Any]) -> Any:
                while True:
                    try:
                        done = step()
                    except ssl.SSLWantReadError:
                        outer.sendall(outgoing.read())
                        if not (data := outer.recv(65536)):
                            raise ConnectionError from None
                        incoming.write(data)
                    else:
                        outer.sendall(outgoing.read())
                        return done

            with outer, suppress(OSError):
                until_done(inner.do_handshake)
                said = until_done(lambda: inner.read(65536))
                until_done(lambda: inner.write(said))

        thread = threading.Thread(target=echo, daemon=True)
        thread.start()
        yield thread
        thread.join(5)

    def test_carries_bytes_both_ways(
        self, pair: tuple[socket.socket, socket.socket], contexts: Any, peer: threading.Thread
    ) -> None:
        outer = BlockingStream(pair[0], Deadline(), FAILURES).start_tls(contexts[0], "127.0.0.1")
        assert isinstance(outer, BlockingStream)
        inner = outer.start_tls(contexts[0], "127.0.0.1")

        assert isinstance(inner, TLSInTLSStream)
        inner.write(b"hello")
        assert inner.read(2) == b"he"
        assert inner.get_extra_info("is_readable") is True  # though the socket has nothing more
        assert inner.read(100) == b"llo"
        assert inner.read(100) == b""
        assert inner.get_extra_info("ssl_object") is not None
        inner.close()

    def test_handshake_within_the_proxy_asks_the_deadline_too(
        self, pair: tuple[socket.socket, socket.socket], contexts: Any, peer: threading.Thread
    ) -> None:
        limit = Deadline()
        outer = BlockingStream(pair[0], limit, FAILURES).start_tls(contexts[0], "127.0.0.1")
        assert isinstance(outer, BlockingStream)
        limit.now, limit.clocks = ticking(0.4), Clocks(Timeouts(first_event=1), 0)

        with pytest.raises(ConnectTimedOutError):
            outer.start_tls(contexts[0], "127.0.0.1")
        assert outer.get_extra_info("socket").fileno() == -1


class TestLoops:
    async def test_reading_ahead_has_a_bound(self) -> None:
        release = asyncio.Event()

        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(100):
                writer.write(b"x" * 100_000)
                await writer.drain()
            writer.close()
            release.set()

        server = await asyncio.start_server(flood, "127.0.0.1", 0)
        network = LoopNetwork(FAILURES)
        stream = await network.connect_tcp("127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            while not stream._is_paused:  # noqa: ASYNC110 - what is waited for is inside
                await asyncio.sleep(0)
            assert len(stream._received) < 2 * READ_AHEAD
            total = 0
            while data := await stream.read(65536):
                total += len(data)
            assert total == 10_000_000
            await release.wait()
        finally:
            network.abort()
            server.close()

    async def test_failures_to_connect_are_told_as_such(self) -> None:
        with pytest.raises(ConnectFailedError):
            await LoopNetwork(FAILURES).connect_tcp("127.0.0.1", 9)

    async def test_reset_is_an_error_and_not_an_end(self) -> None:
        stream = LoopStream(FAILURES)
        stream.connection_lost(ConnectionResetError("reset"))

        with pytest.raises(ConnectionResetError):
            await stream.read(10)

    async def test_write_to_who_has_hung_up_is_told_apart(self) -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        network = LoopNetwork(FAILURES)
        stream = await network.connect_tcp("127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            assert await stream.read(10) == b""
            assert stream.get_extra_info("is_readable")
            with pytest.raises(WriteFailedError):
                await stream.write(b"hello")
        finally:
            network.abort()
            server.close()

    async def test_blocked_write_ends_with_the_connection(self) -> None:
        peers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _, writer: peers.append(writer), "127.0.0.1", 0, limit=1)
        network = LoopNetwork(FAILURES)
        stream = await network.connect_tcp("127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            writing = asyncio.create_task(stream.write(b"x" * 50_000_000))
            for _ in range(10_000):
                if peers and stream._writer is not None:
                    break
                await asyncio.sleep(0)
            assert not writing.done()  # it waits for a peer who reads nothing
            peers[0].transport.abort()
            with suppress(WriteFailedError):
                await asyncio.wait_for(writing, 10)
            with pytest.raises(WriteFailedError):
                await stream.write(b"x")
        finally:
            network.abort()
            server.close()
