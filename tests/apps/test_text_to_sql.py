"""Questions that are answered from an SQLite database, through both frameworks' ways of asking a model for SQL."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from llama_index.core import Settings, SQLDatabase, VectorStoreIndex
from llama_index.core.indices.struct_store.sql_query import NLSQLTableQueryEngine, SQLTableRetrieverQueryEngine
from llama_index.core.objects import ObjectIndex, SQLTableNodeMapping, SQLTableSchema
from llama_index.core.query_engine import SQLJoinQueryEngine
from llama_index.core.schema import Document
from llama_index.core.tools import QueryEngineTool

import langchain_ovhcloud
import llama_index_ovhcloud
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = [
    pytest.mark.usefixtures("environ"),
    # What is left of LangChain for SQL is in this package.
    pytest.mark.filterwarnings("ignore:`langchain-community` is being sunset:DeprecationWarning"),
]
QUESTION = "Which city has most people?"
LARGEST = "SELECT name FROM cities ORDER BY people DESC LIMIT 1"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'world.sqlite'}")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE cities (name TEXT PRIMARY KEY, people INTEGER)"))
        connection.execute(sqlalchemy.text("CREATE TABLE rivers (name TEXT PRIMARY KEY, length INTEGER)"))
        connection.execute(sqlalchemy.text("INSERT INTO cities VALUES ('Rome', 2800000), ('Paris', 2100000)"))
        connection.execute(sqlalchemy.text("INSERT INTO rivers VALUES ('Tiber', 405)"))
    yield engine
    engine.dispose()


def prompts(server: LocalEndpoints) -> list[str]:
    """The last message of each chat."""
    return [one.json["messages"][-1]["content"] for one in server.requests if "messages" in one.json]


class TestLlamaIndex:
    @pytest.fixture
    def llm(self) -> llama_index_ovhcloud.ChatOVHCloud:
        return llama_index_ovhcloud.ChatOVHCloud(model="gpt-oss-120b")

    @pytest.fixture(autouse=True)
    def embed_model(
        self, environ: LocalEndpoints, monkeypatch: pytest.MonkeyPatch
    ) -> llama_index_ovhcloud.OVHCloudEmbeddings:
        """The engines take core's default, if they are not given one or have no argument for it."""
        embed_model = llama_index_ovhcloud.OVHCloudEmbeddings()
        monkeypatch.setattr(Settings, "_embed_model", embed_model)
        return embed_model

    @pytest.fixture
    def database(self, engine: sqlalchemy.Engine) -> SQLDatabase:
        return SQLDatabase(engine)

    @pytest.mark.parametrize("awaited", [False, True])
    @pytest.mark.parametrize("said", [LARGEST, f"SQLQuery: {LARGEST}\nSQLResult: ...", f"```sql\n{LARGEST}\n```"])
    async def test_answers_from_a_table(
        self,
        server: LocalEndpoints,
        llm: llama_index_ovhcloud.ChatOVHCloud,
        database: SQLDatabase,
        said: str,
        awaited: bool,
    ) -> None:
        server.reply(said, reasoning="SQLQuery: SELECT 1")
        server.reply("It is Rome.")
        queries = NLSQLTableQueryEngine(database, llm=llm, tables=["cities"])

        answer = await queries.aquery(QUESTION) if awaited else queries.query(QUESTION)

        assert str(answer) == "It is Rome."
        assert answer.metadata["sql_query"] == LARGEST
        assert answer.metadata["result"] == [("Rome",)]
        assert "Table 'cities' has columns: name (TEXT), people (INTEGER)" in prompts(server)[0]
        assert "rivers" not in prompts(server)[0]
        assert "[('Rome',)]" in prompts(server)[1]
        assert len(server.requests) == 2

    def test_streams_its_answer(
        self, server: LocalEndpoints, llm: llama_index_ovhcloud.ChatOVHCloud, database: SQLDatabase
    ) -> None:
        server.reply(LARGEST)
        server.reply("It is Rome.", reasoning="Let me see.")

        answer = NLSQLTableQueryEngine(database, llm=llm, tables=["cities"], streaming=True).query(QUESTION)

        assert [text for text in answer.response_gen if text] == ["It", " is", " Rome."]
        assert [one.json.get("stream") for one in server.requests] == [None, True]

    def test_tells_the_model_what_the_database_refused(
        self, server: LocalEndpoints, llm: llama_index_ovhcloud.ChatOVHCloud, database: SQLDatabase
    ) -> None:
        server.reply("SELECT mayor FROM cities")
        server.reply("I could not find out.")

        answer = NLSQLTableQueryEngine(database, llm=llm, tables=["cities"]).query(QUESTION)

        assert str(answer) == "I could not find out."
        assert "no such column: mayor" in prompts(server)[1]

    @pytest.mark.parametrize("awaited", [False, True])
    async def test_looks_for_the_table_first(
        self,
        server: LocalEndpoints,
        llm: llama_index_ovhcloud.ChatOVHCloud,
        embed_model: llama_index_ovhcloud.OVHCloudEmbeddings,
        database: SQLDatabase,
        awaited: bool,
    ) -> None:
        schemas = [
            SQLTableSchema(table_name="cities", context_str="City and people"),
            SQLTableSchema(table_name="rivers", context_str="River and length"),
        ]
        tables = ObjectIndex.from_objects(
            schemas, SQLTableNodeMapping(database), VectorStoreIndex, embed_model=embed_model
        )
        found = tables.as_retriever(similarity_top_k=1)
        queries = SQLTableRetrieverQueryEngine(database, found, llm=llm)
        server.reply(LARGEST)
        server.reply("It is Rome.")

        answer = await queries.aquery(QUESTION) if awaited else queries.query(QUESTION)

        assert str(answer) == "It is Rome."
        assert "City and people" in prompts(server)[0]
        assert "rivers" not in prompts(server)[0]
        assert [len(one.json["input"]) for one in server.requests if "input" in one.json] == [2, 1]

    def test_combines_a_table_with_texts(
        self,
        server: LocalEndpoints,
        llm: llama_index_ovhcloud.ChatOVHCloud,
        embed_model: llama_index_ovhcloud.OVHCloudEmbeddings,
        database: SQLDatabase,
    ) -> None:
        texts = VectorStoreIndex.from_documents([Document(text="Rome was founded in 753 BC.")], embed_model=embed_model)
        tools = [
            QueryEngineTool.from_defaults(
                NLSQLTableQueryEngine(database, llm=llm, tables=["cities"]), name="sql", description="People of cities"
            ),
            QueryEngineTool.from_defaults(texts.as_query_engine(llm=llm), name="texts", description="History"),
        ]
        server.reply(tool_calls=[("SingleSelection", {"index": 1, "reason": "numbers"})])
        server.reply(LARGEST)
        server.reply("It is Rome.")
        server.reply("When was Rome founded?")
        server.reply("In 753 BC.")
        server.reply("Rome, founded in 753 BC.")

        answer = SQLJoinQueryEngine(*tools, llm=llm).query("When was the city with most people founded?")

        assert str(answer) == "Rome, founded in 753 BC."
        assert "Rome was founded in 753 BC." in prompts(server)[4]
        assert "It is Rome." in prompts(server)[5]
        assert server.unplayed == 0


