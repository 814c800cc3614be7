"""Both frameworks through tinyproxy as a forward proxy with a password."""

from dataclasses import replace
from typing import Any

import pytest
from origins import Origin
from processes import free_port
from servers import Certificates, nginx, tinyproxy
from ways import reached

from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import APIConnectionError, AuthenticationError

USER, PASSWORD = "app", "between-us"


def test_requests_pass_with_the_password(origin: Origin, under_load: Any) -> None:
    with tinyproxy(USER, PASSWORD) as port:
        service = reached(origin.port, proxy=f"http://{USER}:{PASSWORD}@127.0.0.1:{port}")
        tally = under_load("tinyproxy: forwarding", replace(service, port=port))

    assert tally.problems() == []


def test_tunnels_to_tls_pass_with_the_password(origin: Origin, under_load: Any, certificates: Certificates) -> None:
    with (
        nginx(origin.port, listen=" ssl", server=certificates.nginx) as server,
        tinyproxy(USER, PASSWORD) as port,
    ):
        proxy = f"http://{USER}:{PASSWORD}@127.0.0.1:{port}"
        service = reached(server.port, scheme="https", verify=certificates.ca, proxy=proxy)
        tally = under_load("tinyproxy: CONNECT to TLS", replace(service, port=port))

    assert tally.problems() == []


def test_wrong_password_is_told_by_each_call(origin: Origin, under_load: Any) -> None:
    with tinyproxy(USER, PASSWORD) as port:
        service = reached(origin.port, proxy=f"http://{USER}:wrong-one@127.0.0.1:{port}")
        tally = under_load("tinyproxy: wrong password", replace(service, port=port))

    # It answers 401 itself, as the service does to a wrong key.
    assert tally.problems(allowed={"AuthenticationError"}) == ["no call was right"]


def test_wrong_password_for_tunnels_is_told_by_each_call(under_load: Any) -> None:
    with tinyproxy(USER, PASSWORD) as port:
        proxy = f"http://{USER}:wrong-one@127.0.0.1:{port}"
        service = reached(free_port(), scheme="https", proxy=proxy)
        tally = under_load("tinyproxy: CONNECT with a wrong password", replace(service, port=port))

    assert tally.problems(allowed={"APIConnectionError"}) == ["no call was right"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("user", ["", f"{USER}:wrong-one@"])
def test_missing_or_wrong_password_is_said_to_be_the_proxys(origin: Origin, user: str, scheme: str) -> None:
    with tinyproxy(USER, PASSWORD) as port:
        service = reached(origin.port, scheme=scheme, proxy=f"http://{user}127.0.0.1:{port}")
        model = ChatOVHCloud(model="gpt-oss-120b", **service.arguments("whole"))
        with pytest.raises((APIConnectionError, AuthenticationError), match=r"(?i)proxy") as caught:
            model.invoke("Hello")
        model.close()

    assert "wrong-one" not in str(caught.value)
    assert caught.value.attempts == 1
