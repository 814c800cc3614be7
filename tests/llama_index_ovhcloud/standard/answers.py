"""What a model says, and what is known of it."""

import asyncio
from typing import Any

import pytest
from llama_index.core.base.llms.types import TextBlock, ThinkingBlock
from llama_index.core.llms import ChatMessage, MessageRole

from ovhcloud_ai_endpoints.testing import CUT, LocalEndpoints
from standard.ways import COMPLETE, END, HELLO, USAGE, Counting, Limiter, Suite, Way, listening, piece


class AnswerTests(Suite):
    def test_answer_is_text(self, server: LocalEndpoints, llm: Any, ask: Way) -> None:
        server.reply("Hello you,\n how are you?")

        message = ask(llm, HELLO)[-1].message

        assert message.role.value == "assistant"
        assert message.content == "Hello you,\n how are you?"
        assert [type(block) for block in message.blocks] == [TextBlock]

    def test_stream_is_cumulative(self, server: LocalEndpoints, llm: Any, stream: Way) -> None:
        server.reply("One two three four")

        responses = stream(llm, HELLO)

        said = ""
        for response in responses:
            said += response.delta or ""
            assert (response.message.content or "") == said
        assert said == "One two three four"
        assert len({response.message.content for response in responses}) >= 4

    def test_reasoning_is_a_thinking_block(self, server: LocalEndpoints, llm: Any, ask: Way) -> None:
        server.reply("Hello you", reasoning="They greet me", usage=USAGE)

        message = ask(llm, HELLO)[-1].message

        assert [block.content for block in message.blocks if isinstance(block, ThinkingBlock)] == ["They greet me"]
        assert message.content == "Hello you"

    def test_reasoning_tokens_are_known(self, server: LocalEndpoints, llm: Any, ask: Way) -> None:
        server.reply("Hello you", reasoning="They greet me", usage=USAGE)

        blocks = ask(llm, HELLO)[-1].message.blocks

        assert [block.num_tokens for block in blocks if isinstance(block, ThinkingBlock)] == [3]

    def test_reasoning_streams_as_thinking_delta(self, server: LocalEndpoints, llm: Any, stream: Way) -> None:
        server.reply("Hello you", reasoning="They greet me")

        responses = stream(llm, HELLO)

        thoughts = [response.additional_kwargs.get("thinking_delta") or "" for response in responses]
        assert "".join(thoughts) == "They greet me"
        assert "".join(response.delta or "" for response in responses) == "Hello you"

    @pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
    def test_first_piece_of_reasoning_is_not_lost(
        self, server: LocalEndpoints, llm: Any, stream: Way, field: str
    ) -> None:
        pieces = [piece({field: "First "}), piece({field: "then"}), piece({"content": "Hi"}, "stop")]
        server.reply(events=[*pieces, END])

        blocks = stream(llm, HELLO)[-1].message.blocks

        assert [block.content for block in blocks if isinstance(block, ThinkingBlock)] == ["First then"]

    def test_tokens_are_counted_as_the_service_counts(self, server: LocalEndpoints, ask: Way) -> None:
        counting = Counting()
        server.reply("Hello you", reasoning="They greet me", usage=USAGE)

        ask(self.make(server, callback_manager=counting.callback_manager), HELLO)

        assert counting.counts == [(10, 7)]

    @pytest.mark.parametrize("way", COMPLETE)
    def test_tokens_of_a_completion_are_counted_once(self, server: LocalEndpoints, way: str) -> None:
        counting = Counting()
        server.reply("Hello you", usage=USAGE)

        COMPLETE[way](self.make(server, callback_manager=counting.callback_manager), "Hello")

        assert counting.counts == [(10, 7)]

    @pytest.mark.parametrize("way", COMPLETE)
    def test_completion_is_the_chat_answer(self, server: LocalEndpoints, llm: Any, way: str) -> None:
        server.reply("Hello you", reasoning="They greet me", usage=USAGE)

        responses = COMPLETE[way](llm, "Hello")

        assert responses[-1].text == "Hello you"
        if "stream" in way:
            assert "".join(response.delta or "" for response in responses) == "Hello you"
        assert server.requests[-1].json["messages"] == [{"role": "user", "content": "Hello"}]

    def test_raw_has_usage_finish_reason_and_model(self, server: LocalEndpoints, llm: Any, ask: Way) -> None:
        server.reply("Hello you", usage=USAGE)

        raw = ask(llm, HELLO)[-1].raw

        raw = raw if isinstance(raw, dict) else raw.model_dump()
        assert raw["usage"]["total_tokens"] == 17
        assert raw["choices"][0]["finish_reason"] == "stop"
        assert raw["model"]

    def test_log_probabilities_are_there(self, server: LocalEndpoints, ask: Way) -> None:
        logprobs = {"content": [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]}
        said = {"role": "assistant", "content": "Hi"}
        choice = {"index": 0, "message": said, "delta": said, "logprobs": logprobs, "finish_reason": "stop"}
        answer = {"id": "c", "created": 1, "model": "m", "choices": [choice]}
        llm = self.make(server)
        server.reply(**({"events": [answer, END]} if ask.streams else {"body": answer}))

        found = ask(llm, HELLO, logprobs=True)[-1].logprobs

        assert [[choice.token for choice in token] for token in found or []] == [["Hi"]]

    def test_call_is_one_event(self, server: LocalEndpoints, llm: Any, ask: Way) -> None:
        with listening() as events:
            ask(llm, HELLO)

        assert events.named("StartEvent") == ["LLMChatStartEvent"]
        assert events.named("EndEvent") == ["LLMChatEndEvent"]

    @pytest.mark.parametrize("way", COMPLETE)
    def test_completion_is_one_event(self, llm: Any, way: str) -> None:
        with listening() as events:
            COMPLETE[way](llm, "Hello")

        assert events.named("StartEvent") == ["LLMCompletionStartEvent"]

    def test_limiter_is_asked_once(self, server: LocalEndpoints, ask: Way) -> None:
        limiter = Limiter()

        ask(self.make(server, rate_limiter=limiter), HELLO)

        assert limiter.acquired == 1

    @pytest.mark.parametrize("way", COMPLETE)
    def test_limiter_is_asked_once_for_a_completion(self, server: LocalEndpoints, way: str) -> None:
        limiter = Limiter()

        COMPLETE[way](self.make(server, rate_limiter=limiter), "Hello")

        assert limiter.acquired == 1

    def test_streams_at_the_same_time_do_not_mix(self, server: LocalEndpoints, llm: Any) -> None:
        server.reply("One two three")
        first = llm.stream_chat(HELLO)
        said = [next(first)]
        server.reply("Uno due tre")
        second = list(llm.stream_chat(HELLO))
        said += list(first)

        assert said[-1].message.content == "One two three"
        assert second[-1].message.content == "Uno due tre"

    def test_stream_that_is_cut_raises(self, server: LocalEndpoints, stream: Way) -> None:
        server.reply(events=[piece({"content": "half an"}), CUT])

        with pytest.raises(Exception):  # noqa: B017, PT011 - each provider has errors of its own
            stream(self.make(server, max_retries=0), HELLO)

    def test_stream_that_ends_early_raises(self, server: LocalEndpoints, stream: Way) -> None:
        server.reply(events=[piece({"content": "half an"})])

        with pytest.raises(Exception):  # noqa: B017, PT011 - as above
            stream(self.make(server, max_retries=0), HELLO)

    def test_error_within_a_stream_raises(self, server: LocalEndpoints, stream: Way) -> None:
        server.reply(events=[piece({"content": "Hi"}), {"error": {"message": "out of memory", "code": 500}}])

        with pytest.raises(Exception, match="out of memory"):
            stream(self.make(server, max_retries=0), HELLO)

    @pytest.mark.parametrize("retries", [0, 2])
    def test_retries_are_as_many_as_asked_for(self, server: LocalEndpoints, ask: Way, retries: int) -> None:
        server.reply(status=500, headers={"Retry-After": "0"}, times=20)

        with pytest.raises(Exception):  # noqa: B017, PT011 - as above
            ask(self.make(server, max_retries=retries), HELLO)

        assert len(server.requests) == 1 + retries

    def test_roles_are_those_of_the_service(self, server: LocalEndpoints, llm: Any) -> None:
        roles = [MessageRole.DEVELOPER, MessageRole.USER, MessageRole.CHATBOT, MessageRole.USER, MessageRole.MODEL]

        asyncio.run(llm.achat([ChatMessage("x", role=role) for role in roles] + HELLO))

        sent = [message["role"] for message in server.requests[-1].json["messages"]]
        assert sent == ["system", "user", "assistant", "user", "assistant", "user"]

    def test_nothing_is_sent_that_was_not_set(self, server: LocalEndpoints, llm: Any) -> None:
        llm.chat(HELLO)

        assert set(server.requests[-1].json) <= {"model", "messages", "stream"}
