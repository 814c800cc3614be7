"""One client's connection to the local server: requests in by h11, and any byte, pause or reset out."""

import asyncio
import socket
import struct
import time
from collections.abc import Callable

import h11

from ovhcloud_ai_endpoints.testing._requests import Request
from ovhcloud_ai_endpoints.testing._script import CUT, RESET, Pause, Scripted, Step

HOLD_SECONDS = 0.005  # between two checks of whether an answer may be sent


class Connection:
    """One client's connection: request after request."""

    def __init__(
        self,
        answer: Callable[[Request], Scripted],
        failed: Callable[[BaseException], Scripted],
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._answer = answer
        self._failed = failed
        self._number = number
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)
        self._ahead: asyncio.Task[bytes] | None = None

    async def run(self) -> None:
        while (request := await self._request()) is not None:
            if not await self._send(self._answer(request)):
                return
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    def close(self) -> None:
        if self._ahead:
            self._ahead.cancel()
        self._writer.close()

    async def _request(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            try:
                received = self._http.next_event()
            except h11.RemoteProtocolError:
                return None
            match received:
                case h11.NEED_DATA:
                    self._http.receive_data(await self._read())
                case h11.Request():
                    head = received
                case h11.Data():
                    body += received.data
                case h11.EndOfMessage() if head is not None:
                    headers = {name.decode().lower(): value.decode("latin-1") for name, value in head.headers}
                    return Request(head.method.decode(), head.target.decode(), headers, bytes(body), self._number)
                case _:
                    return None

    async def _read(self) -> bytes:
        if self._ahead:
            ahead, self._ahead = self._ahead, None
            return await ahead
        return await self._reader.read(65536)

    async def _send(self, answer: Scripted) -> bool:
        """Sends an answer; False if the connection is over."""
        if answer.hold.seconds:
            await self._pause(answer.hold.seconds)
        while answer.hold.until:
            try:
                if answer.hold.until():
                    break
            except BaseException as problem:  # noqa: BLE001 - as the server does with functions
                answer = self._failed(problem)
                break
            await self._pause(HOLD_SECONDS)
        if answer.status is not None:
            await self._write(self._http.send(_head(answer.status, answer)))
        for step in answer.steps:
            if isinstance(step, bytes):
                await self._write(step if answer.status is None else self._http.send(h11.Data(data=step)))
            elif not await self._step(step):
                return False
        if answer.status is None:
            return False
        await self._write(self._http.send(h11.EndOfMessage()))
        return True

    async def _step(self, step: Step) -> bool:
        if isinstance(step, Pause):
            await self._pause(step.seconds)
            return True
        if step is RESET:
            connection = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        elif step is not CUT:
            raise TypeError(f"A step must be bytes, Pause, CUT or RESET; got {step!r}")
        return False

    async def _write(self, data: bytes | None) -> None:
        if self._writer.is_closing():
            raise HungUpError
        try:
            self._writer.write(data or b"")
            await self._writer.drain()
        except ConnectionError as error:
            raise HungUpError from error

    async def _pause(self, seconds: float) -> None:
        """Silence, unless the client hangs up."""
        if self._ahead is None:
            self._ahead = asyncio.create_task(self._reader.read(65536))
        done, _ = await asyncio.wait({self._ahead}, timeout=seconds)
        if done and (self._ahead.exception() or not self._ahead.result()):
            raise HungUpError


class HungUpError(Exception):
    """The client closed its connection before the answer had ended."""


def _head(status: int, answer: Scripted) -> h11.Response:
    steps = answer.steps
    framing = {"Transfer-Encoding": "chunked"}
    if isinstance(steps, list) and len(steps) == 1 and isinstance(steps[0], bytes):
        framing = {"Content-Length": str(len(steps[0]))}
    date = {"Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())}
    return h11.Response(status_code=status, headers=list({**date, **answer.headers, **framing}.items()))
