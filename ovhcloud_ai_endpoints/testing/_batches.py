"""Files and batch jobs of the local server: what the service's guide says of them, in a time of their own.

Each request of a job goes through the gateway's checks and is answered by the same rules or script as a call.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import parse_qs

from ovhcloud_ai_endpoints.testing import _guesses
from ovhcloud_ai_endpoints.testing._requests import Request
from ovhcloud_ai_endpoints.testing._script import RESET, Scripted

MOST_LINES, MOST_BYTES, MOST_JOBS = 50_000, 200_000_000, 5
LARGEST_PAGE = 100  # jobs in an answer
ENDPOINTS = ("/v1/chat/completions", "/v1/embeddings", "/v1/responses")
WINDOWS = ("24h", "48h", "72h")
ENDED = ("failed", "completed", "expired", "cancelled")
Fate = Literal["completed", "failed", "failed after all", "expired", "cancelled"]
Change = Callable[[bytes], bytes]
Answering = Callable[[Request], tuple[int, Any]]


@dataclass(frozen=True)
class Ending:
    """How a job ends.

    Attributes:
        share: of its lines that are answered before.
        line: that is refused, if it fails; None if the service names none.
    """

    fate: Fate = "completed"
    share: float = 1.0
    line: int | None = None


@dataclass
class _Job:
    id: str
    key: str
    project: str
    input_file: str
    endpoint: str
    window: str
    metadata: Any
    made: float
    ending: Ending
    status: str = "validating"
    since: float = 0.0
    outputs: dict[str, str] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)
    counts: tuple[int, int, int] = (0, 0, 0)  # total, completed, failed


class BatchMode:
    """What `/v1/files` and `/v1/batches` answer.

    Args:
        seconds: how long a job is validated, worked on and finalized, together.

    Attributes:
        lines: the requests of jobs that were answered, in the order in which they were.
        endings: how the next jobs end; when there are none, all of their lines are answered.
        hidden_lists: how often the list of jobs still lacks a job that was just made.
        projects: names of projects by key; a key without one is a project by itself.
        page: jobs in an answer, at most.
        refused_line: what a line holds for which its file is refused; None for nothing.
        most_at_once: the most jobs of a project that had not ended at one time.
    """

    def __init__(self, seconds: float, answering: Answering) -> None:
        self.lines: list[Request] = []
        self.endings: list[Ending] = []
        self.hidden_lists = 0
        self.projects: dict[str, str] = {}
        self.most_at_once = 0
        self.page = LARGEST_PAGE
        self.refused_line: bytes | None = None
        self._failing: list[tuple[str, int | float | Change]] = []  # a status, or what becomes of the answer
        self._hidden: dict[str, int] = {}
        self.seconds = seconds
        self._answering = answering
        self._files: dict[str, tuple[str, bytes]] = {}  # with the project that they belong to
        self._jobs: dict[str, _Job] = {}
        self._number = 0

    def fail(self, path: str, status: int, *, times: int = 1) -> None:
        """Refuses the next requests to a path, or to all below one that ends with a slash."""
        self._failing += [(path, status)] * times

    def lose_answer(self, path: str, *, times: int = 1, share: float = 0.0) -> None:
        """Cuts the connection of the next requests to a path, after they have taken effect.

        Args:
            share: of the answer that arrives, below 1; with 0 not even its head.
        """
        self._failing += [(path, share)] * times

    def change(self, path: str, change: Change, *, times: int = 1) -> None:
        """Changes the bodies of the next answers to a path."""
        self._failing += [(path, change)] * times

    def jobs(self) -> list[str]:
        """The ids of all jobs, oldest first."""
        return list(self._jobs)

    def end(self, job: str) -> None:
        """Completes a job at once."""
        found = self._jobs[job]
        while found.status not in ENDED and self._moves(found):
            pass

    def reset(self) -> None:
        self.lines.clear()
        self.endings.clear()
        self._failing.clear()
        self._files.clear()
        self._jobs.clear()

    def answer(self, request: Request, now: float) -> Scripted:
        """The answer to a request with a valid key; `now` in seconds of a monotonic clock."""
        path, _, query = request.path.partition("?")
        hit = next((one for one in self._failing if _is_hit(one[0], request.path)), None)
        if hit is None:
            return self._answered(request, path, query, now)
        self._failing.remove(hit)
        _, what = hit
        if isinstance(what, int):
            return _json(what, {"message": f"scripted status {what}"})
        answer = self._answered(request, path, query, now)
        (body,) = (step for step in answer.steps if isinstance(step, bytes))
        if not isinstance(what, float):
            return replace(answer, steps=[what(body)])
        if not what:
            return Scripted([RESET], status=None)
        return replace(answer, steps=[body[: int(len(body) * what)], RESET])

    def _answered(self, request: Request, path: str, query: str, now: float) -> Scripted:
        match request.method, path.removeprefix("/v1/").split("/"):
            case "POST", ["files"]:
                return self._store(request)
            case "GET", ["files", id_, "content"] if self._is_own(id_, request):
                return _sent(200, self._files[id_][1], "application/octet-stream")
            case "GET", ["files", id_] if self._is_own(id_, request):
                return _json(200, self._file(id_))
            case "POST", ["batches"]:
                return self._make(request, now)
            case "GET", ["batches"]:
                return self._list(request, parse_qs(query), now)
            case "GET", ["batches", id_] if self._has(id_, request):
                return _json(200, self._seen(self._jobs[id_], now))
            case "POST", ["batches", id_, "cancel"] if self._has(id_, request):
                return self._cancel(self._jobs[id_], now)
        return _json(404, _guesses.NOT_FOUND_BODY)

    def _is_own(self, id_: str, request: Request) -> bool:
        return id_ in self._files and self._files[id_][0] == self._project(request)

    def _has(self, id_: str, request: Request) -> bool:
        return id_ in self._jobs and self._jobs[id_].project == self._project(request)

    def _project(self, request: Request) -> str:
        return self.projects.get(request.api_key or "", request.api_key or "")

    def _new(self, kind: str) -> str:
        self._number += 1
        return f"{kind}-{self._number:06x}"

    def _store(self, request: Request) -> Scripted:
        parts = _parts(request)
        if parts.get("purpose") != b"batch" or "file" not in parts:
            return _json(400, {"message": "a file and the purpose 'batch' are needed"})
        if len(parts["file"]) > MOST_BYTES:
            return _json(413, _guesses.TOO_LARGE_BODY)
        return _json(200, self._file(self._kept(parts["file"], self._project(request))))

    def _kept(self, content: bytes, project: str) -> str:
        id_ = self._new("file")
        self._files[id_] = project, content
        return id_

    def _file(self, id_: str) -> dict[str, Any]:
        size = len(self._files[id_][1])
        return {"id": id_, "object": "file", "bytes": size, "filename": "requests.jsonl", "purpose": "batch"}

    def _make(self, request: Request, now: float) -> Scripted:
        asked = json.loads(request.body)
        if not self._is_own(str(asked.get("input_file_id")), request):
            return _json(404, _guesses.NOT_FOUND_BODY)
        if asked.get("endpoint") not in ENDPOINTS or (
            asked["endpoint"] == "/v1/embeddings" and not _guesses.EMBEDDINGS_IN_BATCHES
        ):
            return _json(400, {"message": f"endpoint {asked.get('endpoint')!r} is not supported in batches"})
        if asked.get("completion_window", "48h") not in WINDOWS:
            return _json(400, {"message": "completion_window must be 24h, 48h or 72h"})
        id_ = self._new("batch")
        ending = self.endings.pop(0) if self.endings else Ending()
        job = self._jobs[id_] = _Job(
            id_,
            request.api_key or "",
            self._project(request),
            asked["input_file_id"],
            asked["endpoint"],
            asked.get("completion_window", "48h"),
            asked.get("metadata"),
            now,
            ending,
            since=now,
        )
        self._hidden[id_] = self.hidden_lists
        beside = [one for one in self._jobs.values() if one.project == job.project and one.status not in ENDED]
        self.most_at_once = max(self.most_at_once, len(beside))
        return _json(200, self._shown(job))

    def _list(self, request: Request, query: dict[str, list[str]], now: float) -> Scripted:
        jobs = [job for job in reversed([*self._jobs.values()]) if job.project == self._project(request)]
        jobs = [job for job in jobs if self._hidden[job.id] <= 0]
        self._hidden = {id_: left - 1 for id_, left in self._hidden.items()}
        after, limit = query.get("after", [""])[0], min(self.page, int(query.get("limit", ["20"])[0]))
        ids = [job.id for job in jobs]
        start = ids.index(after) + 1 if after in ids else 0
        page = jobs[start : start + limit]
        more = start + limit < len(jobs)
        data = [self._seen(job, now) for job in page]
        return _json(200, {"object": "list", "data": data, "has_more": more})

    def _cancel(self, job: _Job, now: float) -> Scripted:
        self._seen(job, now)
        if job.status not in {"validating", "in_progress"}:
            return _json(400, {"message": f"a job that is {job.status} can't be cancelled"})
        job.ending = Ending("cancelled", job.ending.share / 2)
        job.status, job.since = "cancelling", now
        return _json(200, self._shown(job))

    def _seen(self, job: _Job, now: float) -> dict[str, Any]:
        """The job as it is now: every look moves it on by as many steps as have had their time."""
        step = self.seconds / 3
        while now - job.since >= step and self._moves(job):
            job.since += step
        return self._shown(job)

    def _moves(self, job: _Job) -> bool:
        """Makes a step of a job; False if there is none to make."""
        match job.status:
            case "validating":
                beside = [one for one in self._jobs.values() if one.project == job.project]
                working = sum(one.status == "in_progress" for one in beside)
                if working >= MOST_JOBS:
                    return False
                job.problems = self._problems(job)
                job.status = "failed" if job.problems else "in_progress"
                job.counts = (len(self._files[job.input_file][1].splitlines()), 0, 0)
            case "in_progress" | "cancelling":
                self._work(job)
                fate = job.ending.fate
                job.status = {"completed": "finalizing", "failed after all": "failed"}.get(fate, fate)
            case "finalizing":
                job.status = "completed"
            case _:
                return False
        return True

    def _problems(self, job: _Job) -> list[dict[str, Any]]:
        if job.ending.fate == "failed":
            return [{"code": "invalid_line", "message": "This line is not valid.", "line": job.ending.line}]
        seen: set[str] = set()
        lines = self._files[job.input_file][1].splitlines()
        problem = "more than 50,000 lines" if len(lines) > MOST_LINES else ""
        number = 0
        for number, line in enumerate(lines if not problem else [], 1):  # noqa: B007 - the last one is meant
            is_refused = self.refused_line is not None and self.refused_line in line
            problem = "This line is refused." if is_refused else _malformed(line, job.endpoint, seen)
            if problem:
                break
        if not problem:
            return []
        return [{"code": "invalid_line", "message": problem, "line": number if _guesses.NAMES_BAD_LINE else None}]

    def _work(self, job: _Job) -> None:
        """Answers the lines of a job, as many as its ending says."""
        lines = [json.loads(line) for line in self._files[job.input_file][1].splitlines()]
        answered = round(len(lines) * job.ending.share)
        output: list[bytes] = []
        errors: list[bytes] = []
        for line in lines[:answered]:
            request = Request("POST", line["url"], {"authorization": f"Bearer {job.key}"}, _dumped(line["body"]), 0)
            self.lines.append(request)
            status, body = self._answering(request)
            response = {"status_code": status, "request_id": f"{len(self.lines):032x}", "body": body}
            written = {"id": f"{len(self.lines):032x}", "custom_id": line["custom_id"], "response": response}
            (output if status < 400 else errors).append(_dumped({**written, "error": None}))
        if job.ending.fate == "expired" and _guesses.EXPIRED_LINES_ARE_ERRORS:
            error = {"code": "batch_expired", "message": "This request could not be executed in time."}
            errors += [
                _dumped({"id": "x", "custom_id": line["custom_id"], "response": None, "error": error})
                for line in lines[answered:]
            ]
        random.Random(job.id).shuffle(output)  # noqa: S311 - the order is not that of the input, but repeatable
        job.counts = (len(lines), len(output), len(errors))
        for name, found in (("output_file_id", output), ("error_file_id", errors)):
            if found:
                job.outputs[name] = self._kept(b"\n".join(found) + b"\n", job.project)

    def _shown(self, job: _Job) -> dict[str, Any]:
        total, completed, failed = job.counts
        files = job.outputs if job.status in ENDED else {}
        return {
            "id": job.id,
            "object": "batch",
            "endpoint": job.endpoint,
            "input_file_id": job.input_file,
            "completion_window": job.window,
            "status": job.status,
            "output_file_id": files.get("output_file_id"),
            "error_file_id": files.get("error_file_id"),
            "errors": {"object": "list", "data": job.problems} if job.problems else None,
            "request_counts": {"total": total, "completed": completed, "failed": failed},
            "metadata": job.metadata,
        }


def _is_hit(path: str, asked: str) -> bool:
    """Whether a path, or all below one that ends with a slash, or any query of one that ends with "?", is asked."""
    return asked.startswith(path) if path[-1] in "/?" else path == asked


def _malformed(line: bytes, endpoint: str, seen: set[str]) -> str:
    """What is wrong with a line; empty if nothing is."""
    try:
        value = json.loads(line)
    except ValueError:
        return "This line is not JSON."
    if not isinstance(value, dict) or not isinstance(value.get("custom_id"), str):
        return "This line has no custom_id."
    if value["custom_id"] in seen:
        return "This custom_id is used twice."
    seen.add(value["custom_id"])
    if value.get("method") != "POST" or value.get("url") != endpoint or not isinstance(value.get("body"), dict):
        return "This line is no request to the endpoint of the batch."
    return "Streams are not possible in batches." if "stream" in value["body"] else ""


def _parts(request: Request) -> dict[str, bytes]:
    """The fields of a multipart form."""
    _, _, boundary = request.headers.get("content-type", "").partition("boundary=")
    found: dict[str, bytes] = {}
    for part in request.body.split(b"--" + boundary.encode()) if boundary else []:
        head, end, content = part.partition(b"\r\n\r\n")
        if end and b'name="' in head:
            found[head.split(b'name="')[1].split(b'"')[0].decode()] = content.removesuffix(b"\r\n")
    return found


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _json(status: int, value: Any) -> Scripted:
    return _sent(status, _dumped(value), "application/json")


def _sent(status: int, content: bytes, kind: str) -> Scripted:
    return Scripted([content], status, headers={"Content-Type": kind})
