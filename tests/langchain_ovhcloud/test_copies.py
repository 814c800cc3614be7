"""Saved, pickled, copied and cached: objects hold configuration only."""

import copy
import json
import logging
import pickle
import threading
from typing import Any

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumpd, load
from langchain_core.rate_limiters import InMemoryRateLimiter

from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints import AuthenticationError, Timeouts
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.usefixtures("environ")


@pytest.fixture(params=["before use", "after use"])
def model(request: pytest.FixtureRequest, server: LocalEndpoints) -> ChatOVHCloud:
    model = ChatOVHCloud(model="gpt-oss-120b", temperature=0.3, timeout=Timeouts(idle=5))
    if request.param == "after use":
        model.invoke("Hello")
        list(model.stream("Hello"))
    return model


@pytest.mark.parametrize("kind", [ChatOVHCloud, OVHCloudEmbeddings])
def test_pickle_names_no_private_module(kind: Any) -> None:
    """It may be loaded by a later version, in which they have other names."""
    saved = pickle.dumps(kind(model="bge-m3", api_key="key", timeout=Timeouts(idle=5)))

    assert b"ovhcloud_ai_endpoints" in saved
    assert b"ovhcloud_ai_endpoints._" not in saved


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copy_is_equal_and_works(model: ChatOVHCloud, copied: Any) -> None:
    again = copied(model)

    assert again.model_dump() == model.model_dump()
    assert again.invoke("Hello").text
    assert model.invoke("Hello").text


def test_loaded_object_is_equal_and_works(server: LocalEndpoints, model: ChatOVHCloud) -> None:
    again = load(
        json.loads(json.dumps(dumpd(model))),
        allowed_objects=[ChatOVHCloud],
        valid_namespaces=["langchain_ovhcloud"],
        secrets_map={"OVHCLOUD_API_KEY": server.api_key},
    )

    assert again == model
    assert again.invoke("Hello").text


class TestPickles:
    def test_hold_no_key(self, server: LocalEndpoints) -> None:
        for saved in (ChatOVHCloud(model="m", api_key="sk-hidden"), OVHCloudEmbeddings(api_key="sk-hidden")):
            assert b"sk-hidden" not in pickle.dumps(saved)

    def test_take_the_key_of_where_they_are_loaded(self, server: LocalEndpoints) -> None:
        again = pickle.loads(pickle.dumps(ChatOVHCloud(model="gpt-oss-120b", api_key="sk-other")))

        again.invoke("Hello")

        assert server.requests[-1].api_key == server.api_key

    def test_never_become_anonymous(self, server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch) -> None:
        data = pickle.dumps(ChatOVHCloud(model="gpt-oss-120b", api_key=lambda: server.api_key))
        monkeypatch.delenv("OVHCLOUD_API_KEY")

        with pytest.raises(AuthenticationError, match="was pickled, and keys are not"):
            pickle.loads(data).invoke("Hello")
        assert server.requests == []

    def test_take_a_key_that_is_assigned(self, server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch) -> None:
        data = pickle.dumps(ChatOVHCloud(model="gpt-oss-120b"))
        monkeypatch.delenv("OVHCLOUD_API_KEY")
        again = pickle.loads(data)

        again.api_key = server.api_key
        again.invoke("Hello")

        assert server.requests[-1].api_key == server.api_key

    def test_hold_no_other_secret(self) -> None:
        model = ChatOVHCloud(model="m", default_headers={"X-Key": "hidden"}, proxy="http://u:hidden@p:1")

        assert b"hidden" not in pickle.dumps(model)

    def test_stay_anonymous_if_they_were(self, server: LocalEndpoints) -> None:
        pickle.loads(pickle.dumps(ChatOVHCloud(model="gpt-oss-120b", api_key=""))).invoke("Hello")

        assert server.requests[-1].api_key is None

    def test_leave_out_what_can_not_be_pickled_and_say_so(
        self, server: LocalEndpoints, caplog: pytest.LogCaptureFixture
    ) -> None:
        limiter = InMemoryRateLimiter(requests_per_second=100)
        with httpx.Client() as client:
            model = ChatOVHCloud(model="gpt-oss-120b", rate_limiter=limiter, http_client=client)
            with caplog.at_level(logging.WARNING):
                again = pickle.loads(pickle.dumps(model))
            assert model.invoke("Hello").text

        assert again.rate_limiter is None
        assert model.rate_limiter is limiter
        assert "rate_limiter of ChatOVHCloud is not pickled" in caplog.text
        assert again.invoke("Hello").text


def test_deep_copy_shares_what_is_alive() -> None:
    limiter, told = InMemoryRateLimiter(requests_per_second=100), []
    with httpx.Client() as client:
        model = ChatOVHCloud(model="gpt-oss-120b", http_client=client, rate_limiter=limiter, extra_body={"a": [1]})

        again = copy.deepcopy(model)

    copy.deepcopy(OVHCloudEmbeddings(on_usage=told.append)).embed_query("x")
    assert len(told) == 1
    assert again.rate_limiter is limiter

    assert again.http_client is client
    assert again.extra_body == {"a": [1]}
    assert again.extra_body is not model.extra_body


class TestCaches:
    def test_answer_again_without_a_request(self, server: LocalEndpoints) -> None:
        model = ChatOVHCloud(model="gpt-oss-120b", cache=InMemoryCache())

        assert model.invoke("Hello").content == model.invoke("Hello").content
        assert len(server.requests) == 1

    @pytest.mark.parametrize("changed", ["assigned", "copied"])
    def test_know_a_changed_object_from_the_one_before(self, server: LocalEndpoints, changed: str) -> None:
        model = ChatOVHCloud(model="gpt-oss-120b", cache=InMemoryCache())
        model.invoke("Hello")
        if changed == "assigned":
            model.temperature = 0.5
        else:
            model = model.model_copy(update={"temperature": 0.5})

        model.invoke("Hello")

        assert [request.json.get("temperature") for request in server.requests] == [None, 0.5]


def test_object_is_shared_by_threads(server: LocalEndpoints) -> None:
    model, texts = ChatOVHCloud(model="gpt-oss-120b"), []
    threads = [threading.Thread(target=lambda: texts.append(model.invoke("Hello").text)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(texts)) == 1
    assert len(server.requests) == 8
