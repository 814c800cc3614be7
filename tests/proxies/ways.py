"""The ways in which both frameworks ask: whole answers, streams and vectors, blocking and awaited."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from llama_index.core.llms import ChatMessage

import langchain_ovhcloud
import llama_index_ovhcloud
from ovhcloud_ai_endpoints.testing._stand_in import NOTHING_TO_QUOTE

CORPUS = [f"Document {at}: {'word ' * (at % 10)}" for at in range(200)]
TEXTS = 30  # in a run: more than one request holds
API_KEY = "local-key"
Kind = Literal["whole", "stream", "vectors"]


@dataclass(frozen=True)
class Service:
    """How the classes reach the service, and what it says.

    Attributes:
        port: of the first hop, to which this process has connections.
        urls: for kinds of calls that have a URL of their own.
        options: arguments of all classes.
        says: what calls of a kind are answered, if not by the stand-in's rules.
        words: in a question, at most.
    """

    base_url: str
    port: int
    options: Mapping[str, Any] = field(default_factory=dict)
    urls: Mapping[Kind, str] = field(default_factory=dict)
    says: Mapping[Kind, str] = field(default_factory=dict)
    words: int = 30

    def at(self, path: str, kind: Kind, *, says: str | None = None) -> "Service":
        """The same, with calls of a kind to a path of its own, where another origin may say something else."""
        url = self.base_url.removesuffix("/v1") + f"/{path}/v1"
        said = {} if says is None else {kind: says}
        return replace(self, urls={**self.urls, kind: url}, says={**self.says, **said})

    def with_options(self, **options: Any) -> "Service":
        """The same, with more arguments of all classes."""
        return replace(self, options={**self.options, **options})

    def arguments(self, kind: Kind) -> dict[str, Any]:
        return {"base_url": self.urls.get(kind, self.base_url), **self.options}


def reached(port: int, *, scheme: str = "http", host: str = "127.0.0.1", **options: Any) -> Service:
    """What answers on a port."""
    return Service(f"{scheme}://{host}:{port}/v1", port, {"api_key": API_KEY, **options})


@dataclass(frozen=True)
class Way:
    """One method of one class."""

    name: str
    kind: Kind
    call: Callable[[Any], Any]


class Objects:
    """An object of each class for each kind of call, as an app would have them."""

    def __init__(self, service: Service) -> None:
        whole, stream, vectors = (service.arguments(kind) for kind in ("whole", "stream", "vectors"))
        self._whole = langchain_ovhcloud.ChatOVHCloud(model="gpt-oss-120b", **whole)
        self._stream = langchain_ovhcloud.ChatOVHCloud(model="gpt-oss-120b", **stream)
        self._vectors = langchain_ovhcloud.OVHCloudEmbeddings(**vectors)
        self._whole_llm = llama_index_ovhcloud.ChatOVHCloud(model="gpt-oss-120b", **whole)
        self._stream_llm = llama_index_ovhcloud.ChatOVHCloud(model="gpt-oss-120b", **stream)
        self._vectors_llm = llama_index_ovhcloud.OVHCloudEmbeddings(**vectors)

    def blocking(self) -> list[Way]:
        return [
            Way("invoke", "whole", lambda question: self._whole.invoke(question).text),
            Way("stream", "stream", lambda question: "".join(chunk.text for chunk in self._stream.stream(question))),
            Way("embed_documents", "vectors", self._vectors.embed_documents),
            Way("chat", "whole", lambda question: self._whole_llm.chat([ChatMessage(question)]).message.content),
            Way("stream_chat", "stream", self._stream_chat),
            Way("get_text_embedding_batch", "vectors", self._vectors_llm.get_text_embedding_batch),
        ]

    def awaited(self) -> list[Way]:
        return [
            Way("ainvoke", "whole", self._ainvoke),
            Way("astream", "stream", self._astream),
            Way("aembed_documents", "vectors", self._vectors.aembed_documents),
            Way("achat", "whole", self._achat),
            Way("astream_chat", "stream", self._astream_chat),
            Way("aget_text_embedding_batch", "vectors", self._vectors_llm.aget_text_embedding_batch),
        ]

    def close(self) -> None:
        for one in (self._whole, self._stream, self._vectors, self._whole_llm, self._stream_llm, self._vectors_llm):
            one.close()

    def _stream_chat(self, question: str) -> str:
        return "".join(piece.delta or "" for piece in self._stream_llm.stream_chat([ChatMessage(question)]))

    async def _ainvoke(self, question: str) -> str:
        return str((await self._whole.ainvoke(question)).text)

    async def _astream(self, question: str) -> str:
        return "".join([chunk.text async for chunk in self._stream.astream(question)])

    async def _achat(self, question: str) -> str | None:
        return (await self._whole_llm.achat([ChatMessage(question)])).message.content

    async def _astream_chat(self, question: str) -> str:
        pieces = await self._stream_llm.astream_chat([ChatMessage(question)])
        return "".join([piece.delta or "" async for piece in pieces])


class Questions:
    """Random questions and lists of texts, with the right answers."""

    def __init__(self, service: Service, vectors: Mapping[str, list[float]], seed: int) -> None:
        self._service = service
        self._vectors = vectors
        self._chance = random.Random(seed)

    def ask(self, kind: Kind) -> tuple[Any, Any]:
        """What to ask, and what must be answered."""
        if kind == "vectors":
            texts = self._chance.sample(CORPUS, TEXTS)
            return texts, [self._vectors[text] for text in texts]
        words = [f"{self._chance.getrandbits(40):x}" for _ in range(self._chance.randint(1, self._service.words))]
        question = f"Repeat {' '.join(words)}"
        return question, self._service.says.get(kind, NOTHING_TO_QUOTE + question)
