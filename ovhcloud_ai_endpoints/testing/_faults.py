"""What can go wrong on the way and at the service: one table, from which tests and docs are made.

Test your own app with it too:

    @pytest.mark.parametrize("fault", FAULTS)
    def test_my_app_survives(fault):
        with LocalEndpoints() as server:
            server.fail(fault)
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from ovhcloud_ai_endpoints._errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    OVHCloudError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    StreamInterruptedError,
)
from ovhcloud_ai_endpoints.testing._script import CUT, RESET, Pause

Kind = Literal["chat", "stream", "embeddings"]

FOREVER = Pause(600)  # longer than any test waits; a client that hangs up ends it
ALL: tuple[Kind, ...] = ("chat", "stream", "embeddings")
WHOLE: tuple[Kind, ...] = ("chat", "embeddings")


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        what: what happens, in words.
        kinds: the kinds of request that it can hit.
        error: the error raised if it hits every attempt; None if the answer is whole all the same.
        is_tried_again: whether the client makes another attempt.
        reply: the arguments of `LocalEndpoints.reply` that play it; None if no server can, since none is reached.
    """

    what: str
    kinds: tuple[Kind, ...]
    error: type[OVHCloudError] | None
    is_tried_again: bool
    reply: Mapping[str, Any] | None = field(repr=False)


def _before(what: str, error: type[OVHCloudError], reply: Mapping[str, Any] | None) -> Fault:
    """A fault that hits before there is an answer, so that a retry does no harm."""
    return Fault(what, ALL, error, is_tried_again=True, reply=reply)


def _lasting(what: str, error: type[OVHCloudError], kinds: tuple[Kind, ...] = ALL, **reply: Any) -> Fault:
    return Fault(what, kinds, error, is_tried_again=False, reply=reply)


def _stream(what: str, error: type[OVHCloudError] | None, *events: Any) -> Fault:
    return Fault(what, ("stream",), error, is_tried_again=False, reply={"events": events})


def _status(status: int, error: type[OVHCloudError], what: str, retry_after: str | None = None) -> Fault:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return _before(what, error, {"status": status, "headers": headers})


def _vectors(what: str, *items: str) -> Fault:
    return _lasting(what, InvalidResponseError, ("embeddings",), body=f'{{"data": [{", ".join(items)}]}}'.encode())


def _event(value: Any) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def _delta(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}]}


TEXT = "Half of it"  # what has arrived when a stream breaks off

