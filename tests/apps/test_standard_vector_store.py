"""The suite of `langchain-tests` for vector stores, with our embeddings inside of five stores.

Each test runs a second time with the suite's own fake embeddings. What a store itself can't do is listed, and must fail
with both.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import faiss
import pytest
from langchain_chroma import Chroma
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore
from langchain_postgres import Column, PGEngine, PGVectorStore
from langchain_qdrant import QdrantVectorStore
from langchain_tests.integration_tests.vectorstores import VectorStoreIntegrationTests
from postgres import postgres

from langchain_ovhcloud import OVHCloudEmbeddings
from ovhcloud_ai_endpoints.testing import LocalEndpoints

# The package says when it is imported that it is being sunset; for FAISS there is no other.
pytestmark = [
    pytest.mark.timeout(60),  # the first test of a store imports it, and starts its database
    pytest.mark.filterwarnings("ignore:`langchain-community` is being sunset:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as address:
        yield address


class Suite(VectorStoreIntegrationTests):
    FAILS: ClassVar[Mapping[str, tuple[type[Exception], str]]] = {}  # awaited too

    @pytest.fixture(params=["ours", "fake"])
    def embeddings(self, request: pytest.FixtureRequest, environ: LocalEndpoints) -> Iterator[Embeddings]:
        if failure := self.FAILS.get(request.node.originalname.removesuffix("_async")):
            request.applymarker(pytest.mark.xfail(raises=failure[0], reason=failure[1], strict=True))
        yield OVHCloudEmbeddings() if request.param == "ours" else self.get_embeddings()
        assert {one.path for one in environ.requests} <= {"/v1/embeddings"}
        assert environ.refusals == []
        assert bool(environ.requests) <= (request.param == "ours")


class TestInMemory(Suite):
    @pytest.fixture
    def vectorstore(self, embeddings: Embeddings) -> VectorStore:
        return InMemoryVectorStore(embeddings)


class TestChroma(Suite):
    @pytest.fixture
    def vectorstore(self, embeddings: Embeddings, tmp_path: Path) -> VectorStore:
        return Chroma(embedding_function=embeddings, persist_directory=str(tmp_path))


class TestQdrant(Suite):
    IDS = (ValueError, "Qdrant takes only numbers and UUIDs as ids")
    METADATA = (AssertionError, "Qdrant adds its own keys to the metadata that it returns")
    FAILS = {
        "test_add_documents": METADATA,
        "test_add_documents_documents": METADATA,
        "test_add_documents_by_id_with_mutation": IDS,
        "test_add_documents_with_existing_ids": IDS,
        "test_add_documents_with_ids_is_idempotent": IDS,
        "test_deleting_bulk_documents": IDS,
        "test_deleting_documents": IDS,
        "test_get_by_ids": IDS,
    }

    @pytest.fixture
    def vectorstore(self, embeddings: Embeddings) -> Iterator[VectorStore]:
        store = QdrantVectorStore.construct_instance(
            embedding=embeddings, client_options={"location": ":memory:"}, collection_name="texts"
        )
        yield store
        store.client.close()


class TestFaiss(Suite):
    DELETING = (ValueError, "FAISS raises for ids that it does not have")
    ADDING = (ValueError, "FAISS raises for ids that it has")
    FAILS = {
        "test_add_documents_by_id_with_mutation": ADDING,
        "test_add_documents_with_ids_is_idempotent": ADDING,
        "test_delete_missing_content": DELETING,
    }

    @pytest.fixture
    def vectorstore(self, embeddings: Embeddings) -> VectorStore:
        from langchain_community.docstore.in_memory import InMemoryDocstore
        from langchain_community.vectorstores import FAISS

        width = len(embeddings.embed_query("a"))
        return FAISS(embeddings, faiss.IndexFlatL2(width), InMemoryDocstore(), {})


class TestPostgres(Suite):
    @pytest.fixture
    def vectorstore(self, embeddings: Embeddings, database: str) -> Iterator[VectorStore]:
        engine = PGEngine.from_connection_string(f"postgresql+psycopg{database}")
        table, width = uuid4().hex, len(embeddings.embed_query("a"))
        engine.init_vectorstore_table(table, width, id_column=Column("langchain_id", "TEXT", nullable=False))
        yield PGVectorStore.create_sync(engine, embeddings, table)
        engine._run_as_sync(engine.close())
