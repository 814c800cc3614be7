"""LangChain's runnables and agents as batch jobs: as many rounds as calls that stand behind one another."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from batching import batch_on, be_patient, collected, jobs_made, texts_asked
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from pydantic import BaseModel

from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints import Batch, Waiting
from ovhcloud_ai_endpoints.testing import LocalEndpoints

CITIES = ["Rome", "Oslo", "Bern"]
Mapped = Callable[[Runnable[Any, Any], list[Any]], dict[int, Any]]


class City(BaseModel):
    """A city."""

    name: str


@pytest.fixture
def model(environ: LocalEndpoints) -> ChatOVHCloud:
    return ChatOVHCloud(model="gpt-oss-120b")


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Batch]:
    with batch_on(tmp_path) as found:
        yield found


@pytest.fixture(params=["blocking", "awaited"])
def mapped(request: pytest.FixtureRequest, batch: Batch) -> Mapped:
    def run(runnable: Runnable[Any, Any], inputs: list[Any]) -> dict[int, Any]:
        if request.param == "blocking":
            return dict(batch.map(runnable.invoke, inputs))
        return asyncio.run(collected(batch.amap(runnable.ainvoke, inputs)))

    return run


def test_a_chain_with_an_object_is_two_rounds(server: LocalEndpoints, model: ChatOVHCloud, mapped: Mapped) -> None:
    chain = model | RunnableLambda(lambda answer: answer.text) | model.with_structured_output(City)
    without = [chain.invoke(city) for city in CITIES]
    server.requests.clear()
    found = mapped(chain, CITIES)

    assert [found[place] for place in range(3)] == without
    assert all(isinstance(answer, City) for answer in without)
    assert jobs_made(server) == 2


def test_branches_go_together(server: LocalEndpoints, model: ChatOVHCloud, mapped: Mapped) -> None:
    chain = RunnableParallel(plain=model, longer=model | (lambda answer: f"{answer.text}!") | model)
    found = mapped(chain, CITIES)

    assert all("Oslo" in found[1][name].text for name in ("plain", "longer"))
    assert len(server.batches.lines) == 9  # both branches begin with the same request, and each has its own answer
    assert jobs_made(server) == 2


def test_a_fallback_answers_what_the_service_refuses(
    server: LocalEndpoints, model: ChatOVHCloud, mapped: Mapped
) -> None:
    with_images = ChatOVHCloud(model="bge-m3")  # no chat model
    found = mapped(with_images.with_fallbacks([model]), CITIES)

    assert all(city in found[place].text for place, city in enumerate(CITIES))
    assert len(server.batches.lines) == 6


def test_a_retry_sees_no_failure(server: LocalEndpoints, model: ChatOVHCloud, mapped: Mapped) -> None:
    found = mapped(model.with_retry(stop_after_attempt=3), CITIES)

    assert "Bern" in found[2].text
    assert len(server.batches.lines) == 3


@pytest.mark.parametrize("config", [{}, {"max_concurrency": 3}])
def test_a_batch_of_a_hundred_is_one_round(
    server: LocalEndpoints, model: ChatOVHCloud, batch: Batch, config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient(monkeypatch)
    texts = [f"Say {number}" for number in range(100)]
    found = dict(batch.map(lambda _: model.batch(texts, config), [0]))

    assert [answer.text.split()[-1] for answer in found[0]] == [str(number) for number in range(100)]
    assert jobs_made(server) == 1


def test_so_is_one_with_retries(server: LocalEndpoints, model: ChatOVHCloud, batch: Batch) -> None:
    texts = [f"Say {number}" for number in range(20)]
    found = dict(batch.map(lambda _: model.with_retry().batch(texts, return_exceptions=True), [0]))

    assert [answer.text.split()[-1] for answer in found[0]] == [str(number) for number in range(20)]
    assert len(server.batches.lines) == 20


@pytest.mark.parametrize("keeps", [True, False])
def test_abatch_is_one_round(server: LocalEndpoints, model: ChatOVHCloud, batch: Batch, keeps: bool) -> None:
    async def work(number: int) -> list[Any]:
        return await model.abatch([f"{number} {city}" for city in CITIES], return_exceptions=keeps)

    found = asyncio.run(collected(batch.amap(work, range(5))))
    again = dict(batch.map(lambda number: asyncio.run(work(number)), range(4, 9)))

    assert "4 Bern" in found[4][2].text
    assert "8 Bern" in again[4][2].text
    assert jobs_made(server) == 2


def test_agenerate_is_no_attribute_error(server: LocalEndpoints, model: ChatOVHCloud, batch: Batch) -> None:
    def work(city: str) -> str:
        asked = [[HumanMessage(f"{number} {city}")] for number in range(3)]
        generated = asyncio.run(model.agenerate(asked))
        return " ".join(generation[0].text for generation in generated.generations)

    found = dict(batch.map(work, CITIES))

    assert "2 Oslo" in found[1]
    assert jobs_made(server) == 1


def test_generate_is_one_round(server: LocalEndpoints, model: ChatOVHCloud, batch: Batch) -> None:
    asked = [[HumanMessage(f"Say {number}")] for number in range(12)]
    found = dict(batch.map(lambda _: model.generate(asked), [0]))
    whole = model.generate(asked)

    assert [one[0].text for one in found[0].generations] == [one[0].text for one in whole.generations]
    assert found[0].llm_output == whole.llm_output
    assert len(found[0].run or []) == 12
    assert jobs_made(server) == 1


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


@pytest.mark.parametrize("way", ["invoke", "updates", "messages"])
def test_an_agent(server: LocalEndpoints, model: ChatOVHCloud, batch: Batch, way: Any) -> None:
    agent = create_agent(model, [weather])
    asked = [{"messages": [HumanMessage(f"What is the weather in {city}?")]} for city in CITIES]

    def work(question: Any) -> str:
        if way == "invoke":
            return str(agent.invoke(question)["messages"][-1].text)
        return str([*agent.stream(question, stream_mode=way)])

    found = dict(batch.map(work, asked))

    assert all(f"Sunny in {city}" in found[place] or way == "invoke" for place, city in enumerate(CITIES))
    assert jobs_made(server) == 2
    assert len(server.batches.lines) == 6


def test_an_awaited_agent(server: LocalEndpoints, model: ChatOVHCloud, batch: Batch) -> None:
    agent = create_agent(model, [weather])
    asked = [{"messages": [HumanMessage(f"What is the weather in {city}?")]} for city in CITIES]
    found = asyncio.run(collected(batch.amap(agent.ainvoke, asked)))

    assert all(city in found[place]["messages"][-1].text for place, city in enumerate(CITIES))
    assert jobs_made(server) == 2


def test_a_chain_is_streamed(server: LocalEndpoints, model: ChatOVHCloud, batch: Batch) -> None:
    found = dict(batch.map(lambda city: "".join(chunk.text for chunk in model.stream(city)), CITIES))

    assert all(city in found[place] for place, city in enumerate(CITIES))
    assert "stream" not in server.batches.lines[0].json


@pytest.mark.parametrize("awaited", [False, True])
def test_vectors_of_a_list_are_one_round(
    server: LocalEndpoints, environ: LocalEndpoints, batch: Batch, awaited: bool
) -> None:
    embeddings = OVHCloudEmbeddings()
    lists = [[f"text {place} {number}" for number in range(300)] for place in range(3)]
    if awaited:
        found = asyncio.run(collected(batch.amap(embeddings.aembed_documents, lists)))
    else:
        found = dict(batch.map(embeddings.embed_documents, lists))

    assert found[2] == embeddings.embed_documents(lists[2])
    assert jobs_made(server) == 1
    assert len(server.batches.lines) == 36


def test_base64_that_is_refused_is_asked_as_numbers(environ: LocalEndpoints, batch: Batch) -> None:
    embeddings = OVHCloudEmbeddings(encoding_format="auto")
    environ.reply(status=400, body={"message": "encoding_format base64 is not supported"})
    found = dict(batch.map(embeddings.embed_query, ["text"]))

    assert len(found[0]) == 1024
    assert len(environ.batches.lines) == 2


class Runs(BaseTracer):
    """Keeps the runs that it is told of."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


def test_traces_tell_a_run_that_waited_from_one_that_failed(model: ChatOVHCloud, batch: Batch) -> None:
    tracer = Runs()
    list(batch.map(lambda city: model.invoke(city, config={"callbacks": [tracer]}), ["Rome"]))
    waited, answered = tracer.runs

    assert waited.metadata["ovhcloud_batch"] == "waits"
    assert Waiting.__name__ in str(waited.error)
    assert answered.error is None
    assert "ovhcloud_batch" not in answered.metadata
    assert answered.outputs is not None
    assert answered.outputs["generations"][0][0]["message"]["kwargs"]["response_metadata"]["batch_job"] == 1


def test_what_is_asked_is_what_a_call_asks(server: LocalEndpoints, model: ChatOVHCloud, batch: Batch) -> None:
    bound = model.bind_tools([weather], tool_choice="required")
    bound.invoke("Rome")
    sent = server.requests[-1].json
    list(batch.map(bound.invoke, ["Rome"]))

    assert server.batches.lines[0].json == sent
    assert texts_asked(server) == ["Rome"]
