"""CPU time of calls, beside other packages: many that are awaited at once, and many that block, in turn.

make bench, or: python tests/benchmarks/calls.py [--rounds 3]

A canned server in a process of its own answers precomputed bytes, so that it is the clients that are timed. Each client
runs in a process of its own, all in turn, several times; the least CPU time of each counts, and its ratio to another's
of the same run. What the answers say is checked.
"""

import argparse
import asyncio
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

TEXT = "Hello there, how are you?"
BODY = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-oss-120b",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
    }
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
LATENCY = 0.3  # seconds of an answer to calls at once, so that each has a connection

AT_ONCE = (25, 100, 400, 1600)
IN_TURN = 300
CLIENTS = ("ChatOpenAI", "ChatMistralAI", "ChatOVHCloud", "ChatOVHCloud over aiohttp")
REACH = {  # of the issue that asked for this script
    "400 at once: ChatOVHCloud / ChatOpenAI": 0.4,
    "400 at once: ChatOVHCloud over aiohttp / ChatOpenAI": 0.25,
    "in turn: ChatOVHCloud / ChatMistralAI": 1.0,
}


class Canned(asyncio.Protocol):
    """Answers each request with the same bytes; those under /late after a while."""

    _transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self._received) < end + 4 + length:
                return
            self._received = self._received[end + 4 + length :]
            if b"/late" in head[:100]:
                asyncio.get_running_loop().call_later(LATENCY, self._transport.write, ANSWER)
            else:
                self._transport.write(ANSWER)


def serve(pipe: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


@contextmanager
def canned_server() -> Iterator[int]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def model(name: str, base_url: str) -> Any:
    if name == "ChatOpenAI":
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model="gpt-oss-120b", api_key="key", base_url=base_url)
    if name == "ChatMistralAI":
        from langchain_mistralai import ChatMistralAI

        return ChatMistralAI(model="gpt-oss-120b", api_key="key", endpoint=base_url)
    from langchain_ovhcloud import ChatOVHCloud

    backend: Any = "aiohttp" if name.endswith("aiohttp") else "httpx"
    return ChatOVHCloud(model="gpt-oss-120b", api_key="key", base_url=base_url, http_backend=backend)


def timed(name: str, port: int, count: int, *, at_once: bool) -> float:
    """CPU seconds of so many calls, after a first one."""
    chat = model(name, f"http://127.0.0.1:{port}{'/late' if at_once else ''}/v1")

    async def main() -> float:
        await chat.ainvoke("Hello")
        began = time.process_time()
        answers = await asyncio.gather(*(chat.ainvoke("Hello") for _ in range(count)))
        took = time.process_time() - began
        assert {answer.text for answer in answers} == {TEXT}
        return took

    if at_once:
        return asyncio.run(main())
    chat.invoke("Hello")
    began = time.process_time()
    answers = [chat.invoke("Hello") for _ in range(count)]
    took = time.process_time() - began
    assert {answer.text for answer in answers} == {TEXT}
    return took


def least(name: str, port: int, count: int, rounds: int, *, at_once: bool) -> list[float]:
    command = [sys.executable, __file__, "--one", name, str(port), str(count), str(int(at_once))]
    return [float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(rounds)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=4, metavar=("CLIENT", "PORT", "COUNT", "AT_ONCE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        name, port, count, at_once = chosen.one
        print(timed(name, int(port), int(count), at_once=at_once == "1"))
        return 0
    rows: dict[str, dict[str, list[float]]] = {}
    with canned_server() as port:
        for _ in range(chosen.rounds):
            for count in AT_ONCE:
                for name in (name for name in CLIENTS if name != "ChatMistralAI"):
                    row = rows.setdefault(f"{count} at once", {})
                    row.setdefault(name, []).extend(least(name, port, count, 1, at_once=True))
            for name in CLIENTS[:3]:
                row = rows.setdefault("in turn", {})
                row.setdefault(name, []).extend(least(name, port, IN_TURN, 1, at_once=False))
    print(f"CPU seconds, the least and the most of {chosen.rounds}; in turn: {IN_TURN} calls\n")
    for what, row in rows.items():
        for name, seconds in row.items():
            print(f"{what:14} {name:26} {min(seconds):7.3f} to {max(seconds):.3f}")
    print()
    is_reached = True
    for what, most in REACH.items():
        row, _, (ours, peer) = rows[what.partition(":")[0]], None, what.partition(": ")[2].split(" / ")
        ratio = min(row[ours]) / min(row[peer])
        is_reached = is_reached and ratio <= most
        print(f"{what}: {ratio:.2f}, of {most:g} at most")
    per_call = [min(rows[f"{count} at once"]["ChatOVHCloud"]) / count * 1000 for count in AT_ONCE]
    print(f"ms of a call at once, of {', '.join(map(str, AT_ONCE))}: {', '.join(f'{ms:.2f}' for ms in per_call)}")
    return 0 if is_reached else 1


if __name__ == "__main__":
    sys.exit(main())
