import inspect
import json
import pickle
import time
from typing import Any

import pytest

import ovhcloud_ai_endpoints as service
from ovhcloud_ai_endpoints import _errors
from ovhcloud_ai_endpoints._errors import hide
from ovhcloud_ai_endpoints._http.refusals import (
    event_error,
    invalid_response,
    limit_reached,
    message_in,
    proxy_refusal,
    retry_after,
    status_error,
)

FORBIDDEN = b'{"message":"Forbidden: authentication failed.  Please generate a new one"}'
OVERFLOWS = [
    "max_tokens must be at least 1, got -412. (parameter=max_tokens, value=-412)",
    "This model's maximum context length is 131072 tokens. However, you requested 200000 tokens",
    "The prompt is too long: 9000 tokens",
    "The decoder prompt (length 40000) is longer than the maximum model length of 32768",
]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"message":"feature \'top_k\' is not currently supported"}', service.BadRequestError),
        (401, b"", service.AuthenticationError),
        (403, FORBIDDEN, service.AuthenticationError),
        (403, b'{"message":"Resource tag \'discovery\' is forbidden"}', service.PermissionDeniedError),
        (404, b'{"message":"no such model"}', service.NotFoundError),
        (408, b"", service.APITimeoutError),
        (413, b"", service.PayloadTooLargeError),
        (418, b"", service.BadRequestError),
        (422, b"Failed to deserialize the JSON body", service.BadRequestError),
        (429, b'{"message":"API rate limit exceeded","request_id":"r1"}', service.RateLimitError),
        (500, b"<html><title>500</title></html>", service.InternalServerError),
        (503, b"", service.InternalServerError),
    ],
)
def test_each_status_is_its_own_error(status: int, body: bytes, kind: type[Exception]) -> None:
    error = status_error(status, {}, body)

    assert type(error) is kind
    assert error.status == status
    assert f"HTTP {status}" in str(error)


@pytest.mark.parametrize("said", OVERFLOWS)
def test_overflow_is_recognised_in_every_wording(said: str) -> None:
    error = status_error(400, {}, b'{"error":{"message":"%s"}}' % said.encode(), model="gpt-oss-120b")

    assert type(error) is service.ContextOverflowError
    assert "131,072 tokens" in str(error)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error":{"message":"from the engine","code":400}}', "from the engine"),
        (b'{"message":"from the gateway","request_id":"x"}', "from the gateway"),
        (b'{"error":"a plain text"}', "a plain text"),
        (b'{"detail":[{"msg":"no"}]}', "[{'msg': 'no'}]"),
        (b"Failed to deserialize: stop", "Failed to deserialize: stop"),
        (b"<html><head><title>502 Bad\nGateway</title></head></html>", "An HTML page, not the API: 502 Bad Gateway"),
        (b"<h1>Blocked</h1><p>by the proxy", "An HTML page, not the API: Blocked"),
        (b"<HTML><H1 class='x'>Bad\nday</H1>", "An HTML page, not the API: Bad day"),
        (b"<html>a <b>c</b></html>", "An HTML page, not the API: a c"),
        (b'{"message": 5}', '{"message": 5}'),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
    ],
)
def test_message_is_found_in_every_shape_of_body(body: bytes, said: str) -> None:
    assert message_in(body) == said


@pytest.mark.parametrize("page", [b"<h1" * 80_000, b"<" * 200_000, b"<title>" * 20_000])
def test_page_that_is_made_to_be_slow_is_not(page: bytes) -> None:
    started = time.perf_counter()

    message_in(page)

    assert time.perf_counter() - started < 1