@pytest.fixture
def model() -> langchain_ovhcloud.ChatOVHCloud:
    return langchain_ovhcloud.ChatOVHCloud(model="gpt-oss-120b")


class TestLangChain:
    @pytest.fixture
    def database(self, engine: sqlalchemy.Engine) -> Any:
        from langchain_community.utilities import SQLDatabase as Database

        return Database(engine)

    @pytest.mark.parametrize("awaited", [False, True])
    def test_agent_looks_at_tables_and_queries_them(
        self, server: LocalEndpoints, model: langchain_ovhcloud.ChatOVHCloud, database: Any, awaited: bool
    ) -> None:
        from langchain_community.agent_toolkits import SQLDatabaseToolkit

        agent = create_agent(model, SQLDatabaseToolkit(db=database, llm=model).get_tools())
        server.reply(tool_calls=[("sql_db_list_tables", {})])
        server.reply(tool_calls=[("sql_db_schema", {"table_names": "cities"})])
        server.reply(tool_calls=[("sql_db_query_checker", {"query": LARGEST})])
        server.reply(LARGEST)  # says the checker, which asks the model by itself
        server.reply(tool_calls=[("sql_db_query", {"query": LARGEST})])
        server.reply("It is Rome.")

        asked = {"messages": [("user", QUESTION)]}
        messages = (asyncio.run(agent.ainvoke(asked)) if awaited else agent.invoke(asked))["messages"]

        results = {message.name: message.content for message in messages if isinstance(message, ToolMessage)}
        assert messages[-1].text == "It is Rome."
        assert results["sql_db_list_tables"] == "cities, rivers"
        assert "CREATE TABLE cities" in results["sql_db_schema"]
        assert results["sql_db_query_checker"] == LARGEST
        assert results["sql_db_query"] == "[('Rome',)]"
        assert len(server.requests) == 6
        assert "tools" not in server.requests[3].json

    def test_agent_goes_on_after_a_query_that_the_database_refused(
        self, server: LocalEndpoints, model: langchain_ovhcloud.ChatOVHCloud, database: Any
    ) -> None:
        from langchain_community.agent_toolkits import SQLDatabaseToolkit

        agent = create_agent(model, SQLDatabaseToolkit(db=database, llm=model).get_tools())
        server.reply(tool_calls=[("sql_db_query", {"query": "SELECT mayor FROM cities"})])
        server.reply(tool_calls=[("sql_db_query", {"query": LARGEST})])
        server.reply("It is Rome.")

        messages = agent.invoke({"messages": [("user", QUESTION)]})["messages"]

        sent = [message["content"] for message in server.requests[-1].json["messages"] if message["role"] == "tool"]
        assert messages[-1].text == "It is Rome."
        assert "no such column: mayor" in sent[0]
        assert sent[1] == "[('Rome',)]"

    @pytest.mark.parametrize("agent_type", ["tool-calling", "zero-shot-react-description"])
    def test_older_agent_answers(
        self, server: LocalEndpoints, model: langchain_ovhcloud.ChatOVHCloud, database: Any, agent_type: str
    ) -> None:
        from langchain_community.agent_toolkits import create_sql_agent

        agent = create_sql_agent(model, db=database, agent_type=agent_type)
        if agent_type == "tool-calling":
            server.reply(tool_calls=[("sql_db_query", {"query": LARGEST})])
            server.reply("It is Rome.")
        else:
            server.reply(f"Thought: I look.\nAction: sql_db_query\nAction Input: {LARGEST}\n")
            server.reply("Thought: I now know the final answer.\nFinal Answer: It is Rome.")

        assert agent.invoke({"input": QUESTION})["output"] == "It is Rome."
        assert "[('Rome',)]" in json.dumps(server.requests[-1].json["messages"])

    def test_chain_writes_a_query(
        self, server: LocalEndpoints, model: langchain_ovhcloud.ChatOVHCloud, database: Any
    ) -> None:
        from langchain_classic.chains import create_sql_query_chain

        server.reply(LARGEST)

        query = create_sql_query_chain(model, database).invoke({"question": QUESTION})

        assert database.run(query) == "[('Rome',)]"
        assert "CREATE TABLE cities" in prompts(server)[0]
        assert server.requests[0].json["stop"] == ["\nSQLResult:"]
