from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import SecretStr, ValidationError

import langchain_ovhcloud as lc
import llama_index_ovhcloud as li
from ovhcloud_ai_endpoints import Timeouts
from ovhcloud_ai_endpoints._chat.options import ChatOptions
from ovhcloud_ai_endpoints._embeddings.options import EmbeddingOptions
from ovhcloud_ai_endpoints._http.settings import secret


def test_defaults_are_the_documented_ones() -> None:
    settings = ChatOptions(model="m")._ovhcloud_settings

    assert settings.timeouts == Timeouts(10, 600, 120, None)
    assert (settings.retry.max_retries, settings.retry.max_wait) == (2, 60.0)
    assert (settings.max_concurrency, EmbeddingOptions()._ovhcloud_settings.max_concurrency) == (256, 8)


@pytest.mark.parametrize(
    ("alias", "name", "value"),
    [
        ("model_name", "model", "m2"),
        ("api_base", "base_url", "http://h/v1"),
        ("request_timeout", "timeout", 5),
        ("max_completion_tokens", "max_tokens", 9),
        ("model_kwargs", "extra_body", {"top_k": 1}),
        ("additional_kwargs", "extra_body", {"top_k": 1}),
    ],
)
def test_other_names_mean_the_same(alias: str, name: str, value: Any) -> None:
    arguments = {"model": "m", alias: value} if name != "model" else {alias: value}

    assert getattr(ChatOptions(**arguments), name) == value


@pytest.mark.parametrize("cls", [ChatOptions, lc.OVHCloudEmbeddings, li.OVHCloudEmbeddings, lc.ChatOVHCloud])
def test_the_first_argument_is_the_model(cls: Any) -> None:
    assert repr(cls("bge-m3")) == repr(cls(model="bge-m3"))


def test_a_model_that_is_named_twice_is_an_error() -> None:
    with pytest.raises(TypeError, match="both 'model' and 'model_name'"):
        ChatOptions("m", model_name="other")


@pytest.mark.parametrize("cls", [lc.ChatOVHCloud, lc.OVHCloudEmbeddings, li.ChatOVHCloud, li.OVHCloudEmbeddings])
def test_help_describes_each_argument(cls: Any) -> None:
    own = {
        *ChatOptions.model_fields,
        *EmbeddingOptions.model_fields,
        "n",
        "streaming",
        "batch_size",
        "embed_batch_size",
    }

    described = cls.__doc__.partition("Args:")[2]

    assert {name for name in cls.model_fields if name in own and f"\n    {name}: " not in described} == set()


def test_representation_shows_what_was_set_and_no_secret() -> None:
    model = lc.ChatOVHCloud(
        "gpt-oss-120b", temperature=0, timeout=None, api_key="se-cret", default_headers={"X": "se-cret"}
    )

    assert repr(model) == "ChatOVHCloud(model='gpt-oss-120b', temperature=0.0)"
    assert repr(li.OVHCloudEmbeddings()) == "OVHCloudEmbeddings(model_name='bge-m3')"
    assert repr(li.ChatOVHCloud("gpt-oss-120b")) == "ChatOVHCloud(model='gpt-oss-120b')"


@pytest.mark.parametrize("cls", [lc.OVHCloudEmbeddings, li.OVHCloudEmbeddings, lc.ChatOVHCloud])
def test_model_that_is_none_is_an_error_and_not_the_default(cls: Any) -> None:
    """As from an environment variable that is not set."""
    with pytest.raises(ValidationError, match="valid string"):
        cls(model=None)


def test_representation_takes_values_of_any_kind() -> None:
    class Mine(lc.ChatOVHCloud):
        """Mine."""

        numbers: Any = None

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.__dict__["early"] = repr(self)
            super().__init__(*args, **kwargs)

    mine = Mine("gpt-oss-120b", numbers=np.ones(2))

    assert repr(mine) == "Mine(model='gpt-oss-120b', numbers=array([1., 1.]))"
    assert Mine.__doc__ == "Mine."
    assert "Args:" not in lc.ChatOVHCloud.model_json_schema()["description"]


