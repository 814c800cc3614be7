"""LlamaIndex's engines, agents, workflows and pipelines as batch jobs."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batching import batch_on, collected, jobs_made
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import ChatMessage
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.tools import QueryEngineTool
from pydantic import BaseModel
from workflows import Workflow, step
from workflows.events import StartEvent, StopEvent

from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints import Batch
from ovhcloud_ai_endpoints.testing import LocalEndpoints

CITIES = ["Rome", "Oslo", "Bern"]
DOCUMENTS = [Document(text=f"The tower of {city} is {number} m high.") for number, city in enumerate(CITIES, 10)]


class City(BaseModel):
    """A city."""

    name: str


@pytest.fixture
def llm(environ: LocalEndpoints) -> ChatOVHCloud:
    return ChatOVHCloud(model="gpt-oss-120b")


@pytest.fixture
def embeddings(environ: LocalEndpoints) -> OVHCloudEmbeddings:
    return OVHCloudEmbeddings()


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Batch]:
    with batch_on(tmp_path) as found:
        yield found


@pytest.fixture(autouse=True)
def _loop() -> Iterator[None]:
    """The loop that core's blocking methods run their tasks in, which they would make and never close."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    asyncio.set_event_loop(None)


def test_a_query_engine_is_two_rounds(
    server: LocalEndpoints, llm: ChatOVHCloud, embeddings: OVHCloudEmbeddings, batch: Batch
) -> None:
    engine = VectorStoreIndex.from_documents(DOCUMENTS, embed_model=embeddings).as_query_engine(llm=llm)
    questions = [f"How high is the tower of {city}?" for city in CITIES]
    without = [str(engine.query(question)) for question in questions]
    server.requests.clear()
    found = dict(batch.map(engine.query, questions))
    awaited = asyncio.run(collected(batch.amap(engine.aquery, questions)))

    assert [str(found[place]) for place in range(3)] == without
    assert [str(awaited[place]) for place in range(3)] == without
    assert jobs_made(server) == 2  # the awaited ones found all in the ledger


def test_an_awaited_query_engine_is_two_rounds(
    server: LocalEndpoints, llm: ChatOVHCloud, embeddings: OVHCloudEmbeddings, batch: Batch
) -> None:
    engine = VectorStoreIndex.from_documents(DOCUMENTS, embed_model=embeddings).as_query_engine(llm=llm)
    found = asyncio.run(collected(batch.amap(engine.aquery, [f"How high is {city}?" for city in CITIES])))

    assert len(found) == 3
    assert jobs_made(server) == 2


def test_an_engine_of_sub_questions(
    server: LocalEndpoints, llm: ChatOVHCloud, embeddings: OVHCloudEmbeddings, batch: Batch
) -> None:
    engine = VectorStoreIndex.from_documents(DOCUMENTS, embed_model=embeddings).as_query_engine(llm=llm)
    questions = '[{"sub_question": "How high is Rome?", "tool_name": "towers"}, '
    questions += '{"sub_question": "How high is Oslo?", "tool_name": "towers"}]'
    server.reply(f"```json\n{questions}\n```")
    whole = SubQuestionQueryEngine.from_defaults(
        [QueryEngineTool.from_defaults(engine, name="towers", description="Knows how high towers are.")],
        llm=llm,
        question_gen=LLMQuestionGenerator.from_defaults(llm),
        use_async=True,
        verbose=False,
    )
    found = dict(batch.map(whole.query, ["Which tower is higher, that of Rome or of Oslo?"]))

    assert not isinstance(found[0], Exception), found[0]
    assert len(found[0].source_nodes) >= 2
    assert 3 <= jobs_made(server) <= 5  # the questions, vectors of both, answers to both, the answer


def test_an_index_takes_a_round_for_each_batch_of_nodes(
    server: LocalEndpoints, embeddings: OVHCloudEmbeddings, batch: Batch
) -> None:
    documents = [Document(text=f"Fact {number}") for number in range(250)]
    found = dict(
        batch.map(
            lambda some: VectorStoreIndex.from_documents(some, embed_model=embeddings, insert_batch_size=100),
            [documents],
        )
    )

    assert len(found[0].index_struct.nodes_dict) == 250
    assert jobs_made(server) == 3


