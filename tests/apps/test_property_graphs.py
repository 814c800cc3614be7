"""Graphs that LlamaIndex builds with our chat model and our embeddings, and what it finds in them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import ladybug
import pytest
from llama_index.core import Document, KnowledgeGraphIndex, PropertyGraphIndex, StorageContext, load_index_from_storage
from llama_index.core.indices.property_graph import (
    DynamicLLMPathExtractor,
    LLMSynonymRetriever,
    SchemaLLMPathExtractor,
    SimpleLLMPathExtractor,
    TextToCypherRetriever,
    VectorContextRetriever,
)
from llama_index.graph_stores.ladybug import LadybugPropertyGraphStore

from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = [
    pytest.mark.usefixtures("environ"),
    # Core imports LangChain's community package if it is there, which says that it is being sunset.
    pytest.mark.filterwarnings("ignore:`langchain-community` is being sunset:DeprecationWarning"),
]
ADA = "Ada wrote notes. Ada knew Babbage."
PATHS = "(Ada, wrote, notes)\n(Ada, knew, Babbage)"
BORN = ("PERSON", "BORN_IN", "PLACE")


@pytest.fixture
def llm() -> ChatOVHCloud:
    return ChatOVHCloud(model="gpt-oss-120b")


@pytest.fixture
def embed_model() -> OVHCloudEmbeddings:
    return OVHCloudEmbeddings()


Build = Callable[..., PropertyGraphIndex]


@pytest.fixture
def build(llm: ChatOVHCloud, embed_model: OVHCloudEmbeddings) -> Build:
    def build(extractor: Any, *texts: str, **options: Any) -> PropertyGraphIndex:
        documents = [Document(text=text) for text in texts or [ADA]]
        return PropertyGraphIndex.from_documents(
            documents, llm=llm, embed_model=embed_model, kg_extractors=[extractor], **options
        )

    return build


def paths(index: PropertyGraphIndex, *names: str) -> set[tuple[str, str, str]]:
    found = index.property_graph_store.get_triplets(entity_names=list(names))
    return {(start.id, relation.label, end.id) for start, relation, end in found}


def labels(index: PropertyGraphIndex, *names: str) -> set[tuple[str, str, str]]:
    found = index.property_graph_store.get_triplets(entity_names=list(names))
    return {(start.label, relation.label, end.label) for start, relation, end in found}


def asked(server: LocalEndpoints) -> list[str]:
    """The last message of each chat."""
    return [one.json["messages"][-1]["content"] for one in server.requests if "messages" in one.json]


def embedded(server: LocalEndpoints) -> list[str]:
    """The texts of all requests for vectors, without the ids that LlamaIndex writes behind the names of nodes."""
    return [text.partition(" (")[0] for one in server.requests for text in one.json.get("input", [])]


def triplet(start: tuple[str, str], relation: str, end: tuple[str, str]) -> dict[str, Any]:
    return {
        "subject": {"type": start[0], "name": start[1]},
        "relation": {"type": relation},
        "object": {"type": end[0], "name": end[1]},
    }


class TestExtraction:
    def test_of_paths_from_plain_text(self, server: LocalEndpoints, llm: ChatOVHCloud, build: Build) -> None:
        server.reply(PATHS, reasoning="(Thoughts, are, no paths)")

        index = build(SimpleLLMPathExtractor(llm=llm))

        assert paths(index, "Ada") == {("Ada", "Wrote", "Notes"), ("Ada", "Knew", "Babbage")}
        assert ADA in asked(server)[0]
        assert sorted(set(embedded(server))) == ["Ada", ADA, "Babbage", "Notes"]

    def test_of_several_texts_asks_once_for_each(self, server: LocalEndpoints, llm: ChatOVHCloud, build: Build) -> None:
        texts = [f"City {number} is large." for number in range(8)]
        server.reply(until=lambda: len(asked(server)) >= 4, times=4)

        build(SimpleLLMPathExtractor(llm=llm, num_workers=4), *texts)

        chats = asked(server)
        assert len(chats) == len(texts)
        assert all(sum(text in chat for chat in chats) == 1 for text in texts)

    def test_of_typed_paths_by_a_schema(self, server: LocalEndpoints, llm: ChatOVHCloud, build: Build) -> None:
        server.reply(json.dumps({"triplets": [triplet(("PERSON", "Ada"), "BORN_IN", ("PLACE", "London"))]}))

        index = build(schema_extractor(llm), "Ada was born in London.")

        sent = server.requests[0].json["response_format"]["json_schema"]
        kinds = sent["schema"]["properties"]["triplets"]["items"]["properties"]["subject"]["properties"]["type"]
        assert labels(index, "Ada") == {BORN}
        assert paths(index, "Ada") == {("Ada", "BORN_IN", "London")}
        assert kinds["enum"] == ["PERSON", "PLACE"]
        assert "tools" not in server.requests[0].json

    def test_of_typed_paths_leaves_out_what_the_schema_forbids(
        self, server: LocalEndpoints, llm: ChatOVHCloud, build: Build
    ) -> None:
        right = triplet(("PERSON", "Ada"), "BORN_IN", ("PLACE", "London"))
        turned = triplet(("PLACE", "Paris"), "BORN_IN", ("PERSON", "Ada"))
        server.reply(json.dumps({"triplets": [turned, right]}))

        index = build(schema_extractor(llm), "Ada was born in London.")

        assert paths(index, "Ada", "Paris") == {("Ada", "BORN_IN", "London")}

    def test_of_typed_paths_with_properties(self, server: LocalEndpoints, llm: ChatOVHCloud, build: Build) -> None:
        born = triplet(("PERSON", "Ada"), "BORN_IN", ("PLACE", "London"))
        born["subject"]["properties"] = {"year": "1815"}
        server.reply(json.dumps({"triplets": [born]}))

        index = build(schema_extractor(llm, possible_entity_props=["year"]), "Ada was born in London in 1815.")

        ((ada, _, _),) = index.property_graph_store.get_triplets(entity_names=["Ada"])
        assert ada.properties["year"] == "1815"

    def test_of_typed_paths_by_a_tool(self, server: LocalEndpoints, build: Build) -> None:
        born = {"triplets": [triplet(("PERSON", "Ada"), "BORN_IN", ("PLACE", "London"))]}
        server.reply(tool_calls=[("KGSchema", born)])
        llm = ChatOVHCloud(model="gpt-oss-120b", pydantic_program_mode="function")

        index = build(schema_extractor(llm), "Ada was born in London.")

        assert paths(index, "Ada") == {("Ada", "BORN_IN", "London")}
        assert [tool["function"]["name"] for tool in server.requests[0].json["tools"]] == ["KGSchema"]

    def test_of_typed_paths_goes_on_without_those_of_a_model_that_gave_no_object(
        self, server: LocalEndpoints, llm: ChatOVHCloud, build: Build
    ) -> None:
        server.reply('{"triplets": [{"subject": {"type"', finish_reason="length")

        index = build(schema_extractor(llm), "Ada was born in London.")

        assert paths(index, "Ada") == set()
        assert embedded(server) == ["Ada was born in London."]

    def test_of_typed_paths_raises_what_the_model_said_if_asked_to(
        self, server: LocalEndpoints, llm: ChatOVHCloud, build: Build
    ) -> None:
        server.reply("There are none.")

        with pytest.raises(ValueError, match=r"There are none\."):
            build(schema_extractor(llm, raise_on_error=True), "Ada was born in London.")

    def test_of_types_that_the_model_makes_up(self, server: LocalEndpoints, llm: ChatOVHCloud, build: Build) -> None:
        found = {"head": "Ada", "head_type": "PERSON", "relation": "WROTE", "tail": "notes", "tail_type": "BOOK"}
        server.reply(json.dumps([found]))

        index = build(DynamicLLMPathExtractor(llm=llm, allowed_entity_types=["PERSON"]))

        assert labels(index, "Ada") == {("PERSON", "WROTE", "BOOK")}
        assert "PERSON" in asked(server)[0]


def schema_extractor(llm: ChatOVHCloud, **options: Any) -> SchemaLLMPathExtractor:
    return SchemaLLMPathExtractor(
        llm=llm,
        possible_entities=Literal["PERSON", "PLACE"],
        possible_relations=Literal["BORN_IN"],
        kg_validation_schema=[BORN],
        **options,
    )


class CypherStore(LadybugPropertyGraphStore):
    """As it comes it answers queries without saying so, and can't be asked for its schema with `await`."""

    supports_structured_queries = True

    async def aget_schema_str(self, refresh: bool = False) -> str:
        return self.get_schema_str()