def test_message_is_cut_when_it_is_long() -> None:
    assert len(message_in(b"x" * 10_000)) < 600


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"retry-after": "7"}, 7.0),
        (429, {"retry-after": "0.5"}, 0.5),
        (429, {"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90.0),
        (429, {"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        (429, {"ratelimit-reset": "31"}, 31.0),
        (429, {"retry-after": "-4", "ratelimit-reset": "31"}, 31.0),
        (429, {"retry-after": "soon"}, None),
        (429, {"retry-after": "1e400"}, None),
        (429, {"retry-after": "Mon, 99999999999999999999 Jan 2024 00:00:00 GMT"}, None),
        (429, {"retry-after": "Mon, 01 Jan 2024 00:00:00 +99999999999999"}, None),
        (503, {"retry-after": "3"}, 3.0),
        (503, {"ratelimit-reset": "59"}, None),
        (429, {}, None),
    ],
)
def test_wait_is_read_from_the_headers(status: int, headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(status, headers, now=10.0) == seconds


def test_unknown_model_names_the_nearest() -> None:
    said = str(status_error(404, {}, b"", model="Qwen3.8"))

    assert "Qwen3.8-27B" in said


def test_what_is_not_found_without_a_model_shows_what_was_asked() -> None:
    said = str(status_error(404, {}, b"", url="https://h/models"))

    assert "The request went to https://h/models; a base_url ends in /v1." in said
    assert "The model" not in said


def test_known_model_that_is_not_found_may_be_retired() -> None:
    assert "retired" in str(status_error(404, {}, b"", model="gpt-oss-20b"))


@pytest.mark.parametrize(
    ("model", "path", "advice"),
    [
        ("bge-m3", "chat/completions", "bge-m3 is for embedding and does not chat; use OVHCloudEmbeddings."),
        ("gpt-oss-20b", "embeddings", "gpt-oss-20b is a chat model; use ChatOVHCloud, or one of bge-m3, "),
        ("gpt-oss-20b", "chat/completions", "gpt-oss-20b was served on 2026-10-05; it may have been retired since."),
        (
            "qwen3-32b",
            "chat/completions",
            "The model 'qwen3-32b' was retired on 2026-09-16; use Qwen3.6-27B, for example.",
        ),
        ("gpt-oss-12b", "chat/completions", "The model 'gpt-oss-12b' is not known; the nearest names are gpt-oss-120b"),
        ("qwen-embedding", "embeddings", "'qwen-embedding' is not known; the nearest names are Qwen3-Embedding-8B."),
        ("gpt-4o", "chat/completions", "'gpt-4o' is not known; current models include Qwen3.8-27B, Qwen3.6-27B."),
        ("text-embedding-3-small", "embeddings", "current models include bge-m3, bge-multilingual-gemma2."),
        (
            "Qwen3-Coder-30B-A3B-Instruct",
            "chat/completions",
            "Qwen3-Coder-30B-A3B-Instruct was announced to retire on 2026-10-01; use Qwen3.6-27B, for example.",
        ),
    ],
)
def test_name_that_is_not_found_comes_with_what_is_known_of_it(model: str, path: str, advice: str) -> None:
    assert advice in str(status_error(404, {}, b"", model=model, url=f"https://h/v1/{path}"))


def test_short_secret_does_not_garble_the_advice() -> None:
    error = status_error(401, {}, b"")
    hide(error, ["key"])

    assert "Give a valid key as api_key=" in str(error)


def test_wrong_path_shows_what_was_asked() -> None:
    said = str(status_error(404, {}, b"", model="gpt-oss-20b", url="https://h/chat/completions"))

    assert said.startswith(
        "The service answered with status 404 and no message. The request went to https://h/chat/completions;"
    )
    assert "a base_url ends in /v1." in said


def test_wait_that_litellm_passes_on_is_read() -> None:
    assert status_error(429, {"llm_provider-retry-after": "7"}, b"").retry_after == 7.0


def test_limit_of_another_server_is_not_said_to_be_the_services() -> None:
    theirs = status_error(429, {}, b"", model="my-model", url="http://proxy/v1/chat/completions")
    ours = status_error(429, {}, b"", model="gpt-oss-120b", url="http://proxy/v1/chat/completions")

    assert "400 requests" not in theirs.message
    assert "400 requests" in ours.message


@pytest.mark.parametrize("status", [401, 407])
def test_password_of_a_proxy_is_asked_for(status: int) -> None:
    assert "user name and password" in proxy_refusal("http://proxy", f"{status} Who").message


def test_request_id_is_read_from_header_or_body() -> None:
    assert status_error(500, {"x-request-id": "a"}, b"").request_id == "a"
    assert status_error(500, {"x-litellm-call-id": "c"}, b"").request_id == "c"
    assert status_error(429, {}, b'{"message":"m","request_id":"b"}').request_id == "b"


@pytest.mark.parametrize("kind", [getattr(service, name) for name in service.__all__ if name.endswith("Error")])
def test_errors_survive_pickling(kind: type[service.OVHCloudError]) -> None:
    error = kind("what happened")
    error.status, error.attempts = 503, 3

    again = pickle.loads(pickle.dumps(error))

    assert type(again) is kind
    assert str(again) == str(error)
    assert again.status == 503


def test_timeout_is_also_pythons_own() -> None:
    assert issubclass(service.APITimeoutError, TimeoutError)


def test_the_drawn_tree_holds_every_error() -> None:
    """The module's docstring is the documentation of the tree."""
    drawn = inspect.getdoc(_errors)
    kinds = [kind for kind in vars(_errors).values() if inspect.isclass(kind) and issubclass(kind, Exception)]

    assert len(kinds) == 14
    assert all(kind.__name__ in drawn for kind in kinds)


@pytest.mark.parametrize(
    ("model", "said", "advice"),
    [
        (
            "Qwen3.8-27B",
            "Unexpected reasoning effort high. Supported types are xhigh (default), medium, and low.",
            "Qwen3.8-27B takes reasoning_effort none, low, medium. Effort left out means xhigh, the dearest",
        ),
        (
            "gpt-oss-20b",
            "reasoning_effort: unknown variant `xhigh`",
            "gpt-oss-20b takes reasoning_effort low, medium, high.",
        ),
        ("Qwen2.5-VL-72B-Instruct", "no reasoning effort", "takes no reasoning_effort."),
        ("gpt-oss-120b", "gpt-oss-120b is not a multimodal model", "Models that see images: Qwen3.8-27B, "),
        ("Qwen3.6-27B", "At most 5 image(s) may be provided in one prompt.", "takes at most 5 images per request."),
        ("Qwen2.5-VL-72B-Instruct", "the image is not base64", "the image is not base64. [HTTP"),
        ("Qwen2.5-VL-72B-Instruct", "does not support tools", "Models that call tools: Qwen3.8-27B, "),
        ("Qwen3Guard-Gen-8B", "does not support response_format", "Models that give objects: Qwen3.8-27B, "),
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_refusal_comes_with_what_is_known_of_the_model(model: str, said: str, advice: str, status: int) -> None:
    body = json.dumps({"error": {"message": said}}).encode()

    assert advice in str(status_error(status, {}, body, model=model))


def test_refusal_by_an_unknown_model_has_no_advice() -> None:
    body = b'{"error": {"message": "no tools, no image, no reasoning effort"}}'

    assert str(status_error(400, {}, body, model="new")) == "no tools, no image, no reasoning effort. [HTTP 400]"


NO_MESSAGE = "The service answered with status 404 and no message."
SLOW_DOWN = (
    "Each model takes 400 requests a minute with a key, and 2 without. "
    "Raise timeout, max_retries or max_wait to wait longer, or set OVHCLOUD_API_KEY if you have not."
)
SAID = [
    (
        401,
        "No.",
        {},
        (
            "No. Give a valid key as api_key= or in OVHCLOUD_API_KEY; keys are made in the OVHcloud Manager under "
            "Public Cloud > AI & Machine Learning > AI Endpoints > API keys. "
            'Without a key (api_key="") the service answers anonymously, at 2 requests a minute for each model.'
        ),
    ),
    (403, "No", {}, "No. The project of this key may not use the service; perhaps it lacks a payment method."),
    (404, "", {}, NO_MESSAGE),
    (
        404,
        "",
        {"model": "gpt-oss-12b", "url": "https://h/v1/chat/completions"},
        (
            f"{NO_MESSAGE} The model 'gpt-oss-12b' is not known; the nearest names are gpt-oss-120b, "
            "gpt-oss-20b. The request went to https://h/v1/chat/completions."
        ),
    ),
    (
        404,
        "",
        {"model": "Qwen3-32B"},
        f"{NO_MESSAGE} The model 'Qwen3-32B' was retired on 2026-09-16; use Qwen3.6-27B, for example.",
    ),
    (
        404,
        "",
        {"model": "Qwen3Guard-Gen-8B", "url": "https://h/v1/embeddings"},
        (
            f"{NO_MESSAGE} Qwen3Guard-Gen-8B is a chat model; use ChatOVHCloud, or one of bge-m3, "
            "bge-multilingual-gemma2, Qwen3-Embedding-8B. The request went to https://h/v1/embeddings."
        ),
    ),
    (
        404,
        "",
        {"model": "Qwen3Guard-Gen-8B", "url": "https://h/v1/chat/completions"},
        (
            f"{NO_MESSAGE} Qwen3Guard-Gen-8B was served on 2026-10-05; it may have been retired since. The request "
            "went to https://h/v1/chat/completions."
        ),
    ),
    (
        413,
        "big",
        {"sent": 2_504_000},
        "big. One request takes 2 MB at most. 2.39 MB were sent. Send smaller or fewer images, texts or messages.",
    ),
    (
        413,
        "big",
        {"model": "Qwen3.6-27B"},
        "big. One request takes 10 MB at most. Send smaller or fewer images, texts or messages.",
    ),
    (413, "big", {}, "big. One request takes 2 MB at most. Send smaller or fewer images, texts or messages."),
    (429, "slow", {}, f"slow. {SLOW_DOWN}"),
    (
        400,
        "no 'extra arguments: x'",
        {},
        (
            "no 'extra arguments: x'. The service takes no such field; leave it out of "
            "extra_body, model_kwargs or additional_kwargs."
        ),
    ),
    (400, "Input is too long", {"model": "new"}, "Input is too long."),
    (
        400,
        "Input is too long",
        {"model": "bge-m3", "url": "https://h/v1/embeddings"},
        "Input is too long. bge-m3 takes at most 8,192 tokens per text.",
    ),
    (
        400,
        "Input is too long",
        {"model": "gpt-oss-20b", "url": "https://h/v1/chat/completions"},
        "Input is too long. gpt-oss-20b has a window of 131,072 tokens; shorten the messages or lower max_tokens.",
    ),
]


@pytest.mark.parametrize(("status", "body", "facts", "said"), SAID)
def test_error_says_what_was_said_and_what_to_do(status: int, body: str, facts: dict[str, Any], said: str) -> None:
    raw = json.dumps({"message": body}).encode() if body else b""

    assert status_error(status, {}, raw, **facts).message == said


def test_limit_says_how_long_and_what_forbids_to_wait() -> None:
    error = limit_reached(12.6, "max_wait=5", "gpt-oss-20b", has_key=True)
    without_key = limit_reached(12.6, "max_wait=5", "gpt-oss-20b", has_key=False)

    assert error.retry_after == 12.6
    assert str(error) == (
        "The limit for gpt-oss-20b is reached, and the service takes no request for 13 s. Waiting that long is ruled "
        "out by max_wait=5, so nothing was sent."
    )
    assert str(without_key) == (
        f"{error} Without a key it takes 2 requests a minute, with a key 400: set OVHCLOUD_API_KEY."
    )


@pytest.mark.parametrize(
    ("body", "shown", "kept"),
    [
        (b"", "It is empty.", ""),
        (b"\xff\x00", "It begins with '\\\\xff\\x00'.", "\\xff\x00"),
        (b"x" * 999, f"It begins with '{'x' * 200}'.", "x" * 200),
    ],
)
def test_what_can_not_be_read_is_shown(body: bytes, shown: str, kept: str) -> None:
    error = invalid_response("It is odd", body, {"x-request-id": "r"})

    assert error.message == f"It is odd. {shown}"
    assert (error.body, error.request_id) == (kept, "r")


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"error": {"message": "slow", "code": 429}}, 429),
        ({"error": {"message": "slow", "code": "429"}}, 429),
        ({"error": {"message": "slow", "status": 429}}, 429),
        ({"message": "slow", "status_code": 429}, 429),
        ({"error": {"message": "slow", "code": None, "status": 429}}, 429),
        ({"error": {"message": "slow", "code": 999}}, 500),
        ({"error": {"message": "slow", "code": 4290}}, 500),
        ({"error": {"message": "slow", "code": "model_not_found"}}, 500),
        ({"error": {"message": "slow", "code": 4.29}}, 500),
        ({"error": "slow"}, 500),
    ],
)
def test_error_in_an_event_is_what_the_status_would_have_meant(event: dict[str, Any], status: int) -> None:
    error = event_error(event, body=json.dumps(event).encode())

    assert error.status == status
    assert error.message == (f"slow. {SLOW_DOWN}" if status == 429 else "slow.")
    assert error.is_transient


def test_error_in_an_event_comes_with_what_is_known_of_the_model() -> None:
    error = event_error({"code": 404}, model="bge-m3")

    assert error.message == f"{NO_MESSAGE} bge-m3 was served on 2026-10-05; it may have been retired since."


def test_secret_is_taken_out_of_every_text() -> None:
    secret = "k3y-k3y-"  # the shortest that is taken for one
    for message, headers, body in (
        (f"a {secret} b {secret}", {}, ""),
        ("a", {"x-echo": f"<{secret}>", "other": "o"}, ""),
        ("a", {}, f"<{secret}>"),
    ):
        error = service.OVHCloudError(message, headers=headers, body=body)
        hide(error, [secret])

        assert error.message == message.replace(secret, "**********")
        assert error.headers == {name: value.replace(secret, "**********") for name, value in headers.items()}
        assert error.body == body.replace(secret, "**********")
        assert error.args == (error.message,)
        assert secret not in repr(error)


def test_error_without_the_secret_stays_as_it_is() -> None:
    error = service.OVHCloudError("message", headers={"a": "b"}, body="body")
    hide(error, ["another-secret"])

    assert (error.message, error.headers, error.body, error.args) == ("message", {"a": "b"}, "body", ("message",))


def test_error_ends_in_the_facts_for_support() -> None:
    error = service.OVHCloudError("What.", status=503, headers={"x-request-id": "r"})
    assert str(error) == "What. [HTTP 503; request id r]"

    error.attempts, error.waited = 2, 1.25
    assert str(error) == "What. [HTTP 503; request id r; 2 attempts, 1.2 s waited]"
    assert str(service.OVHCloudError("What.")) == "What."


def test_error_that_knows_nothing_says_so() -> None:
    error = service.EmbeddingsInterruptedError("what")

    assert (error.args, error.body, error.headers, error.retry_after, error.waited) == (("what",), "", {}, None, 0.0)
    assert (error.vectors, error.remaining, error.usage) == ({}, {}, None)


def test_error_keeps_what_the_service_said() -> None:
    error = status_error(400, {}, b"\xff" * 3_000)

    assert error.body == "\ufffd" * 2_000
    assert error.message == "\ufffd" * 500 + "…."
    assert status_error(400, {}, b"x" * 500).message == "x" * 500 + "."
    assert status_error(400, {}, b"MAX.").message == "MAX."


def test_wait_that_is_asked_for_is_told() -> None:
    error = status_error(429, {"ratelimit-reset": "12"}, b"slow")

    assert error.retry_after == 12
    assert error.message == f"slow. The service asks to wait 12 s. {SLOW_DOWN}"
    assert status_error(503, {"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, b"").retry_after == 60


@pytest.mark.parametrize("body", [b'{"message": "cut', b"[1, 2", b'{"a": NaN, "b'])
def test_json_that_was_cut_is_no_message(body: bytes) -> None:
    assert message_in(body) == ""
    assert message_in(b'[{"a": 1}]') == '[{"a": 1}]'


@pytest.mark.parametrize(
    ("said", "advised"),
    [
        ("Invalid JSON object", True),
        ("Failed to deserialize the JSON body", False),
        ("Failed to deserialize the JSON body: response_format", True),
        ("something else", False),
    ],
)
def test_model_that_gives_no_objects_is_told_only_if_one_was_asked_for(said: str, advised: bool) -> None:
    error = status_error(400, {}, said.encode(), model="Qwen3Guard-Gen-8B")

    assert ("Models that give objects: " in error.message) is advised
    assert status_error(400, {}, said.encode(), model="gpt-oss-120b").message == f"{said}."


def test_image_that_is_refused_is_told_as_one() -> None:
    message = status_error(400, {}, b"no image here", model="gpt-oss-120b").message

    assert message.startswith("no image here. Models that see images: Qwen3.8-27B, Qwen3.6-27B, ")


@pytest.mark.parametrize("status", [400, 401, 403, 405])
def test_page_of_someone_on_the_way_is_not_blamed_on_the_key(status: int) -> None:
    error = status_error(status, {}, b"<html><title>Blocked by corp proxy</title></html>")

    assert str(error).startswith(
        "An HTML page, not the API: Blocked by corp proxy. Something between you and the service has answered; "
    )
