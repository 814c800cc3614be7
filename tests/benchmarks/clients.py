"""The classes that are compared, made with the arguments that their users would pass, and the floors under them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from canned import MODEL, TEXT

KEY = "key"
BODY: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Tell me about the sea."}]}
TOKENS = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}

# How to make each class that is compared, from the URL of the service.


def chat_ovhcloud(url: str, **more: Any) -> Any:
    from langchain_ovhcloud import ChatOVHCloud

    return ChatOVHCloud(model=MODEL, api_key=KEY, base_url=f"{url}/v1", **more)


def chat_openai(url: str) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=MODEL, api_key=KEY, base_url=f"{url}/v1")


def chat_mistral_ai(url: str) -> Any:
    from langchain_mistralai import ChatMistralAI

    return ChatMistralAI(model=MODEL, api_key=KEY, endpoint=f"{url}/v1")


def chat_groq(url: str) -> Any:
    from langchain_groq import ChatGroq

    return ChatGroq(model=MODEL, api_key=KEY, base_url=url)


def chat_litellm(url: str) -> Any:
    from langchain_litellm import ChatLiteLLM

    return ChatLiteLLM(model=f"openai/{MODEL}", api_key=KEY, api_base=f"{url}/v1")


def embeddings_ovhcloud(url: str, **more: Any) -> Any:
    from langchain_ovhcloud import OVHCloudEmbeddings

    return OVHCloudEmbeddings(api_key=KEY, base_url=f"{url}/v1", batch_size=25, **more)


def openai_embeddings(url: str) -> Any:
    from langchain_openai import OpenAIEmbeddings

    return OpenAIEmbeddings(
        model="bge-m3", api_key=KEY, base_url=f"{url}/v1", chunk_size=25, check_embedding_ctx_length=False
    )


def llama_ovhcloud(url: str, **more: Any) -> Any:
    from llama_index_ovhcloud import ChatOVHCloud

    return ChatOVHCloud(model=MODEL, api_key=KEY, api_base=f"{url}/v1", **more)


def incumbent(url: str) -> Any:
    from llama_index.llms.ovhcloud import OVHcloud

    return OVHcloud(model=MODEL, api_key=KEY, api_base=f"{url}/v1")


def openai_like(url: str) -> Any:
    from llama_index.llms.openai_like import OpenAILike

    return OpenAILike(
        model=MODEL, api_key=KEY, api_base=f"{url}/v1", is_chat_model=True, is_function_calling_model=True
    )


def llama_embeddings_ovhcloud(url: str, **more: Any) -> Any:
    from llama_index_ovhcloud import OVHCloudEmbeddings

    return OVHCloudEmbeddings(api_key=KEY, api_base=f"{url}/v1", embed_batch_size=25, **more)


def openai_like_embedding(url: str) -> Any:
    from llama_index.embeddings.openai_like import OpenAILikeEmbedding

    return OpenAILikeEmbedding(model_name="bge-m3", api_key=KEY, api_base=f"{url}/v1", embed_batch_size=25)


# The floors: a bare request, and each framework's own machinery round an answer that is ready made.


def bare_httpx(url: str) -> Callable[[], str]:
    import httpx

    session = httpx.Client()

    def call() -> str:
        answer = session.post(f"{url}/v1/chat/completions", json=BODY).json()
        return str(answer["choices"][0]["message"]["content"])

    return call


def bare_httpcore(url: str) -> Callable[[], str]:
    import httpcore

    pool = httpcore.ConnectionPool()

    def call() -> str:
        response = pool.request("POST", f"{url}/v1/chat/completions", content=json.dumps(BODY).encode())
        return str(json.loads(response.content)["choices"][0]["message"]["content"])

    return call


def over_httpx(url: str) -> Any:
    """The least that a chat model over httpx can do: it reads the text of a stream, and nothing else."""
    import httpx
    from langchain_core.messages import AIMessageChunk
    from langchain_core.outputs import ChatGenerationChunk

    session = httpx.Client()

    class OverHttpx(type(langchain_floor([]))):  # type: ignore[misc]
        def _stream(self, *_: Any, run_manager: Any = None, **__: Any) -> Iterator[ChatGenerationChunk]:
            body = {**BODY, "stream": True}
            with session.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
                for line in response.iter_lines():
                    if line.startswith("data: {") and (choices := json.loads(line[6:])["choices"]):
                        text = choices[0]["delta"].get("content") or ""
                        chunk = ChatGenerationChunk(message=AIMessageChunk(content=text))
                        if run_manager:
                            run_manager.on_llm_new_token(text, chunk=chunk)
                        yield chunk

    return OverHttpx()


def langchain_floor(chunks: list[str]) -> Any:
    """A chat model that answers at once, with a chunk for each of these texts when it streams."""
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

    def answer() -> ChatResult:
        message = AIMessage(
            content=TEXT,
            response_metadata={"model_name": MODEL, "finish_reason": "stop", "token_usage": dict(TOKENS)},
            usage_metadata={"input_tokens": 5, "output_tokens": 7, "total_tokens": 12},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    class Floor(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "floor"

        def _generate(self, *_: Any, **__: Any) -> ChatResult:
            return answer()

        async def _agenerate(self, *_: Any, **__: Any) -> ChatResult:
            return answer()

        def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
            for text in chunks:
                yield ChatGenerationChunk(message=AIMessageChunk(content=text))

    return Floor()


def llama_index_floor(chunks: list[str]) -> Any:
    """An LLM that answers at once, with a response for each of these texts when it streams."""
    from llama_index.core.base.llms.types import (
        ChatMessage,
        ChatResponse,
        CompletionResponse,
        LLMMetadata,
        MessageRole,
        TextBlock,
    )
    from llama_index.core.llms.callbacks import llm_chat_callback
    from llama_index.core.llms.custom import CustomLLM

    class Floor(CustomLLM):
        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata(is_chat_model=True)

        @llm_chat_callback()
        def chat(self, messages: Any, **_: Any) -> ChatResponse:
            return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=TEXT)]))

        @llm_chat_callback()
        async def achat(self, messages: Any, **_: Any) -> ChatResponse:
            return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=TEXT)]))

        @llm_chat_callback()
        def stream_chat(self, messages: Any, **_: Any) -> Any:
            def responses() -> Iterator[ChatResponse]:
                said = ""
                for text in chunks:
                    said += text
                    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=said)])
                    yield ChatResponse(message=message, delta=text)

            return responses()

        def complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:
            return CompletionResponse(text=TEXT)

        def stream_complete(self, prompt: str, formatted: bool = False, **_: Any) -> Any:
            raise NotImplementedError

    return Floor()


BARE = {"httpx": bare_httpx, "httpcore": bare_httpcore}
CHATS: dict[str, Callable[..., Any]] = {
    "ChatOVHCloud": chat_ovhcloud,
    "ChatOVHCloud, merge_deltas=False": lambda url: chat_ovhcloud(url, merge_deltas=False),
    "ChatOVHCloud over aiohttp": lambda url: chat_ovhcloud(url, http_backend="aiohttp"),
    "ChatOpenAI": chat_openai,
    "ChatMistralAI": chat_mistral_ai,
    "ChatGroq": chat_groq,
    "ChatLiteLLM": chat_litellm,
    "the least over httpx": over_httpx,
}
LLMS: dict[str, Callable[..., Any]] = {
    "ChatOVHCloud": llama_ovhcloud,
    "ChatOVHCloud over aiohttp": lambda url: llama_ovhcloud(url, http_backend="aiohttp"),
    "OVHcloud": incumbent,
    "OpenAILike": openai_like,
}
EMBEDDINGS: dict[str, Callable[..., Any]] = {
    "OVHCloudEmbeddings": embeddings_ovhcloud,
    "OpenAIEmbeddings": openai_embeddings,
}
LLAMA_EMBEDDINGS: dict[str, Callable[..., Any]] = {
    "OVHCloudEmbeddings": llama_embeddings_ovhcloud,
    "OpenAILikeEmbedding": openai_like_embedding,
}
