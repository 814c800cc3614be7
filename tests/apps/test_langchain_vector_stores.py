"""Our embeddings in LangChain's vector stores, and our chat model in chains over these."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import langchain_stores
import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_core.vectorstores import VectorStore
from postgres import postgres

from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints import EmbeddingsInterruptedError
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = [
    pytest.mark.timeout(60),  # the first test of a store imports it, and starts its database
    pytest.mark.usefixtures("environ"),
    # What is left of LangChain for FAISS and LanceDB is in this package.
    pytest.mark.filterwarnings("ignore:`langchain-community` is being sunset:DeprecationWarning"),
]
THINGS = ("river", "mountain", "city", "forest", "desert", "island")
TEXTS = [f"The {THINGS[number % 6]} of number {number} is in country {number * 7}." for number in range(60)]
IDS = [str(uuid5(NAMESPACE_URL, text)) for text in TEXTS]
METADATA = [{"parity": "odd" if number % 2 else "even"} for number in range(60)]
PROMPT = ChatPromptTemplate.from_template("Context:\n{context}\n\nQuestion: {question}")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as address:
        yield address


@dataclass
class Case:
    """A store with its texts in it.

    Attributes:
        extra: requests that the store makes by itself when it is opened, to learn the width of a vector.
    """

    name: str
    place: str
    store: VectorStore
    extra: int

    def close(self) -> None:
        langchain_stores.close_store(self.name, self.place, self.store)


@pytest.fixture(params=langchain_stores.NAMES)
def empty(request: pytest.FixtureRequest, environ: LocalEndpoints, tmp_path: Path) -> Iterator[Case]:
    name = request.param
    place = f"{request.getfixturevalue('database')}#{uuid4().hex}" if name == "postgres" else str(tmp_path / "store")
    case = Case(
        name, place, langchain_stores.open_store(name, place, OVHCloudEmbeddings()), extra=int(name == "qdrant")
    )
    assert len(environ.requests) == case.extra
    environ.requests.clear()
    yield case
    case.close()


@pytest.fixture
def full(empty: Case, server: LocalEndpoints) -> Case:
    add_all(empty.store)
    server.requests.clear()
    return empty


def add_all(store: VectorStore, *, awaited: bool = False) -> None:
    metadata = [dict(one) for one in METADATA]  # since some stores write into them
    if awaited:
        asyncio.run(store.aadd_texts(TEXTS, metadata, ids=IDS))
    else:
        store.add_texts(TEXTS, metadata, ids=IDS)


def sizes(server: LocalEndpoints) -> list[int]:
    """How many texts there were in each request for vectors."""
    return sorted(len(one.json["input"]) for one in server.requests if one.path == "/v1/embeddings")


def texts(documents: list[Document]) -> list[str]:
    return [document.page_content for document in documents]


class TestStores:
    @pytest.mark.parametrize("awaited", [False, True])
    def test_take_sixty_texts_in_three_requests(self, server: LocalEndpoints, empty: Case, awaited: bool) -> None:
        add_all(empty.store, awaited=awaited)

        assert sizes(server) == [10, 25, 25]
        assert sorted(text for one in server.requests for text in one.json["input"]) == sorted(TEXTS)
        assert sorted(texts(empty.store.similarity_search("number", k=60))) == sorted(TEXTS)

    @pytest.mark.parametrize("awaited", [False, True])
    def test_find_each_text_by_itself(self, server: LocalEndpoints, full: Case, awaited: bool) -> None:
        for text in TEXTS[::10]:
            found = (
                asyncio.run(full.store.asimilarity_search(text, k=1))
                if awaited
                else full.store.similarity_search(text, k=1)
            )
            assert texts(found) == [text]

        assert sizes(server) == [1] * 6

    @pytest.mark.parametrize("awaited", [False, True])
    def test_give_scores_that_order_the_texts(self, full: Case, awaited: bool) -> None:
        found = (
            asyncio.run(full.store.asimilarity_search_with_score(TEXTS[7], k=5))
            if awaited
            else full.store.similarity_search_with_score(TEXTS[7], k=5)
        )

        scores = [score for _, score in found]
        is_similarity = full.name == "qdrant"
        assert found[0][0].page_content == TEXTS[7]
        assert scores[0] == pytest.approx(float(is_similarity), abs=1e-5)
        assert scores == sorted(scores, reverse=is_similarity)
        assert len(set(scores)) > 1

    def test_find_only_what_a_filter_lets_through(self, full: Case) -> None:
        found = full.store.similarity_search(TEXTS[7], k=30, **langchain_stores.even(full.name))

        assert found
        assert {document.metadata["parity"] for document in found} == {"even"}

    @pytest.mark.parametrize("awaited", [False, True])
    def test_find_texts_that_differ(self, server: LocalEndpoints, empty: Case, awaited: bool) -> None:
        near = ["The river is long and wide", "The river is long and wide.", "A mountain and the river"]
        ids = [str(uuid5(NAMESPACE_URL, text)) for text in near]
        empty.store.add_texts(near, [{"parity": "odd"} for _ in near], ids=ids)
        server.requests.clear()
        # langchain-qdrant takes this number the other way round, and langchain-postgres takes 0 for its default.
        options = {"k": 2, "fetch_k": 3, "lambda_mult": 0.9 if empty.name == "qdrant" else 0.1}

        found = (
            asyncio.run(empty.store.amax_marginal_relevance_search(near[0], **options))
            if awaited
            else empty.store.max_marginal_relevance_search(near[0], **options)
        )

        assert texts(found) == [near[0], near[2]]
        assert sizes(server) == [1] * (1 + empty.extra)  # it learns the width again

    def test_forget_what_is_deleted(self, server: LocalEndpoints, full: Case) -> None:
        full.store.delete(IDS[:30])

        assert sizes(server) == []
        assert sorted(texts(full.store.similarity_search("number", k=60))) == sorted(TEXTS[30:])

    def test_take_another_text_under_the_same_id(self, server: LocalEndpoints, full: Case) -> None:
        if full.name in {"faiss", "lancedb"}:  # which have no update
            full.store.delete([IDS[3]])
        full.store.add_texts(["A volcano erupts"], [{"parity": "odd"}], ids=[IDS[3]])

        found = texts(full.store.similarity_search("number", k=61))
        assert sizes(server) == [1, 1]
        assert "A volcano erupts" in found
        assert TEXTS[3] not in found
        assert len(found) == 60

    @pytest.mark.timeout(100)  # a process imports all stores
    def test_are_read_by_another_process_without_embedding_again(self, server: LocalEndpoints, full: Case) -> None:
        if full.name != "postgres":
            full.close()

        done = subprocess.run(
            [sys.executable, langchain_stores.__file__, full.name, full.place, TEXTS[8]],
            env=os.environ | server.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )

        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [TEXTS[8], "even"]
        assert sizes(server) == [1] * (1 + full.extra)


class TestChains:
    @pytest.fixture
    def chain(self, full: Case) -> Runnable[str, str]:
        retriever = full.store.as_retriever(search_kwargs={"k": 2})
        model = ChatOVHCloud(model="gpt-oss-120b")
        return {"context": retriever | joined, "question": RunnablePassthrough()} | PROMPT | model | StrOutputParser()

    @pytest.mark.parametrize("awaited", [False, True])
    def test_answer_from_what_was_found(self, server: LocalEndpoints, chain: Runnable[str, str], awaited: bool) -> None:
        server.reply("In country 56.", reasoning="It says so.")

        answer = asyncio.run(chain.ainvoke(TEXTS[8])) if awaited else chain.invoke(TEXTS[8])

        assert answer == "In country 56."
        assert f"Context:\n{TEXTS[8]}" in server.requests[-1].json["messages"][0]["content"]
        assert sizes(server) == [1]

    def test_stream(self, server: LocalEndpoints, chain: Runnable[str, str]) -> None:
        server.reply("In country 56.", reasoning="It says so.")

        assert [text for text in chain.stream(TEXTS[8]) if text] == ["In", " country", " 56."]

    @pytest.mark.parametrize("awaited", [False, True])
    def test_answer_many_questions_in_order(
        self, server: LocalEndpoints, chain: Runnable[str, str], awaited: bool
    ) -> None:
        asked = TEXTS[:12]

        answers = asyncio.run(chain.abatch(asked)) if awaited else chain.batch(asked)

        prompts = [one.json["messages"][0]["content"] for one in server.requests if "messages" in one.json]
        assert len(answers) == len(asked)
        assert sizes(server) == [1] * 12
        assert sorted(prompts) == sorted(prompt for prompt in prompts if found_is_asked(prompt))


def joined(documents: list[Document]) -> str:
    return "\n".join(texts(documents))


def found_is_asked(prompt: str) -> bool:
    """Whether the nearest text is the question itself, as it has to be."""
    return prompt.splitlines()[1] == prompt.rpartition("Question: ")[2]


class TestFailures:
    @pytest.mark.parametrize("awaited", [False, True])
    def test_in_the_middle_tell_what_is_done_and_what_is_left(
        self, server: LocalEndpoints, empty: Case, awaited: bool
    ) -> None:
        server.reply(status=400, body={"message": "not this time"}, until=lambda: len(server.requests) >= 3)

        with pytest.raises(EmbeddingsInterruptedError, match="not this time") as raised:
            add_all(empty.store, awaited=awaited)

        error = raised.value
        assert error.status == 400
        assert sorted([*error.vectors, *error.remaining]) == list(range(60))
        assert len(error.remaining) in {10, 25}
        assert all(error.remaining[place] == TEXTS[place] for place in error.remaining)
        assert {len(vector) for vector in error.vectors.values()} == {langchain_stores.WIDTH}

    def test_leave_a_store_as_it_was(self, server: LocalEndpoints, empty: Case) -> None:
        empty.store.add_texts(TEXTS[:1], [dict(METADATA[0])], ids=IDS[:1])
        server.reply(status=400, until=lambda: len(server.requests) >= 4)
        with pytest.raises(EmbeddingsInterruptedError):
            empty.store.add_texts(TEXTS[1:], [*map(dict, METADATA[1:])], ids=IDS[1:])

        assert texts(empty.store.similarity_search("number", k=60)) == TEXTS[:1]

    def test_that_pass_are_not_seen(self, server: LocalEndpoints, empty: Case) -> None:
        server.reply(status=503)

        add_all(empty.store)

        assert len(server.requests) == 4
        assert sorted(texts(empty.store.similarity_search("number", k=60))) == sorted(TEXTS)


class TestWidths:
    @pytest.mark.parametrize("name", langchain_stores.NAMES)
    def test_of_a_model_may_be_chosen_for_the_store(
        self, request: pytest.FixtureRequest, server: LocalEndpoints, tmp_path: Path, name: str
    ) -> None:
        place = f"{request.getfixturevalue('database')}#{uuid4().hex}" if name == "postgres" else str(tmp_path)
        embeddings = OVHCloudEmbeddings(model="Qwen3-Embedding-8B", dimensions=96)
        store = langchain_stores.open_store(name, place, embeddings, 96)

        add_all(store)
        found = store.similarity_search(TEXTS[9], k=1)
        langchain_stores.close_store(name, place, store)

        assert texts(found) == [TEXTS[9]]
        assert {one.json["dimensions"] for one in server.requests} == {96}
        assert {one.json["model"] for one in server.requests} == {"Qwen3-Embedding-8B"}


def key_of(document: Document) -> str:
    return str(uuid5(NAMESPACE_URL, document.page_content))


class TestIndexing:
    """LangChain's `index`, which remembers what is in a store."""

    def test_embeds_only_what_changed(self, server: LocalEndpoints, empty: Case) -> None:
        records = InMemoryRecordManager(namespace="texts")
        records.create_schema()

        def run(changed: dict[int, str]) -> Any:
            documents = [
                Document(changed.get(number, text), metadata={"source": str(number), **METADATA[number]})
                for number, text in enumerate(TEXTS)
            ]
            return index(documents, records, empty.store, cleanup="full", source_id_key="source", key_encoder=key_of)

        first = run({})
        assert (first["num_added"], sizes(server)) == (60, [10, 25, 25])
        server.requests.clear()
        second = run({5: "A volcano erupts"})

        assert (second["num_added"], second["num_skipped"], second["num_deleted"]) == (1, 59, 1)
        assert [one.json["input"] for one in server.requests] == [["A volcano erupts"]]
