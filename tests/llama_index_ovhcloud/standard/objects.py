"""The object itself: what is known of its model, how it is saved, copied and shown."""

import asyncio
import copy
import json
import pickle
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager

from ovhcloud_ai_endpoints.testing import LocalEndpoints
from standard.ways import HELLO, Limiter, Suite, Way, listening


class ObjectTests(Suite):
    def test_window_and_tools_of_the_model_are_known(self, llm: Any) -> None:
        assert llm.metadata.context_window == 131_072
        assert llm.metadata.is_function_calling_model
        assert llm.metadata.is_chat_model

    def test_metadata_asks_nobody(self, server: LocalEndpoints, llm: Any) -> None:
        assert llm.metadata.model_name == "gpt-oss-120b"
        assert server.requests == []

    def test_settings_of_the_user_win(self, server: LocalEndpoints) -> None:
        llm = self.make(server, context_window=9_000, is_function_calling_model=False)

        assert (llm.metadata.context_window, llm.metadata.is_function_calling_model) == (9_000, False)

    @pytest.mark.parametrize("used", [False, True])
    def test_is_saved_and_loaded(self, server: LocalEndpoints, llm: Any, used: bool) -> None:
        if used:
            llm.chat(HELLO)

        saved = json.loads(json.dumps(llm.to_dict()))

        loaded = type(llm).from_dict(saved, api_key=server.api_key)
        assert loaded.to_dict() == llm.to_dict()
        assert loaded.chat(HELLO).message.content

    @pytest.mark.parametrize("used", [False, True])
    @pytest.mark.parametrize("way", ["pickle", "copy", "deepcopy"])
    def test_is_copied(self, server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch, used: bool, way: str) -> None:
        monkeypatch.setenv("OVHCLOUD_API_KEY", server.api_key)
        llm = self.make(server, rate_limiter=Limiter(), callback_manager=CallbackManager([]))
        if used:
            llm.chat(HELLO)
            asyncio.run(llm.achat(HELLO))

        match way:
            case "pickle":
                other = pickle.loads(pickle.dumps(llm))
            case "copy":
                other = copy.copy(llm)
            case _:
                other = copy.deepcopy(llm)

        assert other.chat(HELLO).message.content
        assert asyncio.run(other.achat(HELLO)).message.content

    def test_stays_whole_when_it_is_pickled(self, server: LocalEndpoints) -> None:
        limiter = Limiter()
        llm = self.make(server, rate_limiter=limiter)

        pickle.dumps(llm)

        llm.chat(HELLO)
        assert llm.rate_limiter is limiter
        assert limiter.acquired == 1

    def test_key_is_shown_nowhere(self, server: LocalEndpoints, llm: Any, ask: Way) -> None:
        with listening() as events:
            ask(llm, HELLO)

        shown = [repr(llm), str(llm), str(llm.to_dict()), str(llm.to_payload()), str(llm.metadata)]
        assert server.api_key not in " ".join([*shown, *(str(event) for event in events.seen)])

    def test_key_is_in_no_pickle(self, server: LocalEndpoints, llm: Any) -> None:
        assert server.api_key.encode() not in pickle.dumps(llm)

    def test_payload_names_model_and_temperature(self, llm: Any) -> None:
        assert llm.to_payload()["model"] == "gpt-oss-120b"
        assert "temperature" in llm.to_payload()

    def test_unknown_argument_is_an_error(self, server: LocalEndpoints) -> None:
        with pytest.raises((TypeError, ValueError), match="temprature"):
            self.make(server, temprature=0.5)

    def test_works_without_a_key(self, server: LocalEndpoints) -> None:
        self.make(server, api_key="").chat(HELLO)

        assert "authorization" not in server.requests[-1].headers

    def test_settings_of_another_service_have_no_effect(
        self, server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-service")
        monkeypatch.setenv("OPENAI_API_BASE", "http://127.0.0.1:9/v1")
        monkeypatch.setenv("OPENAI_ORG_ID", "org-of-another-service")
        monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-another-service")

        self.make(server).chat(HELLO)

        assert "of-another-service" not in str(server.requests[-1].headers)
