"""A peer that dies without a word, in a network namespace of its own: python tests/soak/dead_peer.py

Needs root and `ip`. A stream and a whole answer, blocking and awaited, must notice it in under a minute, though their
clocks would let them wait for ten; and a peer that is silent for as long, but alive, must not be given up.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ovhcloud_ai_endpoints import APIConnectionError, APITimeoutError, StreamInterruptedError, Timeouts
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._http.client import AsyncClient, Client
from ovhcloud_ai_endpoints._http.retry import Retry
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints.testing import LocalEndpoints, Pause

SPACE, HERE, THERE = "ovhcloud-test", "10.213.7.1", "10.213.7.2"
PORT = 8123
SILENCE = 65.0
BODY: dict[str, Any] = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}]}
EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def serve() -> None:
    """In the namespace: begins a stream for whoever asks for one, and says nothing else."""
    kept = []
    with socket.create_server((THERE, PORT)) as listener:
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            request = b""
            while not request.endswith(b"}"):
                request += connection.recv(65536)
            if b'"stream"' in request:
                connection.sendall(HEAD + EVENT)
            kept.append(connection)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def read(settings: Settings) -> str:
    with Client(settings).stream(ChatRequest({**BODY, "stream": True})) as deltas:
        return "".join(delta.text for delta in deltas)


async def aread(settings: Settings) -> str:
    async with AsyncClient(settings).stream(ChatRequest({**BODY, "stream": True})) as deltas:
        return "".join([delta.text async for delta in deltas])


WAYS: dict[str, Callable[[Settings], Any]] = {
    "stream": read,
    "stream, awaited": lambda settings: asyncio.run(aread(settings)),
    "chat": lambda settings: Client(settings).send(ChatRequest(BODY)),
    "chat, awaited": lambda settings: asyncio.run(AsyncClient(settings).send(ChatRequest(BODY))),
}


def main() -> int:
    if os.getuid() != 0 or not shutil.which("ip"):
        print("not run: it needs root and ip")
        return 0
    ip("netns", "add", SPACE)
    try:
        return check()
    finally:
        ip("netns", "del", SPACE)


def check() -> int:
    ip("link", "add", "ovh0", "type", "veth", "peer", "name", "ovh1", "netns", SPACE)
    ip("addr", "add", f"{HERE}/24", "dev", "ovh0")
    ip("link", "set", "ovh0", "up")
    ip("-n", SPACE, "addr", "add", f"{THERE}/24", "dev", "ovh1")
    ip("-n", SPACE, "link", "set", "ovh1", "up")
    command = ["ip", "netns", "exec", SPACE, sys.executable, __file__, "serve"]
    patient = Settings(timeouts=Timeouts(first_event=600, idle=600), retry=Retry(max_retries=0))
    dead = Settings(
        base_url=f"http://{THERE}:{PORT}/v1", trust_env=False, timeouts=patient.timeouts, retry=patient.retry
    )
    outcomes: dict[str, tuple[str, float]] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server, LocalEndpoints() as silent:
        if server.stdout:
            server.stdout.readline()
        alive = Settings(
            base_url=silent.base_url, api_key=silent.api_key, timeouts=patient.timeouts, retry=patient.retry
        )
        silent.reply("alive", pause=SILENCE)
        silent.reply(events=[EVENT, Pause(SILENCE), EVENT.replace(b"}}]", b'}, "finish_reason": "stop"}]')])
        began = time.monotonic()

        def run(name: str, way: Callable[[Settings], Any], settings: Settings) -> None:
            try:
                way(settings)
                outcomes[name] = ("answered", time.monotonic() - began)
            except (APIConnectionError, StreamInterruptedError) as error:
                outcomes[name] = (type(error).__name__, time.monotonic() - began)

        threads = [threading.Thread(target=run, args=(name, way, dead)) for name, way in WAYS.items()]
        threads += [
            threading.Thread(target=run, args=(f"silent {name}", WAYS[name], alive)) for name in ("chat", "stream")
        ]
        for thread in threads:
            thread.start()
            time.sleep(0.2)
        time.sleep(1)
        began = time.monotonic()
        ip("-n", SPACE, "addr", "flush", "dev", "ovh1")
        for thread in threads:
            thread.join(120)
        server.kill()
    for name, (outcome, seconds) in outcomes.items():
        print(f"{name}: {outcome} after {seconds:.0f} s")
    noticed = [outcomes.get(name, ("", 999.0)) for name in WAYS]
    is_well = all(
        outcome not in {"answered", APITimeoutError.__name__} and seconds < 60 for outcome, seconds in noticed
    )
    is_well = is_well and all(outcomes.get(f"silent {name}", ("",))[0] == "answered" for name in ("chat", "stream"))
    print("held" if is_well else "FAILED")
    return 0 if is_well else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    sys.exit(main())
