"""The requests of batch mode: to store a file, to make a job of it, to look after the job, to read its results.

Pure. Facts: OVHcloud's guide "AI Endpoints - Batch mode" of 2026-07-21; what it leaves out is OpenAI's API.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from ovhcloud_ai_endpoints._errors import APIConnectionError, InvalidResponseError, OVHCloudError
from ovhcloud_ai_endpoints._http import Content, Whole, invalid_response, json_content
from ovhcloud_ai_endpoints._values import Exchange

MOST_LINES = 50_000  # in a file
MOST_BYTES = 200 * 1000 * 1000  # of a file
MOST_JOBS = 5  # in progress; the others wait
KEPT_DAYS = 15  # for which the service keeps files
LARGEST_ANSWER = 64 * 1024 * 1024  # bytes: a job whose file has 50,000 bad lines may name each
LONGEST_LINE = 128 * 1024 * 1024  # bytes of one result
PAGE = 100  # jobs in one answer

Window = Literal["24h", "48h", "72h"]
UNDER_WAY = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
MOST_PAGES = 1_000  # of the list of jobs
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True)
class JobState:
    """What the service says of a job.

    Attributes:
        status: validating, failed, in_progress, finalizing, completed, expired, cancelling or cancelled.
        results: ids of the files with its answers and errors.
        problems: why the file of a failed job was refused.
    """

    id: str
    status: str
    input_file: str | None = None
    results: tuple[str, ...] = ()
    total: int = 0
    done: int = 0
    failed: int = 0
    problems: tuple["Problem", ...] = ()

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file; `line` counts from 1, and is None if the service named none."""

    message: str
    line: int | None = None


class _OfBatchMode:
    model: ClassVar[str | None] = None  # it counts against no model's limit
    may_repeat: ClassVar[bool] = True
    largest: ClassVar[int] = LARGEST_ANSWER
    method: ClassVar[str] = "GET"

    def content(self) -> Content:
        return Content()


@dataclass(frozen=True)
class StoreFile(_OfBatchMode):
    """Stores a file of requests, which is read anew for each attempt; gives its id."""

    method: ClassVar[str] = "POST"
    path: ClassVar[str] = "/files"

    lines: Callable[[], Iterable[bytes]]
    length: int
    boundary: str = field(default_factory=lambda: uuid.uuid4().hex)

    def content(self) -> Content:
        head, tail = self._around()
        length = len(head) + self.length + len(tail)
        return Content(self._chunks, f"multipart/form-data; boundary={self.boundary}", length)

    def _around(self) -> tuple[bytes, bytes]:
        head = (
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="file"; filename="requests.jsonl"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        )
        return head.encode(), f"\r\n--{self.boundary}--\r\n".encode()

    def _chunks(self) -> Iterator[bytes]:
        head, tail = self._around()
        yield head
        yield from self.lines()
        yield tail

    def read(self, whole: Whole) -> str:
        return _id(whole)


@dataclass(frozen=True)
class MakeJob(_OfBatchMode):
    """Makes a job of a file. It costs money, so it is not repeated once it may have arrived."""

    method: ClassVar[str] = "POST"
    path: ClassVar[str] = "/batches"
    may_repeat: ClassVar[bool] = False

    file: str
    endpoint: str
    window: Window

    def content(self) -> Content:
        return json_content({"input_file_id": self.file, "endpoint": self.endpoint, "completion_window": self.window})

    def read(self, whole: Whole) -> JobState:
        return job_state(whole.json_object(), whole)


@dataclass(frozen=True)
class _OfOneJob(_OfBatchMode):
    ending: ClassVar[str] = ""  # of the path

    job: str

    @property
    def path(self) -> str:
        return f"/batches/{quote(self.job, safe='')}{self.ending}"

    def read(self, whole: Whole) -> JobState:
        return job_state(whole.json_object(), whole)


class SeeJob(_OfOneJob):
    """Asks how far a job is."""


