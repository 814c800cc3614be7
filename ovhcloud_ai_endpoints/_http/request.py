"""Requests and answers as values: all that an endpoint and the transport know of each other.

Pure.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar, runtime_checkable

from ovhcloud_ai_endpoints._errors import BadRequestError, OVHCloudError, PayloadTooLargeError
from ovhcloud_ai_endpoints._http.json import parsed_json
from ovhcloud_ai_endpoints._http.refusals import invalid_response
from ovhcloud_ai_endpoints._surrogates import well_formed
from ovhcloud_ai_endpoints._values import Exchange

T_co = TypeVar("T_co", covariant=True)
D_co = TypeVar("D_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Content:
    """The body of a request.

    Attributes:
        body: its bytes, or a function that returns them in chunks, anew for each attempt.
        media_type: the Content-Type to send; None for a request without a body.
        length: how many bytes the function returns in all; 0 if that is not known.
    """

    body: bytes | Callable[[], Iterable[bytes]] = b""
    media_type: str | None = None
    length: int = 0

    @property
    def size(self) -> int:
        """How many bytes the body has; 0 if that is not known."""
        return len(self.body) if isinstance(self.body, bytes) else self.length


@dataclass(frozen=True, slots=True)
class Whole:
    """A successful answer that has been read to its end.

    Attributes:
        headers: lower-case names.
        body: decompressed.
        exchange: what is known of the call.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    exchange: Exchange

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            InvalidResponseError: it is not JSON.
        """
        try:
            return parsed_json(self.body)
        except ValueError as error:
            raise invalid_response(f"The answer can't be read as JSON: {error}", self.body, self.headers) from error

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            InvalidResponseError: it is not a JSON object.
        """
        value = self.json()
        if not isinstance(value, dict):
            raise invalid_response("The answer is not a JSON object", self.body, self.headers)
        return value

    @property
    def day(self) -> str | None:
        """The day of the answer by the service's clock, as YYYY-MM-DD; None if it did not say."""
        try:
            return parsedate_to_datetime(self.headers["date"]).date().isoformat()
        except (KeyError, TypeError, ValueError, OverflowError):
            return None


class Request(Protocol[T_co]):
    """A request that knows how to read its answer.

    Attributes:
        method: the HTTP method.
        path: what follows the base URL, with its query.
        model: the model whose limit it counts against; None if it counts against none.
        may_repeat: whether to send it again when it may have arrived; False if it creates something.
        largest: the most bytes that its answer may have, decompressed.
    """

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def model(self) -> str | None: ...
    @property
    def may_repeat(self) -> bool: ...
    @property
    def largest(self) -> int: ...

    def content(self) -> Content:
        """The body to send.

        Raises:
            BadRequestError: the body can't be serialized.
            PayloadTooLargeError: the service would refuse it for its size.
        """

    def read(self, whole: Whole) -> T_co:
        """The value of a whole answer.

        Raises:
            OVHCloudError: the answer is an error in spite of its status, or can't be read.
        """


@runtime_checkable
class Correctable(Protocol):
    """A request that has another form to send if this one is refused."""

    def corrected(self, error: OVHCloudError) -> "Request[Any] | None":
        """The request to send instead, once it was refused with this error; None if there is none."""


class Reader(Protocol[D_co, T_co]):
    """Reads one streamed answer as it arrives.

    Attributes:
        is_done: whether the answer has ended; what still comes is not part of it.
        is_complete: whether the answer is whole, even if the end of the stream is missing.
    """

    @property
    def is_done(self) -> bool: ...
    @property
    def is_complete(self) -> bool: ...

    def feed(self, data: bytes) -> Iterator[D_co]:
        """The deltas in these bytes; exhaust them before the next call. A falsy delta is progress without content.

        Raises:
            OVHCloudError: the stream reports an error, or can't be read.
        """

    def end(self) -> Iterator[D_co]:
        """The deltas that were held back, once the bytes have ended.

        Raises:
            OVHCloudError: the answer is not complete, or empty.
        """

    def interrupted(self, problem: str) -> OVHCloudError:
        """The error for a stream that broke off, with the partial answer."""

    def result(self, exchange: Exchange) -> T_co:
        """What the deltas so far add up to."""


class StreamedRequest(Request[T_co], Protocol[D_co, T_co]):
    """A request whose answer is read as it arrives.

    Attributes:
        whole_types: prefixes of the media types of answers that are not streams.
    """

    @property
    def whole_types(self) -> Collection[str]: ...

    def reader(self) -> Reader[D_co, T_co]:
        """A fresh reader for one answer."""

    def as_stream(self, whole: Whole) -> bytes:
        """A stream that says what a whole answer says."""


def headers_by_name(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers of an answer by their lower-case names; httpx's own mapping guesses their encoding at each look."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def json_content(
    body: Mapping[str, Any], *, most: int | None = None, advice: Callable[[Mapping[str, Any]], str] = lambda _: ""
) -> Content:
    """A body as JSON, in which lone surrogates are replaced by U+FFFD.

    Args:
        most: the bytes that the service takes; None if that is unknown.
        advice: what to send instead of a body that is larger, as a sentence.

    Raises:
        BadRequestError: a number is not finite.
        PayloadTooLargeError: the body has more than `most` bytes.
    """
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise BadRequestError(f"The request can't be written as JSON: {error}.") from error
    raw = well_formed(text).encode()
    if most is not None and len(raw) > most:
        raise PayloadTooLargeError(
            f"The request has {len(raw):,} bytes; the service takes {most:,}. It was not sent. {advice(body)}"
        )
    return Content(raw, "application/json")
