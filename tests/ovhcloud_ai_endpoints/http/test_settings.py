from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from ovhcloud_ai_endpoints import AuthenticationError, Timeouts
from ovhcloud_ai_endpoints._http.settings import (
    BASE_URL,
    Settings,
    checked_base_url,
    environment_base_url,
    environment_key,
    secret,
)


def test_no_key_is_no_header() -> None:
    assert "Authorization" not in Settings().headers()
    assert "Authorization" not in Settings(api_key=SecretStr("")).headers()


def test_key_is_sent_without_blanks_round_it() -> None:
    assert Settings(api_key=SecretStr(" k1\n")).key() == "k1"


def test_key_may_be_asked_for_at_each_call() -> None:
    keys = iter(["old", SecretStr("new")])
    settings = Settings(api_key=lambda: next(keys))

    assert [settings.key() for _ in range(2)] == ["old", "new"]


@pytest.mark.parametrize("key", ["two words", "two\nlines", "clé"])
def test_key_that_no_header_can_hold_is_an_error_that_does_not_show_it(key: str) -> None:
    with pytest.raises(AuthenticationError) as caught:
        Settings(api_key=SecretStr(key)).key()

    assert key not in str(caught.value)


@pytest.mark.parametrize("key", ["Bearer abc", "bearer abc", '"abc"', "'abc"])
def test_key_that_is_more_than_a_key_is_an_error_that_says_so(key: str) -> None:
    with pytest.raises(AuthenticationError, match=r"The API key begins with .*, which is no part of it") as caught:
        Settings(api_key=SecretStr(key)).key()

    assert "abc" not in str(caught.value)


def test_function_that_gives_no_text_is_an_error() -> None:
    with pytest.raises(TypeError, match="must return a string; got bytes"):
        Settings(api_key=lambda: b"k").key()  # type: ignore[arg-type,return-value]


def test_secrets_are_in_no_repr() -> None:
    settings = Settings(
        api_key="hidden-key",
        default_headers={"X-Gateway-Token": "hidden-token"},
        proxy="http://user:hidden-word@proxy.example:3128",
    )

    assert "hidden" not in repr(settings)


def test_environment_has_two_names_for_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment_key() is None
    monkeypatch.setenv("OVH_AI_ENDPOINTS_ACCESS_TOKEN", "second")
    assert secret(environment_key()) == "second"
    monkeypatch.setenv("OVHCLOUD_API_KEY", "first")
    assert secret(environment_key()) == "first"
    monkeypatch.setenv("OVHCLOUD_API_KEY", "")
    assert secret(environment_key()) == "second"


def test_environment_may_hold_the_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment_base_url() == BASE_URL
    monkeypatch.setenv("OVHCLOUD_API_BASE", "http://127.0.0.1:1/v1")
    assert environment_base_url() == "http://127.0.0.1:1/v1"


@pytest.mark.parametrize("url", [BASE_URL, f"{BASE_URL}/", f" {BASE_URL}/chat/completions", f"{BASE_URL}/embeddings/"])
def test_base_url_is_taken_as_people_write_it(url: str) -> None:
    assert checked_base_url(url) == BASE_URL


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ovh.net/v1",
        "ftp://x/v1",
        "https://",
        "https://u:p@h/v1",
        "https://h/v1?key=1",
        "https://h/#a",
        "https://:p@h/v1",
        "https://h:99999/v1",
        "https://h:abc/v1",
        "https://a..b/v1",
    ],
)
def test_base_url_that_can_not_be_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        checked_base_url(url)


@pytest.mark.parametrize(
    ("given", "timeouts"),
    [
        (None, Timeouts(10, 600, 120, None)),
        (30, Timeouts(10, 30, 30, None)),
        (2.5, Timeouts(2.5, 2.5, 2.5, None)),
        (Timeouts(total=5), Timeouts(total=5)),
        ({"connect": 1, "first_event": 2, "idle": 3, "total": 4}, Timeouts(1, 2, 3, 4)),
        ({"total": 5}, Timeouts(total=5)),
        (SimpleNamespace(connect=5, read=60, write=5, pool=5), Timeouts(5, 60, 60, None)),
    ],
)
def test_timeout_is_read_in_every_form(given: Any, timeouts: Timeouts) -> None:
    assert Timeouts.of(given) == timeouts


@pytest.mark.parametrize("given", ["30", [1, 2], {"conect": 1}])
def test_other_timeouts_are_an_error(given: Any) -> None:
    with pytest.raises(TypeError, match="Timeouts"):
        Timeouts.of(given)


@pytest.mark.parametrize("given", [True, 0, -1, {"idle": "5"}, float("nan")])
def test_clock_that_can_not_run_is_an_error(given: Any) -> None:
    with pytest.raises(ValueError, match=r"must be (a )?positive"):
        Timeouts.of(given)