class CancelJob(_OfOneJob):
    """Ends a job; what it has answered so far stays, and is paid."""

    method: ClassVar[str] = "POST"
    ending: ClassVar[str] = "/cancel"


@dataclass(frozen=True)
class ListJobs(_OfBatchMode):
    """One page of the project's jobs, newest first, and the id after which the next begins; None after the last."""

    after: str | None = None

    @property
    def path(self) -> str:
        return f"/batches?limit={PAGE}" + (f"&after={quote(self.after, safe='')}" if self.after else "")

    def read(self, whole: Whole) -> tuple[list[JobState], str | None]:
        value = whole.json_object()
        found = value.get("data")
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise invalid_response("The answer holds no list of jobs", whole.body, whole.headers)
        jobs = []
        for one in found:
            with suppress(InvalidResponseError):  # one odd job hides no other
                jobs.append(job_state(one, whole))
        if value.get("has_more") and not jobs:
            raise invalid_response("The list of jobs has more, and shows none", whole.body, whole.headers)
        return jobs, jobs[-1].id if value.get("has_more") else None


@dataclass(frozen=True)
class ReadFile(_OfBatchMode):
    """The lines of a file, as they arrive; gives how many there were."""

    largest: ClassVar[int] = LONGEST_LINE
    whole_types: ClassVar[tuple[str, ...]] = ("text/html",)

    file: str

    @property
    def path(self) -> str:
        return f"/files/{quote(self.file, safe='')}/content"

    def read(self, whole: Whole) -> int:
        return len(whole.body.splitlines())

    def reader(self) -> "Lines":
        return Lines()

    def as_stream(self, whole: Whole) -> bytes:
        return whole.body


class Lines:
    """Cuts a file into lines as it arrives."""

    is_done = False  # only the end of the answer tells
    is_complete = False

    def __init__(self) -> None:
        self._count = 0
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that end in these bytes."""
        first, *others = data.split(b"\n")
        self._rest += first
        if len(self._rest) > LONGEST_LINE:
            raise invalid_response(f"A line of the file is larger than {LONGEST_LINE:,} bytes", bytes(self._rest[:200]))
        for piece in others:
            yield from self.end()
            self._rest += piece

    def end(self) -> Iterator[bytes]:
        line, self._rest = bytes(self._rest).strip(), bytearray()
        if line:
            self._count += 1
            yield line

    def interrupted(self, problem: str) -> OVHCloudError:
        return APIConnectionError(f"{problem} after {self._count:,} lines of a file")

    def result(self, exchange: Exchange) -> int:
        return self._count


def job_state(value: Mapping[str, Any], whole: Whole) -> JobState:
    """Reads a job as the service describes it.

    Raises:
        InvalidResponseError: it has no id or no status.
    """
    id_, status = value.get("id"), value.get("status")
    if not isinstance(id_, str) or not isinstance(status, str):
        raise invalid_response("The answer is no batch job", whole.body, whole.headers)
    counts = _mapping(value.get("request_counts"))
    files = (value.get(name) for name in ("output_file_id", "error_file_id"))
    errors = _mapping(value.get("errors")).get("data")
    return JobState(
        id=id_,
        status=status.lower(),
        input_file=_text(value.get("input_file_id")),
        results=tuple(file for file in files if isinstance(file, str) and file),
        total=_number(counts.get("total")),
        done=_number(counts.get("completed")),
        failed=_number(counts.get("failed")),
        problems=tuple(_problem(one) for one in _sequence(errors) if isinstance(one, Mapping)),
    )


def _problem(value: Mapping[str, Any]) -> Problem:
    line = value.get("line")
    message = _text(value.get("message")) or "no reason given"
    return Problem(message, line if isinstance(line, int) else None)


def _id(whole: Whole) -> str:
    found = whole.json_object().get("id")
    if not isinstance(found, str) or not found:
        raise invalid_response("The answer has no id", whole.body, whole.headers)
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value <= 10 * MOST_LINES else 0