class TestRetrieval:
    @pytest.fixture
    def index(self, server: LocalEndpoints, llm: ChatOVHCloud, build: Build) -> PropertyGraphIndex:
        server.reply(PATHS)
        index = build(SimpleLLMPathExtractor(llm=llm))
        server.reset()
        return index

    @pytest.mark.parametrize("awaited", [False, True])
    async def test_by_synonyms(
        self, server: LocalEndpoints, llm: ChatOVHCloud, index: PropertyGraphIndex, awaited: bool
    ) -> None:
        retriever = LLMSynonymRetriever(index.property_graph_store, llm=llm, include_text=False)
        server.reply("babbage^Charles Babbage", reasoning="Notes^Ada")

        nodes = await retriever.aretrieve("Who is he?") if awaited else retriever.retrieve("Who is he?")

        assert [node.text for node in nodes] == ["Ada -> Knew -> Babbage"]
        assert "QUERY: Who is he?" in asked(server)[0]

    @pytest.mark.parametrize("awaited", [False, True])
    async def test_by_vectors(
        self, server: LocalEndpoints, embed_model: OVHCloudEmbeddings, index: PropertyGraphIndex, awaited: bool
    ) -> None:
        retriever = VectorContextRetriever(
            index.property_graph_store,
            vector_store=index.vector_store,
            embed_model=embed_model,
            similarity_top_k=1,
            include_text=False,
        )

        nodes = await retriever.aretrieve("babbage") if awaited else retriever.retrieve("babbage")

        assert [node.text for node in nodes] == ["Ada -> Knew -> Babbage"]
        assert [one.json["input"] for one in server.requests] == [["babbage"]]

    def test_answers_with_the_text_that_the_paths_came_from(
        self, server: LocalEndpoints, llm: ChatOVHCloud, index: PropertyGraphIndex
    ) -> None:
        server.reply("Ada")
        server.reply("She knew Babbage.")

        answer = index.as_query_engine(llm=llm).query("Whom did Ada know?")

        assert str(answer) == "She knew Babbage."
        assert ADA in asked(server)[-1]
        assert "Ada -> Knew -> Babbage" in asked(server)[-1]

    def test_streams_its_answer(self, server: LocalEndpoints, llm: ChatOVHCloud, index: PropertyGraphIndex) -> None:
        server.reply("Ada")
        server.reply("She knew Babbage.")

        answer = index.as_query_engine(llm=llm, streaming=True).query("Whom did Ada know?")

        assert [text for text in answer.response_gen if text] == ["She", " knew", " Babbage."]

    def test_of_a_graph_that_was_stored_embeds_only_the_question(
        self,
        server: LocalEndpoints,
        llm: ChatOVHCloud,
        embed_model: OVHCloudEmbeddings,
        index: PropertyGraphIndex,
        tmp_path: Path,
    ) -> None:
        index.storage_context.persist(str(tmp_path))

        stored = StorageContext.from_defaults(persist_dir=str(tmp_path))
        again = load_index_from_storage(stored, llm=llm, embed_model=embed_model)
        server.reply("Ada")
        again.as_retriever(include_text=False).retrieve("Whom did Ada know?")

        assert paths(again, "Ada") == paths(index, "Ada")
        assert embedded(server) == ["Whom did Ada know?"]

    @pytest.mark.parametrize("awaited", [False, True])
    async def test_by_a_query_in_cypher_over_a_database(
        self, server: LocalEndpoints, llm: ChatOVHCloud, embed_model: OVHCloudEmbeddings, tmp_path: Path, awaited: bool
    ) -> None:
        database = ladybug.Database(str(tmp_path / "graph"))
        store = CypherStore(database, use_vector_index=False)
        server.reply(PATHS)
        extractor = SimpleLLMPathExtractor(llm=llm)
        nodes = await extractor.acall([Document(text=ADA)])
        store.upsert_nodes(nodes[0].metadata["nodes"])
        store.upsert_relations(nodes[0].metadata["relations"])
        retriever = TextToCypherRetriever(store, llm=llm)
        server.reply("MATCH (a:Entity)-[]->(b:Entity) WHERE a.name = 'Ada' RETURN b.name AS name ORDER BY name")

        found = await retriever.aretrieve("Whom?") if awaited else retriever.retrieve("Whom?")

        assert "[{'name': 'Babbage'}, {'name': 'Notes'}]" in found[0].text
        assert "Whom?" in asked(server)[-1]
        database.close()


@pytest.mark.filterwarnings("ignore:Call to deprecated class K:DeprecationWarning")  # it is the old one that is tested
def test_the_older_index_of_a_graph_answers(
    server: LocalEndpoints, llm: ChatOVHCloud, embed_model: OVHCloudEmbeddings
) -> None:
    server.reply(PATHS)
    index = KnowledgeGraphIndex.from_documents(
        [Document(text=ADA)], llm=llm, embed_model=embed_model, include_embeddings=True
    )
    server.reply("KEYWORDS: Ada, notes")
    server.reply("She knew Babbage.")

    answer = index.as_query_engine(llm=llm, retriever_mode="hybrid").query("Whom did Ada know?")

    assert str(answer) == "She knew Babbage."
    assert "['Ada', 'Knew', 'Babbage']" in asked(server)[-1]
    assert embedded(server) == ["('Ada', 'Wrote', 'Notes')", "('Ada', 'Knew', 'Babbage')", "Whom did Ada know?"]