_HALF = _delta(TEXT)
_REST = _delta(", and the rest.", "stop")
_LAST = (_HALF, _REST, "[DONE]")
_BUSY = {"error": {"message": "overloaded", "type": "ServiceUnavailable", "code": 503}}
_PAGE = "<html><head><title>Blocked by policy</title></head><body>…</body></html>"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
_PING = b": ping\n\n"
_ONE = '{"index": 0, "embedding": [1.0]}'

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        # before there is an answer
        "refused": _before("the connection is refused", APIConnectionError, None),
        "unreachable": _before("nobody answers the attempt to connect", APITimeoutError, None),
        "reset": _before("the connection is reset before the status line", APIConnectionError, {"raw": [RESET]}),
        "hung-up": _before("the connection is closed before the status line", APIConnectionError, {"raw": [CUT]}),
        "deaf": _lasting("the server takes the request and never answers", APITimeoutError, raw=[FOREVER]),
        "no-http": _lasting("the answer is not HTTP", InvalidResponseError, raw=[b"SSH-2.0-OpenSSH\r\n\r\n"]),
        "endless-head": _lasting(
            "headers without end",
            InvalidResponseError,
            raw=[b"HTTP/1.1 200 OK\r\n", *[b"X-Junk: junk\r\n" * 1000] * 100],
        ),
        # statuses
        "429": _status(429, RateLimitError, "429 without `Retry-After`"),
        "429-seconds": _status(429, RateLimitError, "429 with `Retry-After` in seconds", "0.02"),
        "429-date": _status(429, RateLimitError, "429 with `Retry-After` as a date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        "429-nonsense": _status(429, RateLimitError, "429 with a `Retry-After` that means nothing", "-5 soon"),
        "429-absurd": _lasting(
            "429 with a `Retry-After` of a day", RateLimitError, status=429, headers={"Retry-After": "86400"}
        ),
        "408": _status(408, APITimeoutError, "408"),
        "409": _status(409, BadRequestError, "409"),
        "500": _status(500, InternalServerError, "500"),
        "502-page": _before(
            "502 with a proxy's HTML page",
            InternalServerError,
            {"status": 502, "body": _PAGE, "headers": {"Content-Type": "text/html"}},
        ),
        "503": _status(503, InternalServerError, "503 with `Retry-After`", "0.02"),
        "503-cut": _before(
            "503 whose body is cut",
            InternalServerError,
            {"raw": [b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n{", CUT]},
        ),
        "400": _lasting("400", BadRequestError, status=400),
        "401": _lasting("401", AuthenticationError, status=401),
        "403": _lasting("403 that doesn't mention authentication", PermissionDeniedError, status=403),
        "403-page": _lasting(
            "403 with a proxy's HTML page",
            PermissionDeniedError,
            status=403,
            body=_PAGE,
            headers={"Content-Type": "text/html"},
        ),
        "404": _lasting("404", NotFoundError, status=404),
        "413": _lasting("413", PayloadTooLargeError, status=413),
        "422": _lasting("422 as plain text", BadRequestError, status=422, body="Failed to deserialize the JSON body"),
        "redirect": _lasting(
            "a redirect to another host",
            InvalidResponseError,
            status=307,
            headers={"Location": "http://127.0.0.1:9/v1"},
        ),
        # whole answers with status 200
        "empty": _lasting("an empty body", InvalidResponseError, WHOLE, body=b""),
        "truncated": _lasting("JSON that breaks off", InvalidResponseError, WHOLE, body=b'{"id": "c", "choi'),
        "cut": _lasting("the connection is closed within the body", APIConnectionError, WHOLE, raw=[_HEAD, b"{", CUT]),
        "reset-in-body": _lasting(
            "the connection is reset within the body", APIConnectionError, WHOLE, raw=[_HEAD, b"{", RESET]
        ),
        "mute": _lasting("silence within the body", APITimeoutError, WHOLE, raw=[_HEAD, b"{", FOREVER]),
        "page": _lasting(
            "a proxy's HTML page", InvalidResponseError, body=_PAGE, headers={"Content-Type": "text/html"}
        ),
        "error-in-body": _lasting("an error, with status 200", InternalServerError, body=_BUSY),
        "not-an-object": _lasting("JSON that is not an object", InvalidResponseError, WHOLE, body=[]),
        "nested": _lasting("JSON nested 100,000 deep", InvalidResponseError, WHOLE, body=b'{"a":' * 100_000),
        "not-utf-8": _lasting("bytes that are not UTF-8", InvalidResponseError, WHOLE, body=b'{"id": "\xff"}'),
        "nul": _lasting("NUL bytes", InvalidResponseError, WHOLE, body=b"\x00" * 1000),
        "not-gzip": _lasting(
            "a body that can't be decompressed", InvalidResponseError, body=b"{}", headers={"Content-Encoding": "gzip"}
        ),
        "gzip-twice": _lasting(
            "a body compressed twice, as bombs are",
            InvalidResponseError,
            body=b"{}",
            headers={"Content-Encoding": "gzip, gzip"},
        ),
        "vectors-missing": _vectors("fewer vectors than texts"),
        "vectors-doubled": _vectors("two vectors for one text", _ONE, _ONE),
        "vectors-nan": _vectors("a vector with NaN", '{"index": 0, "embedding": [NaN]}'),
        "vectors-infinite": _vectors("a vector with 1e400", '{"index": 0, "embedding": [1e400]}'),
        "vectors-empty": _vectors("a vector without numbers", '{"index": 0, "embedding": []}'),
        # streams
        "stream-empty": _stream("a stream with nothing in it", StreamInterruptedError),
        "stream-cut-at-once": _stream("cut before the first event", StreamInterruptedError, CUT),
        "stream-cut": _stream("cut between two events", StreamInterruptedError, _HALF, CUT),
        "stream-cut-in-event": _stream(
            "cut within an event", StreamInterruptedError, _HALF, b'data: {"choices": [{"ind', CUT
        ),
        "stream-cut-in-letter": _stream(
            "cut within a letter", StreamInterruptedError, _HALF, b'data: {"id": "caf\xc3', CUT
        ),
        "stream-cut-in-line-end": _stream(
            "cut within CR LF", StreamInterruptedError, _event(_HALF).replace(b"\n\n", b"\r\n\r"), CUT
        ),
        "stream-reset": _stream("reset between two events", StreamInterruptedError, _HALF, RESET),
        "stream-unfinished": _stream("ends well, but before the answer does", StreamInterruptedError, _HALF),
        "stream-deaf": _stream("no event comes", APITimeoutError, FOREVER),
        "stream-mute": _stream("falls silent", APITimeoutError, _HALF, FOREVER),
        "stream-pings": _stream("falls silent but for pings", APITimeoutError, _HALF, *[_PING, Pause(0.05)] * 2000),
        "stream-idle-events": _stream(
            "goes on with events that say nothing", APITimeoutError, _HALF, *[{"choices": []}, Pause(0.05)] * 2000
        ),
        "stream-error": _stream("an error instead of an event", InternalServerError, _BUSY),
        "stream-error-after-text": _stream(
            "an error in the same packet as an event", InternalServerError, _event(_HALF) + _event(_BUSY)
        ),
        "stream-not-json": _stream("an event that is not JSON", InvalidResponseError, _HALF, "not JSON"),
        "stream-nested": _stream("an event nested 100,000 deep", InvalidResponseError, _HALF, '{"a":' * 100_000),
        "stream-huge": _stream(
            "an event of 100 MB in one line", InvalidResponseError, _HALF, b"data: ", *[b"x" * 1_000_000] * 100
        ),
        # streams that are whole
        "stream-without-done": _stream("ends after its finish reason, without `[DONE]`", None, _HALF, _REST),
        "stream-cut-after-finish": _stream("cut after its finish reason", None, _HALF, _REST, CUT),
        "stream-reset-after-done": _stream("reset after `[DONE]`", None, *_LAST, RESET),
        "stream-rubbish-after-done": _stream("bytes after `[DONE]`", None, *_LAST, b"\xffrubbish\n\n"),
        "stream-held-open": _stream("not closed after `[DONE]`", None, *_LAST, FOREVER),
        "stream-in-letters": _stream(
            "each byte by itself", None, *[bytes([byte]) for one in (_HALF, _REST) for byte in _event(one)], "[DONE]"
        ),
    }
)


def fault_named(name: str) -> Fault:
    """The fault of this name.

    Raises:
        ValueError: there is no such fault.
    """
    if name not in FAULTS:
        near = ", ".join(difflib.get_close_matches(name, FAULTS, n=3, cutoff=0.3))
        raise ValueError(f"There is no fault {name!r} in FAULTS; the nearest names are {near}")
    return FAULTS[name]


def hits(fault: Fault, path: str, body: bytes) -> bool:
    """Whether a server can play the fault, and it can hit this request."""
    if fault.reply is None:
        return False
    if path.endswith("/embeddings"):
        return "embeddings" in fault.kinds
    if not path.endswith("/chat/completions"):
        return False
    try:
        is_stream = bool(json.loads(body).get("stream"))
    except (AttributeError, ValueError):
        return False
    return ("stream" if is_stream else "chat") in fault.kinds
