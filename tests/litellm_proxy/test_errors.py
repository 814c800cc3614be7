"""What our classes raise when LiteLLM's proxy, or the service behind it, refuses or fails."""

import logging
from typing import Any

import pytest

from ovhcloud_ai_endpoints import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    ContextOverflowError,
    InternalServerError,
    NotFoundError,
    OVHCloudError,
    RateLimitError,
    StreamInterruptedError,
    list_models,
)
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.timeout(120)  # the first test waits for the proxy to start, and LiteLLM waits before retries

TRIES = 3  # LiteLLM's own for each request
OVERFLOWS = {
    "of the service": "max_tokens must be at least 1, got -412. (parameter=max_tokens, value=-412)",
    "of vLLM": "This model's maximum context length is 131072 tokens. However, you requested 200000 tokens",
}

each_route = pytest.mark.parametrize("model", ["my-model", "my-vllm", "my-openai"])
whole_or_streamed = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@whole_or_streamed
class TestRefusals:
    def test_of_a_key(self, server: LocalEndpoints, way: Any, streamed: bool) -> None:
        with pytest.raises(AuthenticationError):
            way.ask("Hello", streamed=streamed, api_key="sk-wrong", max_retries=0)

        assert server.requests == []

    def test_of_no_key_are_a_crash_of_litellm(self, server: LocalEndpoints, way: Any, streamed: bool) -> None:
        """Without a database it answers 500 and a text without a reason, so that nothing says it is about a key."""
        with pytest.raises(InternalServerError, match=r"^Internal Server Error\. \[HTTP 500\]$"):
            way.ask("Hello", streamed=streamed, api_key="", max_retries=0)

        assert server.requests == []

    def test_of_a_model_name_it(self, server: LocalEndpoints, way: Any, streamed: bool) -> None:
        with pytest.raises(
            (BadRequestError, NotFoundError), match="Invalid model name passed in model=nobody"
        ) as error:
            way.ask("Hello", streamed=streamed, model="nobody")

        assert error.value.attempts == 1
        assert server.requests == []

    @each_route
    def test_of_the_service_have_its_words(self, server: LocalEndpoints, way: Any, streamed: bool, model: str) -> None:
        server.reply(status=400, body={"message": "feature 'top_logprobs > 1' is not currently supported"})

        with pytest.raises(BadRequestError, match=r"feature 'top_logprobs > 1' is not currently supported") as error:
            way.ask("Hello", streamed=streamed, model=model)

        assert (error.value.status, error.value.attempts, len(server.requests)) == (400, 1, 1)

    def test_of_the_proxys_own_key_are_about_a_key(
        self, server: LocalEndpoints, way: Any, streamed: bool, spare: str
    ) -> None:
        server.reply(status=403, body={"message": "Forbidden: authentication failed.  Please generate a new one"})

        with pytest.raises(AuthenticationError, match="Forbidden: authentication failed"):
            way.ask("Hello", streamed=streamed, model=spare)

        assert len(server.requests) == 1

    @each_route
    @pytest.mark.parametrize("words", OVERFLOWS.values(), ids=OVERFLOWS)
    def test_of_what_is_too_long(
        self, server: LocalEndpoints, way: Any, streamed: bool, model: str, words: str
    ) -> None:
        server.reply(status=400, body={"error": {"message": words, "type": "BadRequestError", "code": 400}})

        with pytest.raises(ContextOverflowError):
            way.ask("Hello", streamed=streamed, model=model)

        assert len(server.requests) == 1

    def test_of_what_really_is_too_long(self, server: LocalEndpoints, way: Any, streamed: bool) -> None:
        with pytest.raises(ContextOverflowError):
            way.ask("word " * 150_000, streamed=streamed)

        assert len(server.refusals) == len(server.requests) == 1