def test_two_names_with_two_values_are_an_error() -> None:
    with pytest.raises(TypeError, match="both 'max_tokens' and 'max_completion_tokens'"):
        ChatOptions(model="m", max_tokens=1, max_completion_tokens=2)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("temprature", "temperature"), ("apikey", "api_key"), ("baseurl", "base_url"), ("max_token", "max_tokens")],
)
def test_misspelt_argument_names_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(TypeError, match=f"no argument '{wrong}'; did you mean '{right}'"):
        ChatOptions(model="m", **{wrong: 1})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("openai_api_key", "give this service's key as api_key="),
        ("mistral_api_key", "give this service's key as api_key="),
        ("huggingfacehub_api_token", "give this service's key as api_key="),
        ("token", "give this service's key as api_key="),
        ("key", "give this service's key as api_key="),
        ("openai_api_base", "give the service's URL as base_url="),
        ("url", "give the service's URL as base_url="),
        ("service_url", "give the service's URL as base_url="),
        ("top_k", "the service has no such field; for other servers, pass it in extra_body="),
        ("stream", "a chat model streams in stream(), or stream_chat() in LlamaIndex"),
        ("tools", "it belongs to the call"),
        ("chat_template_kwargs", "the service has no such field; for other servers, pass it in extra_body="),
    ],
)
def test_argument_of_others_is_told_what_to_give_instead(name: str, hint: str) -> None:
    with pytest.raises(TypeError) as caught:
        ChatOptions(model="m", **{name: "SECRET"})

    assert str(caught.value) == f"ChatOptions has no argument {name!r}; {hint}"


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("proxies", "proxy"),
        ("openai_proxy", "proxy"),
        ("https_proxy", "proxy"),
        ("headers", "default_headers"),
        ("extra_headers", "default_headers"),
        ("ssl_verify", "verify"),
    ],
)
def test_name_of_others_is_told_of_ours(name: str, ours: str) -> None:
    with pytest.raises(TypeError, match=f"no argument '{name}'; did you mean '{ours}'"):
        ChatOptions(model="m", **{name: "x"})


def test_a_name_that_only_one_of_our_classes_has_is_told_of_there() -> None:
    with pytest.raises(TypeError, match="did you mean 'embeddings_cache'"):
        li.OVHCloudEmbeddings(cache=1)
    with pytest.raises(TypeError, match=r"no argument 'cache'$"):
        lc.OVHCloudEmbeddings(cache=1)


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "nonsense", "ftp://example.com"])
def test_base_url_of_the_environment_is_checked(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OVHCLOUD_API_BASE", url)

    with pytest.raises(ValueError, match=r"OVHCLOUD_API_BASE must be an http\(s\) URL"):
        ChatOptions(model="m")


@pytest.mark.parametrize("name", ["http_client", "http_async_client"])
def test_client_that_is_none_is_an_error(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} must be an httpx"):
        ChatOptions(model="m", **{name: "x"})


@pytest.mark.parametrize("proxy", ["proxy.example:3128", "ftp://proxy.example", "http://proxy.example:99999"])
def test_proxy_that_can_not_be_used_is_an_error(proxy: str) -> None:
    with pytest.raises(ValidationError, match="proxy must be an http, https or socks5 URL"):
        ChatOptions(model="m", proxy=proxy)


@pytest.mark.parametrize("name", ["normalize", "openai_organization"])
def test_argument_that_is_like_no_other_names_none(name: str) -> None:
    with pytest.raises(TypeError, match=f"^ChatOptions has no argument '{name}'$"):
        ChatOptions(model="m", **{name: 1})


@pytest.mark.parametrize("name", ["normalize", "openai_api_key", "top_k", "whatever"])
@pytest.mark.parametrize("options", [ChatOptions, EmbeddingOptions])
def test_argument_that_is_none_means_nothing(name: str, options: Any) -> None:
    options(**({"model": "m"} if options is ChatOptions else {}), **{name: None})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("use_responses_api", True),
        ("logit_bias", {"1": 2}),
        ("service_tier", "auto"),
        ("disabled_params", {"parallel_tool_calls": None}),
        ("stream_chunk_timeout", 5),
        ("include_response_headers", True),
        ("tiktoken_model_name", "gpt-4"),
        ("openai_client", object()),
    ],
)
def test_argument_without_a_meaning_here_is_ignored_with_a_warning(name: str, value: Any) -> None:
    with pytest.warns(UserWarning, match=f"ignores '{name}'"):
        ChatOptions(model="m", **{name: value})


@pytest.mark.parametrize("name", ["use_responses_api", "include_response_headers"])
def test_argument_that_says_what_is_done_anyway_is_no_news(name: str) -> None:
    ChatOptions(model="m", **{name: False})


def test_arguments_of_the_community_class_mean_the_same() -> None:
    options = EmbeddingOptions(access_token="key", region="kepler")

    assert secret(options.api_key) == "key"
    with pytest.raises(TypeError, match="knows the region 'kepler' only; give another one's URL as base_url="):
        EmbeddingOptions(access_token="key", region="gra")


