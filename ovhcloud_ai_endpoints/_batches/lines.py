"""The lines of batch files: requests that go out, and results that come back.

Pure.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from ovhcloud_ai_endpoints._errors import HIDDEN, SHORTEST_SECRET, BadRequestError, OVHCloudError
from ovhcloud_ai_endpoints._http import Request, event_error, json_content, parsed_json, status_error

API_PREFIX = "/v1"  # with which the paths in a file begin
NOT_IN_A_BATCH = ("stream", "stream_options")
PIECE = 500  # results that are written down together
PIECE_BYTES = 16 * 1024 * 1024  # of them
MOST_TOKENS = 10**12  # more is nonsense, which SQLite may not even hold
MOST_REPEATS = 2  # of a line that failed, if the failure may pass
_KEY = re.compile("[0-9a-f]{40}")
NO_ANSWER = frozenset({"batch_expired", "batch_cancelled"})  # OpenAI's codes of lines that were not run


@dataclass(frozen=True, slots=True)
class Line:
    """A request as a batch file has it.

    Attributes:
        key: what tells it from others, and its `custom_id`.
        endpoint: with the version, such as "/v1/embeddings".
        body: the JSON that is sent.
    """

    key: str
    server: str
    endpoint: str
    model: str
    body: bytes


def written(key: str, endpoint: str, body: bytes) -> bytes:
    """A request as a line of a file, with its end."""
    head = {"custom_id": key, "method": "POST", "url": endpoint}
    return json.dumps(head)[:-1].encode() + b', "body": ' + body + b"}\n"


def body_of(request: Request[Any]) -> bytes:
    """The body of a request as a batch sends it.

    Raises:
        BadRequestError: it is no JSON object.
        PayloadTooLargeError: the service would refuse it for its size.
    """
    content = request.content()
    value = json.loads(content.body) if isinstance(content.body, bytes) else None
    if not isinstance(value, dict):
        raise BadRequestError("Only requests with a JSON body can be part of a batch.")
    return json_body(value)


def json_body(value: Mapping[str, Any]) -> bytes:
    """A body as a batch sends it: without the fields that ask for a stream.

    Raises:
        BadRequestError: a number is not finite.
    """
    kept = {name: one for name, one in value.items() if name not in NOT_IN_A_BATCH}
    return cast("bytes", json_content(kept).body)


def is_stream(request: Request[Any]) -> bool:
    """Whether a request asks for a stream."""
    body = request.content().body
    return isinstance(body, bytes) and json.loads(body).get("stream") is True


def line_of(server: str, endpoint: str, model: str, body: bytes, *, number: int, place: int | None = None) -> Line:
    """A request with its key.

    Args:
        number: how many equal ones the same input has asked before.
        place: the input, if it shares no answers with others.
    """
    about = [server, endpoint, number] if place is None else [server, endpoint, number, place]
    key = hashlib.sha256(json.dumps(about).encode() + b"\n" + body).hexdigest()[:40]
    return Line(key, server, endpoint, model, body)


@dataclass(frozen=True, slots=True)
class Result:
    """What came back for a line.

    Attributes:
        status: of HTTP; 0 for an error that came without an answer.
        body: the JSON of the answer, or of the error.
    """

    key: str
    status: int
    body: bytes
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def is_answer(self) -> bool:
        return 200 <= self.status < 300

    def error(self, model: str | None = None) -> OVHCloudError:
        """The error that a call would have raised."""
        return error_of(self.status, self.body, model)


def error_of(status: int, body: bytes, model: str | None = None) -> OVHCloudError:
    """The error that a call would have raised for a result."""
    if status:
        return status_error(status, {}, body, model=model)
    return event_error(parsed_json(body), body=body, model=model)


def result_of(line: bytes) -> Result | None:
    """Reads a line of a result file; None if it says nothing: no answer, no error, or nothing that can be read.

    An error may stand in `error`, or in `response` as a status of 400 and more.
    """
    try:
        value = parsed_json(line)
    except ValueError:
        return None
    if not isinstance(value, Mapping) or not _KEY.fullmatch(key := str(value.get("custom_id"))):
        return None
    response, error = value.get("response"), value.get("error")
    if isinstance(error, Mapping) and str(error.get("code")) in NO_ANSWER:
        return None
    if isinstance(response, Mapping) and response.keys() & {"body", "status_code"}:
        body = response.get("body")
        usage = body.get("usage") if isinstance(body, Mapping) else None
        return Result(key, _status(response.get("status_code"), body), _dumped(body), *_tokens(usage))
    if error:
        return Result(key, 0, _dumped({"error": error}))
    return None


def _status(value: Any, body: Any) -> int:
    """The status of an answer; where it makes no sense, what the body looks like."""
    if re.fullmatch("[1-5][0-9][0-9]", str(value)):
        return int(value)
    return 200 if isinstance(body, Mapping) and not body.get("error") else 500


def _tokens(usage: Any) -> tuple[int, int]:
    counts = usage if isinstance(usage, Mapping) else {}
    found = (counts.get("prompt_tokens"), counts.get("completion_tokens"))
    prompt, completion = (count if isinstance(count, int) and 0 <= count < MOST_TOKENS else 0 for count in found)
    return prompt, completion


def _dumped(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half of a letter, which only an escape can hold
        return json.dumps(value, separators=(",", ":")).encode()


def refused_line(key: str, message: str) -> Result:
    """The result of a line for which the service refused a file."""
    return _error_line(key, 400, f"The service refused this line of a batch file: {message}")


def lost_line(key: str) -> Result:
    """The result of a line to which a job that was completed has no answer."""
    return _error_line(key, 502, "The batch job was completed, and its files hold no answer to this request.")


def _error_line(key: str, status: int, message: str) -> Result:
    return Result(key, status, json.dumps({"error": {"message": message}}).encode())


def without(secret: bytes, body: bytes) -> bytes:
    """A body in which the key is hidden, if the service repeats it."""
    return body.replace(secret, HIDDEN.encode()) if len(secret) >= SHORTEST_SECRET and secret in body else body


def pieces(lines: Iterable[bytes]) -> Iterator[list[Result]]:
    """The results of a file, as many together as are written down at once."""
    piece: list[Result] = []
    size = 0
    for line in lines:
        if (result := result_of(line)) is not None:
            piece.append(result)
            size += len(result.body)
        if len(piece) >= PIECE or size > PIECE_BYTES:
            yield piece
            piece, size = [], 0
    yield piece
