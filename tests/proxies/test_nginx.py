"""Both frameworks through nginx as a reverse proxy."""

import threading
from dataclasses import replace
from typing import Any

import pytest
from load import every
from origins import BEGUN, ENDED, Origin, running_origin
from processes import free_port
from servers import Certificates, nginx
from ways import Objects, reached

from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import BadRequestError, PayloadTooLargeError, StreamInterruptedError

GZIP = "gzip on; gzip_types application/json text/event-stream; gzip_min_length 20;"
MUTUAL = "ssl_client_certificate {ca}; ssl_verify_client on;"
DOWN = 0.3  # seconds


def test_plain_nginx_changes_nothing(origin: Origin, under_load: Any) -> None:
    with nginx(origin.port) as server:
        tally = under_load("nginx: defaults", reached(server.port))
        statuses = {line.split()[0] for line in server.seen()}

    assert tally.problems() == []
    assert len(tally.right) == 12
    assert statuses == {"200"}


def test_compressed_answers_are_read(origin: Origin, under_load: Any) -> None:
    with nginx(origin.port, http=GZIP) as server:
        tally = under_load("nginx: gzip", reached(server.port))
        compressed = {line.split('"')[1] for line in server.seen() if line.endswith("gzip")}

    assert tally.problems() == []
    assert compressed == {"application/json"}


def test_connections_that_nginx_closes_are_opened_again(origin: Origin, under_load: Any) -> None:
    with nginx(origin.port, http="keepalive_timeout 1s; keepalive_requests 3;") as server:
        tally = under_load("nginx: short keep-alive", reached(server.port), rest=(0.9, 1.1))

    assert tally.problems() == []


@pytest.mark.parametrize(("status", "error"), [(503, "InternalServerError"), (429, "RateLimitError")])
def test_limit_of_nginx_is_a_typed_error(origin: Origin, under_load: Any, status: int, error: str) -> None:
    limit = "limit_req_zone $server_port zone=all:1m rate=5r/s;"
    limited = f"limit_req zone=all burst=10 nodelay; limit_req_status {status};"
    with nginx(origin.port, http=limit, server=limited) as server:
        tally = under_load(f"nginx: limit_req, {status}", reached(server.port))

    assert tally.problems(allowed={error}) == []
    assert tally.errors[error]


def test_requests_beyond_the_size_that_nginx_takes_are_refused(origin: Origin, under_load: Any) -> None:
    with nginx(origin.port, server="client_max_body_size 1k;") as server:
        tally = under_load("nginx: client_max_body_size", replace(reached(server.port), words=150))

    assert tally.problems(allowed={"PayloadTooLargeError"}) == []
    assert tally.errors["PayloadTooLargeError"]
    assert not tally.interrupted


def test_upload_that_nginx_refuses_at_its_head_is_too_large(origin: Origin) -> None:
    with nginx(origin.port, server="client_max_body_size 1k;") as server:
        objects = Objects(reached(server.port))
        for way in (way for way in objects.blocking() if way.kind != "vectors"):
            with pytest.raises(PayloadTooLargeError):
                way.call("word " * 300_000)
        objects.close()


def test_streams_that_nginx_gives_up_are_interrupted(origin: Origin, under_load: Any) -> None:
    with (
        running_origin(free_port(), "stalling") as stalling,
        nginx(origin.port, behind={"streams": stalling.port}, location="proxy_read_timeout 1s;") as server,
    ):
        service = reached(server.port).at("streams", "stream", says=BEGUN + ENDED)
        tally = under_load("nginx: proxy_read_timeout within streams", service)

    assert tally.problems(allowed={"StreamInterruptedError"}) == []
    assert tally.errors["StreamInterruptedError"]
    assert {"stream", "astream", "stream_chat", "astream_chat"} <= set(tally.right)


def test_stream_that_nginx_gives_up_has_its_beginning() -> None:
    with (
        running_origin(free_port(), "stalling") as stalling,
        nginx(stalling.port, server="proxy_read_timeout 1s; proxy_buffering off;") as server,
    ):
        model = ChatOVHCloud(model="gpt-oss-120b", **reached(server.port).arguments("stream"))
        finished = "".join(chunk.text for chunk in model.stream("Hello"))
        with pytest.raises(StreamInterruptedError) as caught:
            list(model.stream("Hello"))
        model.close()

    assert finished == BEGUN + ENDED
    assert caught.value.partial
    assert caught.value.partial.text == BEGUN


def test_tls_of_a_ca_of_its_own_is_trusted(origin: Origin, under_load: Any, certificates: Certificates) -> None:
    with nginx(origin.port, listen=" ssl http2", server=certificates.nginx) as server:
        tally = under_load("nginx: TLS, HTTP/2 offered", reached(server.port, scheme="https", verify=certificates.ca))
        protocols = {line.split()[1] for line in server.seen()}

    assert tally.problems() == []
    assert protocols == {"HTTP/1.1"}


def test_client_certificate_is_shown(origin: Origin, under_load: Any, certificates: Certificates) -> None:
    mutual = certificates.nginx + MUTUAL.format(ca=certificates.ca)
    with nginx(origin.port, listen=" ssl", server=mutual) as server:
        service = reached(server.port, scheme="https", verify=certificates.of_client())
        tally = under_load("nginx: mutual TLS", service)

    assert tally.problems() == []


def test_missing_client_certificate_is_told(origin: Origin, certificates: Certificates) -> None:
    mutual = certificates.nginx + MUTUAL.format(ca=certificates.ca)
    with nginx(origin.port, listen=" ssl", server=mutual) as server:
        service = reached(server.port, scheme="https", verify=certificates.ca)
        model = ChatOVHCloud(model="gpt-oss-120b", **service.arguments("whole"))
        with pytest.raises(BadRequestError, match="No required SSL certificate was sent"):
            model.invoke("Hello")
        model.close()


def test_origin_that_restarts_costs_typed_errors_only(origin: Origin, slow: Origin, under_load: Any) -> None:
    def restart() -> None:
        for one in (origin, slow):
            one.stop()
        threading.Event().wait(DOWN)
        for one in (origin, slow):
            one.start()

    with nginx(origin.port, behind={"streams": slow.port}) as server:
        service = reached(server.port).at("streams", "stream", says=BEGUN + ENDED)
        tally = under_load("nginx: origin restarts", service, meanwhile=every(0.7, restart))

    assert tally.problems(allowed={"InternalServerError", "APIConnectionError", "StreamInterruptedError"}) == []
    assert tally.errors["StreamInterruptedError"]


def test_reloads_of_nginx_cost_nothing(origin: Origin, slow: Origin, under_load: Any) -> None:
    with nginx(origin.port, behind={"streams": slow.port}) as server:
        service = reached(server.port).at("streams", "stream", says=BEGUN + ENDED)
        tally = under_load("nginx: reloads", service, meanwhile=every(0.5, server.reload))

    assert tally.problems() == []
