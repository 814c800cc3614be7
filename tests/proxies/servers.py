"""nginx, HAProxy and tinyproxy, each a process with a configuration of its own, in the foreground."""

import os
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import trustme
from processes import free_port
from programs import ENVIRONMENT
from waiting import eventually

LOWEST_PORT, HIGHEST_PORT = 20_000, 32_000  # none that the system gives to outgoing connections
TO_FINISH = 60.0  # seconds; a replaced proxy ends after its last answer, for which a busy machine may take a while

NGINX = """
daemon off;
pid {folder}/pid;
error_log {folder}/errors;
worker_processes 2;
{user}
events {{ worker_connections 1024; }}
http {{
    log_format seen '$status $server_protocol "$sent_http_content_type" $sent_http_content_encoding';
    access_log {folder}/seen seen;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
    server {{
        listen {host}:{port}{listen};
        {server}
        location / {{ proxy_pass http://127.0.0.1:{origin}; }}
        {locations}
    }}
}}
"""
LOCATION = "location /{path}/ {{ {more} proxy_pass http://127.0.0.1:{to}/; }}"

HAPROXY = """
global
    maxconn 1000
    {master}
defaults
    mode http
    timeout connect 5s
    timeout client {seconds}s
    timeout server {seconds}s
    {defaults}
frontend front
    bind 127.0.0.1:{port}
    {uses}
    default_backend origin
backend origin
    server one 127.0.0.1:{origin}
{backends}
"""
BACKEND = r"""
backend {path}
    http-request replace-path /{path}(/.*) \1
    server one 127.0.0.1:{to}
"""
TINYPROXY = """
Port {port}
Listen 127.0.0.1
Allow 127.0.0.1
Timeout 60
MaxClients 400
LogLevel Critical
BasicAuth {user} {password}
"""


class Certificates:
    """A certification authority of its own, and what it has signed.

    Attributes:
        ca: the file with its certificate.
        server: the file with key and certificate of the hosts.
    """

    def __init__(self, folder: Path, *hosts: str) -> None:
        authority = trustme.CA()
        self.ca, self.server, self._client = folder / "ca.pem", folder / "server.pem", folder / "client.pem"
        authority.cert_pem.write_to_path(self.ca)
        authority.issue_cert(*hosts).private_key_and_cert_chain_pem.write_to_path(self.server)
        authority.issue_cert("app@example.org").private_key_and_cert_chain_pem.write_to_path(self._client)

    def of_client(self) -> ssl.SSLContext:
        """What `verify=` takes of an app that has a certificate itself."""
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self._client)
        return context

    @property
    def nginx(self) -> str:
        return f"ssl_certificate {self.server}; ssl_certificate_key {self.server};"


class Nginx:
    """A running nginx."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path, port: int) -> None:
        self.port = port
        self._process = process
        self._folder = folder

    def seen(self) -> set[str]:
        """The different lines of its log of requests."""
        return set((self._folder / "seen").read_text("utf-8").splitlines())

    def reload(self) -> None:
        self._process.send_signal(signal.SIGHUP)


@contextmanager
def nginx(
    origin: int,
    *,
    behind: Mapping[str, int] | None = None,
    location: str = "",
    http: str = "",
    server: str = "",
    listen: str = "",
    host: str = "127.0.0.1",
    within: Sequence[str] = (),
) -> Iterator[Nginx]:
    """nginx in front of a port.

    Args:
        behind: other ports, by the path before theirs.
        location: more lines of the blocks of these paths.
        http: more lines of its `http` block.
        server: more lines of its `server` block.
        listen: more words of its `listen`.
        within: a command that runs commands, as `ip netns exec` does.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        others = (behind or {}).items()
        locations = "".join(LOCATION.format(path=path, to=to, more=location) for path, to in others)
        user = "user root;" if os.getuid() == 0 else ""  # another could not reach the folder
        filled = NGINX.format(
            folder=folder,
            http=http,
            server=server,
            listen=listen,
            host=host,
            port=port,
            origin=origin,
            locations=locations,
            user=user,
        )
        (folder / "nginx.conf").write_text(filled, "utf-8")
        command = [*within, "nginx", "-p", name, "-e", "stderr", "-c", f"{name}/nginx.conf"]
        with running(command) as process:
            written = folder / "pid"  # once it listens
            assert eventually(lambda: written.exists() and written.read_text("ascii").strip())
            yield Nginx(process, folder, port)


class HAProxy:
    """A running HAProxy, which may be reloaded in either of its two ways."""

    def __init__(self, command: Sequence[str], port: int) -> None:
        self.port = port
        self._command = command
        self.processes = [_start(command)]

    def replace(self) -> None:
        """Starts a new process, which tells the old one to finish what it has begun; waits until that has ended."""
        old = self.processes[-1]
        self.processes.append(_start([*self._command, "-sf", str(old.pid)]))
        assert eventually(lambda: old.poll() is not None, TO_FINISH)

    def reload(self) -> None:
        """Tells the master to start a new worker; waits until that is there."""
        before = self.workers()
        self.processes[0].send_signal(signal.SIGUSR2)
        assert eventually(lambda: self.workers() - before)

    def workers(self) -> set[str]:
        pid = self.processes[0].pid
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split())


@contextmanager
def haproxy(
    origin: int,
    *,
    behind: Mapping[str, int] | None = None,
    seconds: int = 30,
    defaults: str = "",
    has_master: bool = False,
) -> Iterator[HAProxy]:
    """HAProxy in front of a port.

    Args:
        behind: other ports, by the path before theirs.
        seconds: how long it waits for the client and for the server.
        defaults: more lines of that section.
        has_master: whether a master process starts workers.
    """
    others = (behind or {}).items()
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        filled = HAPROXY.format(
            port=port,
            origin=origin,
            seconds=seconds,
            defaults=defaults,
            master=f"stats socket {folder}/socket level admin expose-fd listeners" if has_master else "",
            uses="\n    ".join(f"use_backend {path} if {{ path_beg /{path}/ }}" for path, _ in others),
            backends="".join(BACKEND.format(path=path, to=to) for path, to in others),
        )
        (folder / "haproxy.cfg").write_text(filled, "utf-8")
        started = HAProxy(["haproxy", "-W" if has_master else "-db", "-f", f"{name}/haproxy.cfg"], port)
        try:
            assert eventually(lambda: is_open(port))
            yield started
        finally:
            for process in started.processes:
                end(process)


@contextmanager
def tinyproxy(user: str, password: str) -> Iterator[int]:
    """The port of a forward proxy that asks for a user name and password."""
    with tempfile.TemporaryDirectory() as name:
        file, port = Path(name) / "tinyproxy.conf", free_port()
        file.write_text(TINYPROXY.format(port=port, user=user, password=password), "utf-8")
        with running(["tinyproxy", "-d", "-c", str(file)]):
            assert eventually(lambda: is_open(port))
            yield port


def is_open(port: int) -> bool:
    """Whether anybody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(command: Sequence[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that ends with the block."""
    process = _start(command)
    try:
        yield process
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _start(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, env=ENVIRONMENT)
