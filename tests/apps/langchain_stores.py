"""Vector stores of LangChain's partners, each in a folder or a database, opened by a name.

python langchain_stores.py NAME PLACE QUESTION  prints the text that is nearest to the question, as JSON
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

NAMES = ("chroma", "qdrant", "faiss", "lancedb", "postgres")
WIDTH = 1024  # of bge-m3


def open_store(name: str, place: str, embeddings: Embeddings, width: int = WIDTH) -> VectorStore:
    """The store in a place: a folder, or a database and a table. It is made if it is not there yet.

    Only what this store needs is imported.
    """
    match name:
        case "chroma":
            from langchain_chroma import Chroma

            return Chroma("texts", embeddings, persist_directory=place)
        case "qdrant":
            from langchain_qdrant import QdrantVectorStore

            return QdrantVectorStore.construct_instance(
                embedding=embeddings, client_options={"path": place}, collection_name="texts"
            )
        case "faiss":
            return _faiss(place, embeddings, width)
        case "lancedb":
            return _lancedb(place, embeddings)
        case _:
            return _postgres(place, embeddings, width)


def close_store(name: str, place: str, store: Any) -> None:
    match name:
        case "qdrant":
            store.client.close()
        case "faiss":
            store.save_local(place)
        case "postgres":
            store._engine._run_as_sync(store._engine.close())


def even(name: str) -> dict[str, Any]:
    """The argument of a search for texts that have an even number."""
    match name:
        case "qdrant":
            from qdrant_client import models

            matched = models.FieldCondition(key="metadata.parity", match=models.MatchValue(value="even"))
            return {"filter": models.Filter(must=[matched])}
        case "lancedb":
            return {"filter": "metadata.parity = 'even'", "prefilter": True}
        case _:
            return {"filter": {"parity": "even"}}


def _faiss(place: str, embeddings: Embeddings, width: int) -> VectorStore:
    import faiss

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the package is being sunset
        from langchain_community.docstore.in_memory import InMemoryDocstore
        from langchain_community.vectorstores import FAISS
    if Path(place, "index.faiss").exists():
        return FAISS.load_local(place, embeddings, allow_dangerous_deserialization=True)
    return FAISS(embeddings, faiss.IndexFlatL2(width), InMemoryDocstore(), {})


def _lancedb(place: str, embeddings: Embeddings) -> VectorStore:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the package is being sunset
        from langchain_community.vectorstores import LanceDB
    return LanceDB(uri=place, embedding=embeddings, table_name="texts", mode="append")


def _postgres(place: str, embeddings: Embeddings, width: int) -> VectorStore:
    from langchain_postgres import Column, PGEngine, PGVectorStore

    address, _, table = place.rpartition("#")
    engine = PGEngine.from_connection_string(f"postgresql+psycopg{address}")
    columns = [Column("parity", "TEXT")]
    try:
        return PGVectorStore.create_sync(engine, embeddings, table, metadata_columns=["parity"])
    except ValueError:  # there is no such table
        engine.init_vectorstore_table(table, width, metadata_columns=columns)
        return PGVectorStore.create_sync(engine, embeddings, table, metadata_columns=["parity"])


def main(name: str, place: str, question: str) -> str:
    from langchain_ovhcloud import OVHCloudEmbeddings

    store = open_store(name, place, OVHCloudEmbeddings())
    (found,) = store.similarity_search(question, k=1)
    close_store(name, place, store)
    return json.dumps([found.page_content, found.metadata["parity"]])


if __name__ == "__main__":
    print(main(*sys.argv[1:]))  # noqa: T201