@pytest.mark.parametrize("options", [ChatOptions, EmbeddingOptions])
@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_arguments_have_a_json_schema(options: Any, mode: Any) -> None:
    schema = options.model_json_schema(mode=mode)

    assert schema["properties"]["max_retries"]["type"] == "integer"


@pytest.mark.parametrize(
    "arguments",
    [
        {"api_key": "SECRET"},
        {"model": "m", "api_key": ("SECRET",)},
        {"model": "m", "base_url": "https://u:SECRET@h/v1"},
        {"model": "m", "base_url": "https://:SECRET@h/v1"},
        {"model": "m", "default_headers": {"X-Key": "SECRET\n"}},
    ],
)
def test_failed_construction_shows_no_secret(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        ChatOptions(**arguments)

    assert "SECRET" not in str(caught.value)


def test_key_of_another_type_is_an_error_that_says_what_it_may_be() -> None:
    with pytest.raises(ValidationError, match="api_key must be a string, or a function that returns one; got int"):
        ChatOptions(model="m", api_key=5)


def test_headers_of_each_request_are_not_the_users() -> None:
    with pytest.raises(ValidationError, match="'Content-Length' is set for each request"):
        ChatOptions(model="m", default_headers={"Content-Length": "5"})


def test_blocking_client_in_the_wrong_place_is_an_error() -> None:
    with httpx.Client() as client, pytest.raises(TypeError, match="http_client="):
        ChatOptions(model="m", http_async_client=client)


def test_proxy_without_a_scheme_is_an_error() -> None:
    with pytest.raises(ValidationError, match="http://proxy"):
        ChatOptions(model="m", proxy="proxy.example:3128")


async def test_asynchronous_client_in_the_wrong_place_is_an_error() -> None:
    async with httpx.AsyncClient() as client:
        with pytest.raises(TypeError, match="http_async_client="):
            ChatOptions(model="m", http_client=client)


def test_warning_points_at_the_line_that_can_be_changed() -> None:
    with pytest.warns(UserWarning, match="ignores 'user'") as caught:
        ChatOptions(model="m", user="x")

    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", ["user", "reuse_client", "tokenizer"])
def test_argument_without_meaning_is_a_warning(name: str) -> None:
    with pytest.warns(UserWarning, match=f"ignores '{name}'"):
        ChatOptions(model="m", **{name: False})


@pytest.mark.parametrize("arguments", [{}, {"model": ""}, {"model": "m", "max_retries": -1}])
def test_impossible_values_are_an_error(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ChatOptions(**arguments)


def test_key_comes_from_the_argument_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVHCLOUD_API_KEY", "env")

    assert secret(ChatOptions(model="m").api_key) == "env"
    assert secret(ChatOptions(model="m", api_key=None).api_key) == "env"
    assert secret(ChatOptions(model="m", api_key="arg").api_key) == "arg"
    assert secret(ChatOptions(model="m", api_key=SecretStr("arg")).api_key) == "arg"
    assert secret(ChatOptions(model="m", api_key=lambda: "called").api_key) == "called"


def test_empty_key_is_anonymous_even_if_the_environment_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVHCLOUD_API_KEY", "env")

    assert "Authorization" not in ChatOptions(model="m", api_key="")._ovhcloud_settings.headers()


def test_arguments_of_a_call_win_and_none_is_unset() -> None:
    options = ChatOptions(model="m", temperature=0.5, max_tokens=5)

    body = options._ovhcloud_request([], {"max_completion_tokens": 7, "temperature": None, "model": "other"}).body

    assert body == {"model": "other", "messages": [], "temperature": 0.5, "max_tokens": 7}


def test_argument_of_the_constructor_is_told_apart_from_an_unknown_one() -> None:
    with pytest.raises(TypeError, match="Set 'timeout' when creating ChatOptions; a call can't change it"):
        ChatOptions(model="m")._ovhcloud_request([], {"timeout": 5})


def test_two_names_in_a_call_are_an_error() -> None:
    with pytest.raises(TypeError, match="both 'max_tokens'"):
        ChatOptions(model="m")._ovhcloud_request([], {"max_tokens": 1, "max_completion_tokens": 2})


def test_unknown_argument_of_a_call_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"accept 'top_k'.*extra_body"):
        ChatOptions(model="m")._ovhcloud_request([], {"top_k": 3})


def test_extra_body_is_sent_as_it_is() -> None:
    options = ChatOptions(model="m", extra_body={"top_k": 3})

    assert options._ovhcloud_request([], {"extra_body": {"min_p": 0.1}}).body == {
        "model": "m",
        "messages": [],
        "top_k": 3,
        "min_p": 0.1,
    }