@whole_or_streamed
class TestAFailureThatPasses:
    def test_is_retried_by_litellm_alone(
        self, server: LocalEndpoints, way: Any, streamed: bool, spare: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.reply(status=500)
        server.reply("Hello.")

        with caplog.at_level(logging.INFO, "ovhcloud_ai_endpoints"):
            assert way.ask("Hello", streamed=streamed, model=spare).text == "Hello."

        assert len(server.requests) == 2
        assert "retrying" not in caplog.text

    def test_is_a_429_after_which_litellm_waits_as_asked(
        self, server: LocalEndpoints, way: Any, streamed: bool, spare: str
    ) -> None:
        server.reply(status=429, headers={"Retry-After": "1"})
        server.reply("Hello.")

        assert way.ask("Hello", streamed=streamed, model=spare, max_retries=0).text == "Hello."
        assert len(server.requests) == 2


@pytest.mark.parametrize(("streamed", "way"), [(False, "langchain"), (True, "llama_index awaited")], indirect=["way"])
class TestAFailureThatLasts:
    """In two ways only, since LiteLLM waits for seconds between its tries."""

    @pytest.mark.parametrize("status", [500, 502, 503])
    def test_is_an_internal_server_error(
        self, server: LocalEndpoints, way: Any, streamed: bool, spare: str, status: int
    ) -> None:
        server.reply(status=status, times=TRIES)

        with pytest.raises(InternalServerError, match=f"scripted status {status}") as error:
            way.ask("Hello", streamed=streamed, model=spare, max_retries=0)

        assert (error.value.status, len(server.requests)) == (status, TRIES)

    def test_is_a_rate_limit_with_the_wait_that_the_service_asked_for(
        self, server: LocalEndpoints, way: Any, streamed: bool, spare: str
    ) -> None:
        server.reply(status=429, headers={"Retry-After": "1"}, times=TRIES)

        with pytest.raises(RateLimitError) as error:
            way.ask("Hello", streamed=streamed, model=spare, max_retries=0)

        assert len(server.requests) == TRIES
        assert error.value.retry_after == 1

    def test_makes_litellm_refuse_the_model_which_our_retry_outlasts(
        self, server: LocalEndpoints, way: Any, streamed: bool, spare: str
    ) -> None:
        server.reply(status=404)
        with pytest.raises(NotFoundError):
            way.ask("Hello", streamed=streamed, model=spare)

        said = way.ask("Paris is in France. Where is Paris?", streamed=streamed, model=spare)

        assert said.text == "Paris is in France."
        assert len(server.requests) == 2


def test_refusal_for_a_cooldown_says_how_long(server: LocalEndpoints, way: Any, spare: str) -> None:
    server.reply(status=404)
    with pytest.raises(NotFoundError):
        way.ask("Hello", model=spare)

    with pytest.raises(RateLimitError, match="cooldown") as error:
        way.ask("Hello", model=spare, max_retries=0)

    assert 0 < error.value.retry_after <= 5
    assert len(server.requests) == 1


class TestAStreamThatBreaksOff:
    @each_route
    @pytest.mark.parametrize("fault", ["stream-cut", "stream-reset", "stream-cut-in-event"])
    def test_is_an_error_after_its_text(self, server: LocalEndpoints, way: Any, model: str, fault: str) -> None:
        server.fail(fault)

        with pytest.raises((StreamInterruptedError, APIConnectionError, InternalServerError)) as error:
            way.ask("Hello", model=model, streamed=True)

        assert error.value.attempts == 1
        assert len(server.requests) == 1

    @each_route
    def test_with_the_services_error_is_that_error(self, server: LocalEndpoints, way: Any, model: str) -> None:
        server.fail("stream-error-after-text")

        with pytest.raises(InternalServerError, match="overloaded"):
            way.ask("Hello", model=model, streamed=True)

        assert len(server.requests) == 1

    @each_route
    def test_without_an_error_ends_as_litellm_pretends(self, server: LocalEndpoints, way: Any, model: str) -> None:
        """LiteLLM itself adds "stop" and "[DONE]", so that no client can tell; directly it is an error."""
        server.fail("stream-unfinished")
        said = way.ask("Hello", model=model, streamed=True)
        assert (said.text, said.finish_reason) == ("Half of it", "stop")

        server.fail("stream-unfinished")
        with pytest.raises(StreamInterruptedError):
            way.ask("Hello", model="gpt-oss-120b", base_url=server.base_url, api_key=server.api_key, streamed=True)


def test_error_has_the_id_by_which_litellm_logs_the_call(server: LocalEndpoints, way: Any) -> None:
    server.reply(status=400)

    with pytest.raises(BadRequestError) as error:
        way.ask("Hello")

    assert error.value.request_id


def test_effort_is_refused_by_litellms_ovhcloud_with_its_reason(server: LocalEndpoints, way: Any) -> None:
    with pytest.raises(BadRequestError, match=r"does not support parameters.*reasoning_effort"):
        way.ask("Hello", reasoning_effort="low")

    assert server.requests == []


def test_rate_limit_of_the_proxys_key_does_not_speak_of_ours(server: LocalEndpoints, way: Any, spare: str) -> None:
    server.reply(status=404)
    with pytest.raises(NotFoundError):
        way.ask("Hello", model=spare)

    with pytest.raises(RateLimitError) as error:
        way.ask("Hello", model=spare, max_retries=0)

    assert "400 requests a minute" not in str(error.value)


def test_list_of_models_with_a_wrong_key(proxy: str) -> None:
    with pytest.raises(AuthenticationError):
        list_models(base_url=proxy, api_key="sk-wrong")


def test_every_error_is_ours(server: LocalEndpoints, way: Any) -> None:
    server.reply(status=422, body="plain")

    with pytest.raises(OVHCloudError, match="plain"):
        way.ask("Hello")
