"""Where traces are sent: HTTP servers on loopback that keep what they get, and read it as the real ones would."""

import email.policy
import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import zstandard
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes  # without compression


class Collector:
    """Answers 200 to everything, and keeps it.

    Attributes:
        url: where it listens.
        received: the requests so far.
    """

    answers: dict[str, Any] = {}  # JSON by the beginning of the path

    def __init__(self) -> None:
        self.received: list[Received] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = _read(self.rfile, headers)
                collector.received.append(Received(self.command, self.path, headers, body))
                said = json.dumps(collector.answer_to(self.path)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = do_PATCH = do_PUT = answer  # noqa: N815 - http.server looks for these names

            def log_message(self, *_: object) -> None:
                """It is silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer_to(self, path: str) -> Any:
        return next((answer for start, answer in self.answers.items() if path.startswith(start)), {})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def everything(self) -> bytes:
        """All that was received, heads included."""
        return b"\n".join(f"{one.method} {one.path} {one.headers}\n".encode() + one.body for one in list(self.received))


def _read(stream: Any, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(_chunks(stream))
    else:
        body = stream.read(int(headers.get("content-length", 0)))
    match headers.get("content-encoding"):
        case "zstd":
            with zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True) as reader:
                return bytes(reader.read())
        case "gzip":
            return gzip.decompress(body)
    return bytes(body)


def _chunks(stream: Any) -> Iterator[bytes]:
    while size := int(stream.readline().split(b";")[0], 16):
        yield stream.read(size)
        stream.readline()
    stream.readline()


@dataclass
class Run:
    """A run as LangSmith shows it."""

    name: str
    run_type: str
    inputs: Any
    outputs: Any
    error: str | None
    metadata: dict[str, Any]
    invocation: dict[str, Any]
    tags: list[str]
    events: list[dict[str, Any]]
    id: str
    parent: str | None
    all: dict[str, Any] = field(repr=False)


class LangSmith(Collector):
    """LangSmith's ingestion of runs: each is posted, and patched at its end, field by field in parts of one body."""

    answers = {
        "/info": {
            "version": "0.12.0",
            "instance_flags": {"zstd_compression_enabled": True},
            "batch_ingest_config": {
                "use_multipart_endpoint": True,
                "size_limit": 100,
                "size_limit_bytes": 20_971_520,
                "scale_up_nthreads_limit": 2,
                "scale_up_qsize_trigger": 1000,
            },
        }
    }

    def runs(self) -> list[Run]:
        found: dict[str, dict[str, Any]] = {}
        for one in self.received:
            if one.path.startswith("/runs/multipart"):
                for name, content in _parts(one):
                    _, run_id, *place = name.split(".")
                    run = found.setdefault(run_id, {})
                    run.update({place[0]: content} if place else content)
        return [_run(run_id, fields) for run_id, fields in found.items()]


def _parts(one: Received) -> Iterator[tuple[str, Any]]:
    head = f"Content-Type: {one.headers['content-type']}\r\n\r\n".encode()
    for part in BytesParser(policy=email.policy.HTTP).parsebytes(head + one.body).iter_parts():
        name = part.get_param("name", header="content-disposition")
        yield str(name), json.loads(part.get_payload(decode=True))


def _run(run_id: str, fields: dict[str, Any]) -> Run:
    extra = fields.get("extra") or {}
    return Run(
        name=fields["name"],
        run_type=fields["run_type"],
        inputs=fields.get("inputs"),
        outputs=fields.get("outputs"),
        error=fields.get("error"),
        metadata=extra.get("metadata") or {},
        invocation=extra.get("invocation_params") or {},
        tags=fields.get("tags") or [],
        events=fields.get("events") or [],
        id=run_id,
        parent=fields.get("parent_run_id"),
        all=fields,
    )


@dataclass
class Span:
    """A span of OpenTelemetry, whichever way it came."""

    name: str
    attributes: dict[str, Any]
    is_error: bool
    description: str  # of the status
    events: list[tuple[str, dict[str, Any]]]
    id: str
    parent: str | None

    @property
    def kind(self) -> str:
        """OpenInference's."""
        return str(self.attributes.get("openinference.span.kind"))


class OpenTelemetry(Collector):
    """A collector of OTLP over HTTP, also under Langfuse's path."""

    def spans(self) -> list[Span]:
        found = []
        for one in self.received:
            if one.path.endswith("/v1/traces"):
                message = ExportTraceServiceRequest.FromString(one.body)
                found += [
                    Span(
                        name=span.name,
                        attributes={entry.key: _value(entry.value) for entry in span.attributes},
                        is_error=span.status.code == 2,
                        description=span.status.message,
                        events=[
                            (event.name, {entry.key: _value(entry.value) for entry in event.attributes})
                            for event in span.events
                        ],
                        id=span.span_id.hex(),
                        parent=span.parent_span_id.hex() or None,
                    )
                    for resource in message.resource_spans
                    for scope in resource.scope_spans
                    for span in scope.spans
                ]
        return found


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None
