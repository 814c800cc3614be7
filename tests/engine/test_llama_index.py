"""LlamaIndex's classes with default settings on a real engine."""

import asyncio
from typing import Any

import pytest
from engines import Engine
from llama_index.core.base.llms.types import ImageBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from models_of_tests import PIXEL, City, get_weather
from waiting import eventually

from llama_index_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import BadRequestError, ContextOverflowError, NotFoundError

QUESTION = "What is the capital of France?"
ASKED = [ChatMessage(QUESTION)]
TOOL = FunctionTool.from_defaults(get_weather)
SEEDS = range(5)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* is not in the catalogue"),
    pytest.mark.filterwarnings("ignore:.* reasoned without answering"),  # as chance has it
]


def on(found: Engine, **options: Any) -> ChatOVHCloud:
    known = {"context_window": 2048, "is_function_calling_model": True}
    return ChatOVHCloud(model=found.model, base_url=found.base_url, api_key="", **{**known, **options})


class TestRealWeights:
    @pytest.fixture
    def llm(self, smollm2: Engine) -> ChatOVHCloud:
        return on(smollm2, temperature=0)

    def test_answer(self, llm: ChatOVHCloud) -> None:
        answer = llm.chat(ASKED)

        assert answer.message.content == "The capital of France is Paris."
        assert answer.additional_kwargs["prompt_tokens"] == 37
        assert answer.additional_kwargs["completion_tokens"] == 8

    async def test_answer_when_awaited(self, llm: ChatOVHCloud) -> None:
        assert (await llm.achat(ASKED)).message.content == "The capital of France is Paris."

    def test_stream(self, llm: ChatOVHCloud) -> None:
        *begun, last = llm.stream_chat(ASKED)

        assert len(begun) > 3
        assert "".join(one.delta or "" for one in [*begun, last]) == "The capital of France is Paris."
        assert last.message.content == "The capital of France is Paris."
        assert last.additional_kwargs["completion_tokens"] == 8

    async def test_stream_when_awaited(self, llm: ChatOVHCloud) -> None:
        deltas = [one.delta or "" async for one in await llm.astream_chat(ASKED)]

        assert "".join(deltas) == "The capital of France is Paris."

    def test_completion(self, llm: ChatOVHCloud) -> None:
        assert llm.complete(QUESTION).text == "The capital of France is Paris."

    def test_object(self, llm: ChatOVHCloud) -> None:
        prompt = PromptTemplate("Paris is in France. Give the city.")

        assert llm.structured_predict(City, prompt) == City(name="Paris", country="France")

    async def test_two_hundred_at_once(self, llm: ChatOVHCloud) -> None:
        answers = await asyncio.gather(*[llm.achat(ASKED) for _ in range(200)])

        assert all("Paris" in (answer.message.content or "") for answer in answers)

    def test_overflow(self, llm: ChatOVHCloud) -> None:
        with pytest.raises(ContextOverflowError, match="maximum context length is 2048 tokens"):
            llm.complete("word " * 3000)
        with pytest.raises(ContextOverflowError):
            list(llm.stream_complete("word " * 3000))

    def test_unknown_model(self, smollm2: Engine) -> None:
        with pytest.raises(NotFoundError, match="`nothing` does not exist"):
            ChatOVHCloud(model="nothing", base_url=smollm2.base_url, api_key="").complete(QUESTION)

    def test_image(self, llm: ChatOVHCloud) -> None:
        with pytest.raises(BadRequestError, match="not a multimodal model"):
            llm.chat([ChatMessage(blocks=[ImageBlock(image=PIXEL.encode(), image_mimetype="image/png")])])

    def test_stream_that_is_left_stops_in_the_engine(self, smollm2: Engine) -> None:
        llm = on(smollm2, max_tokens=1900, additional_kwargs={"ignore_eos": True})
        stream = llm.stream_complete("Tell me a very long story.")
        for _ in range(3):
            next(stream)
        assert smollm2.running() == 1
        stream.close()

        assert eventually(lambda: smollm2.running() == 0, seconds=10)


class TestThoughts:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_are_blocks_of_their_own(self, qwen3: Engine, seed: int) -> None:
        llm = on(qwen3, seed=seed, max_tokens=300)
        whole, streamed = llm.chat(ASKED).message, list(llm.stream_chat(ASKED))[-1].message

        for message in (whole, streamed):
            assert thoughts(message)
            assert "think>" not in thoughts(message)
            assert message.content
        # In a whole answer the engine drops each token that ends a thought, and in a stream the first.
        assert (streamed.content or "").replace("</think>", "") == whole.content
        assert thoughts(streamed) == thoughts(whole)


class TestTools:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_required(self, qwen3: Engine, seed: int) -> None:
        llm = on(qwen3, seed=seed, max_tokens=400)
        whole = llm.chat_with_tools([TOOL], user_msg="Hello", tool_required=True)
        streamed = list(llm.stream_chat_with_tools([TOOL], user_msg="Hello", tool_required=True))[-1]

        for answer in (whole, streamed):
            assert {name for name, _ in calls_of(answer)} == {"get_weather"} or is_cut(answer)

    def test_auto_leaves_it_to_the_model(self, qwen3: Engine) -> None:
        answer = on(qwen3, seed=1, max_tokens=100).chat_with_tools([TOOL], user_msg="Hello")

        assert calls_of(answer) == []
        assert answer.message.blocks


class TestObjects:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_are_of_the_class(self, qwen3: Engine, seed: int) -> None:
        assert isinstance(on(qwen3, seed=seed).structured_predict(City, PromptTemplate("Hello")), City)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_grow_in_a_stream(self, qwen3: Engine, seed: int) -> None:
        found = list(on(qwen3, seed=seed).stream_structured_predict(City, PromptTemplate("Hello")))

        assert isinstance(found[-1], City)


def thoughts(message: ChatMessage) -> str:
    return "".join(block.content or "" for block in message.blocks if isinstance(block, ThinkingBlock))


def is_cut(answer: Any) -> bool:
    """Whether it met max_tokens: then the engine gives the calls before it as text, or not at all."""
    return bool(answer.raw["choices"][0]["finish_reason"] == "length")


def calls_of(answer: Any) -> list[Any]:
    blocks = answer.message.blocks
    return [(one.tool_name, one.tool_kwargs) for one in blocks if isinstance(one, ToolCallBlock)]