def test_an_ingestion_pipeline(server: LocalEndpoints, embeddings: OVHCloudEmbeddings, batch: Batch) -> None:
    def pipeline() -> IngestionPipeline:
        return IngestionPipeline(transformations=[SentenceSplitter(), embeddings])

    found = dict(batch.map(lambda some: pipeline().run(documents=some), [DOCUMENTS]))
    awaited = asyncio.run(collected(batch.amap(lambda some: pipeline().arun(documents=some), [DOCUMENTS])))

    assert len(found[0][0].embedding) == 1024
    assert [node.embedding for node in awaited[0]] == [node.embedding for node in found[0]]
    assert jobs_made(server) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # core's thread raises it again
@pytest.mark.timeout(10)
def test_a_chat_engine_that_streams_from_a_thread(server: LocalEndpoints, llm: ChatOVHCloud, batch: Batch) -> None:
    def work(text: str) -> str:
        return "".join(SimpleChatEngine.from_defaults(llm=llm).stream_chat(text).response_gen)

    found = dict(batch.map(work, CITIES))

    assert all(city in found[place] for place, city in enumerate(CITIES))
    assert jobs_made(server) == 1


def test_streams_and_objects(server: LocalEndpoints, llm: ChatOVHCloud, batch: Batch) -> None:
    def work(city: str) -> tuple[str, City]:
        text = [*llm.stream_chat([ChatMessage(city)])][-1].message.content
        return str(text), llm.as_structured_llm(City).chat([ChatMessage(f"{text}?")]).raw

    found = dict(batch.map(work, CITIES))

    assert all(city in found[place][0] for place, city in enumerate(CITIES))
    assert isinstance(found[0][1], City)
    assert jobs_made(server) == 2


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


@pytest.mark.parametrize("with_events", [False, True])
def test_a_function_agent(server: LocalEndpoints, llm: ChatOVHCloud, batch: Batch, with_events: bool) -> None:
    async def work(city: str) -> str:
        handler = FunctionAgent(tools=[weather], llm=llm).run(f"What is the weather in {city}?")
        if with_events:
            assert [event async for event in handler.stream_events()]
        return str(await handler)

    found = asyncio.run(collected(batch.amap(work, CITIES)))

    assert all(city in found[place] for place, city in enumerate(CITIES))
    assert 1 <= jobs_made(server) <= 2


@pytest.mark.timeout(15)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::RuntimeWarning")
def test_events_of_a_workflow_in_a_blocking_map(server: LocalEndpoints, llm: ChatOVHCloud, batch: Batch) -> None:
    """What is no `Exception` kills a workflow, and nobody ends its stream of events."""

    async def ask(city: str) -> str:
        handler = FunctionAgent(tools=[weather], llm=llm).run(f"What is the weather in {city}?")
        assert [event async for event in handler.stream_events()]
        return str(await handler)

    found = dict(batch.map(lambda city: asyncio.run(ask(city)), CITIES[:1]))

    assert "Rome" in found[0]
    assert 1 <= jobs_made(server) <= 2


@pytest.mark.timeout(15)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::RuntimeWarning")
def test_events_of_a_workflow_that_blocks_in_an_awaited_map(
    server: LocalEndpoints, llm: ChatOVHCloud, batch: Batch
) -> None:
    class Blocking(Workflow):
        @step
        async def ask(self, event: StartEvent) -> StopEvent:
            return StopEvent(result=str(await asyncio.to_thread(llm.complete, event.city)))

    async def work(city: str) -> str:
        handler = Blocking(timeout=None).run(city=city)
        assert [event async for event in handler.stream_events()]
        return str(await handler)

    assert "Rome" in asyncio.run(collected(batch.amap(work, CITIES[:1])))[0]


def test_a_workflow(server: LocalEndpoints, llm: ChatOVHCloud, batch: Batch) -> None:
    class Twice(Workflow):
        @step
        async def ask(self, event: StartEvent) -> StopEvent:
            first = await llm.acomplete(event.city)
            return StopEvent(result=str(await llm.acomplete(f"then: {first}")))

    async def work(city: str) -> Any:
        return await Twice(timeout=None).run(city=city)

    found = asyncio.run(collected(batch.amap(work, CITIES)))

    assert all(city in found[place] for place, city in enumerate(CITIES))
    assert jobs_made(server) == 2
