"""Vector stores for LlamaIndex, each in a folder or a database, opened by a name.

python llama_index_stores.py NAME PLACE QUESTION  prints the text that is nearest to the question, as JSON
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llama_index.core import StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.vector_stores.types import BasePydanticVectorStore

NAMES = ("chroma", "qdrant", "faiss", "lancedb", "postgres")
WITH_TEXTS = ("chroma", "qdrant", "lancedb", "postgres")  # the others keep vectors only, and can't filter or delete
WITH_MMR = ("chroma", "postgres")
WIDTH = 1024  # of bge-m3


def open_store(name: str, place: str, width: int = WIDTH, *, awaited: bool = False) -> BasePydanticVectorStore:
    """The store in a place: a folder, or a database and a table. It is made if it is not there yet.

    Only what this store needs is imported.

    Args:
        awaited: for calls with `await` only, which makes a difference to Qdrant.
    """
    match name:
        case "chroma":
            import chromadb
            from llama_index.vector_stores.chroma import ChromaVectorStore

            client = chromadb.PersistentClient(place)
            found = client.get_or_create_collection("texts", configuration={"hnsw": {"space": "cosine"}})
            return ChromaVectorStore(chroma_collection=found)
        case "qdrant":
            from llama_index.vector_stores.qdrant import QdrantVectorStore
            from qdrant_client import AsyncQdrantClient, QdrantClient

            if awaited:
                return QdrantVectorStore("texts", aclient=AsyncQdrantClient(path=place))
            return QdrantVectorStore("texts", client=QdrantClient(path=place))
        case "faiss":
            import faiss
            from llama_index.vector_stores.faiss import FaissVectorStore

            if Path(place).exists():
                return FaissVectorStore.from_persist_dir(place)
            return FaissVectorStore(faiss.IndexFlatL2(width))
        case "lancedb":
            from llama_index.vector_stores.lancedb import LanceDBVectorStore

            return LanceDBVectorStore(uri=place, table_name="texts", mode="create")
        case _:
            from llama_index.vector_stores.postgres import PGVectorStore

            address, _, table = place.rpartition("#")
            parts = urlsplit(f"postgresql{address}")
            return PGVectorStore.from_params(
                host=parts.hostname,
                port=str(parts.port),
                user=parts.username,
                password="",
                database=parts.path.removeprefix("/"),
                table_name=table,
                embed_dim=width,
            )


async def close_store(name: str, store: Any) -> None:
    match name:
        case "qdrant" if store._client is not None:
            store._client.close()
        case "qdrant":
            await store._aclient.close()
        case "postgres":
            await store.close()


def save(index: VectorStoreIndex, name: str, place: str) -> None:
    """Keeps what the store does not keep by itself."""
    if name == "faiss":
        index.storage_context.persist(place)


def load(name: str, place: str, embed_model: BaseEmbedding) -> VectorStoreIndex:
    store = open_store(name, place)
    if name == "faiss":
        context = StorageContext.from_defaults(vector_store=store, persist_dir=place)
        index = load_index_from_storage(context, embed_model=embed_model)
        assert isinstance(index, VectorStoreIndex)
        return index
    return VectorStoreIndex.from_vector_store(store, embed_model=embed_model)


def main(name: str, place: str, question: str) -> str:
    from llama_index_ovhcloud import OVHCloudEmbeddings

    index = load(name, place, OVHCloudEmbeddings())
    (found,) = index.as_retriever(similarity_top_k=1).retrieve(question)
    asyncio.run(close_store(name, index.vector_store))
    return json.dumps([found.text, found.metadata["parity"]])


if __name__ == "__main__":
    print(main(*sys.argv[1:]))  # noqa: T201
