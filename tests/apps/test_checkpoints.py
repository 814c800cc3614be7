"""Conversations that go through LangGraph's stores in SQLite and PostgreSQL, and go on in another process."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph_apps import conversation
from langgraph_apps.conversation import IMAGE, MODEL, PNG, STEPS, THREAD, agent_on, async_store_at, look, store_at, take
from postgres import postgres

from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import AuthenticationError, BadRequestError
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = [pytest.mark.usefixtures("environ"), pytest.mark.timeout(60)]
KINDS = ["sqlite", "async-sqlite", "postgres", "async-postgres"]
BEGINNING = ["ask", "approve", "ask again"]
IMAGE_PART = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with postgres() as address:
        yield f"postgresql{address}"


@pytest.fixture
def address_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Makes an empty store of a kind; PostgreSQL is started by the first that needs it."""
    made: list[tuple[str, str]] = []

    def make(kind: str) -> str:
        if kind.endswith("sqlite"):
            return str(tmp_path / "store.sqlite")
        cluster = request.getfixturevalue("cluster")
        name = f"test_{abs(hash(request.node.nodeid))}"
        run_sql(cluster, f"CREATE DATABASE {name}")
        made.append((cluster, name))
        return cluster.removesuffix("/postgres") + f"/{name}"

    yield make
    for cluster, name in made:
        run_sql(cluster, f"DROP DATABASE {name} WITH (FORCE)")


def run_sql(address: str, statement: str) -> list[Any]:
    with psycopg.connect(address, autocommit=True) as connection:
        found = connection.execute(statement.encode())
        return found.fetchall() if found.description else []


def script(server: LocalEndpoints) -> None:
    """Two turns: each looks at the image from one side, and answers."""
    for number, side in enumerate(("front", "side"), 1):
        server.reply(f"Let me look ({number}).", reasoning="I need to look.", tool_calls=[("look", {"side": side})])
        server.reply(f"A square ({number}).", reasoning="It has four sides.")


def in_another_process(server: LocalEndpoints, kind: str, address: str, *steps: str) -> str:
    done = subprocess.run(
        [sys.executable, conversation.__file__, kind, address, *steps],
        env=os.environ | server.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def sent(server: LocalEndpoints) -> list[Any]:
    return [request.json for request in server.requests]


@pytest.fixture
def sent_without_a_store(server: LocalEndpoints) -> list[Any]:
    """What the whole conversation sends if it stays in memory."""
    script(server)
    agent = agent_on(InMemorySaver())
    for step in [*BEGINNING, "approve"]:
        agent.invoke(STEPS[step], THREAD)
    found = sent(server)
    server.reset()
    return found


@pytest.mark.parametrize("kind", KINDS)
class TestAStore:
    @pytest.fixture
    def address(self, kind: str, address_of: Callable[[str], str]) -> str:
        return address_of(kind)

    def test_hands_a_paused_turn_to_another_process(
        self, server: LocalEndpoints, kind: str, address: str, sent_without_a_store: list[Any]
    ) -> None:
        script(server)
        take(BEGINNING, kind, address)

        assert in_another_process(server, kind, address, "approve") == "A square (2)."
        assert sent(server) == sent_without_a_store

    def test_keeps_images_reasoning_and_calls(self, server: LocalEndpoints, kind: str, address: str) -> None:
        script(server)
        take(BEGINNING, kind, address)

        take(["approve"], kind, address)

        first, _, seen, *_, call, seen_again = sent(server)[-1]["messages"]
        assert first["content"] == [{"type": "text", "text": "What is this?"}, IMAGE_PART]
        assert seen["content"] == [{"type": "text", "text": "Seen from the front:"}, IMAGE_PART]
        assert (call["content"], call["reasoning"]) == ("Let me look (2).", "I need to look.")
        assert call["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"side": "side"}'}
        assert seen_again["content"] == [{"type": "text", "text": "Seen from the side:"}, IMAGE_PART]

    def test_gives_back_equal_messages(self, server: LocalEndpoints, kind: str, address: str) -> None:
        script(server)
        before = take(["ask", "approve"], kind, address)

        after = take(["ask again"], kind, address)

        assert after[: len(before)] == before
        assert [block["type"] for block in after[1].content_blocks] == ["reasoning", "text", "tool_call"]
        assert before[3].usage_metadata == after[3].usage_metadata != None  # noqa: E711 - a chain

    def test_goes_on_after_a_failure(self, server: LocalEndpoints, kind: str, address: str) -> None:
        server.reply("Let me look.", tool_calls=[("look", {"side": "front"})])
        take(["ask"], kind, address)
        server.reply(status=400)
        with pytest.raises(BadRequestError):
            take(["approve"], kind, address)
        server.reply("A square.")

        assert take(["go on"], kind, address)[-1].text == "A square."
        assert sent(server)[-1] == sent(server)[-2]

    @pytest.mark.parametrize("outcome", ["answered", "refused"])
    def test_holds_no_key(
        self, server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch, kind: str, address: str, outcome: str
    ) -> None:
        key = server.api_key
        if outcome == "refused":
            key = "a-key-that-was-revoked"
            monkeypatch.setenv("OVHCLOUD_API_KEY", key)
            with pytest.raises(AuthenticationError):
                take(["ask"], kind, address)
        else:
            script(server)
            take(BEGINNING, kind, address)
        assert server.requests[-1].api_key == key

        stored = bytes_of(kind, address)

        assert b"What is this?" in stored
        assert key.encode() not in stored
        if outcome == "refused":
            assert b"AuthenticationError" in stored


def bytes_of(kind: str, address: str) -> bytes:
    """All that a store holds."""
    if kind.endswith("sqlite"):
        return b"".join(path.read_bytes() for path in sorted(Path(address).parent.iterdir()))
    names = run_sql(address, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [row for (name,) in names for row in run_sql(address, f"SELECT * FROM {name}")]
    return b"\n".join(value if isinstance(value, bytes) else repr(value).encode() for row in rows for value in row)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
class TestTimeTravel:
    @pytest.fixture
    def address(self, server: LocalEndpoints, kind: str, address_of: Callable[[str], str]) -> str:
        """Of a store with one turn."""
        address = address_of(kind)
        script(server)
        take(["ask", "approve"], kind, address)
        server.reset()
        return address

    def test_asks_again_from_an_earlier_checkpoint(self, server: LocalEndpoints, kind: str, address: str) -> None:
        with store_at(kind, address) as store:
            agent = agent_on(store)
            after_tools = next(state for state in agent.get_state_history(THREAD) if len(state.values["messages"]) == 3)
            server.reply("A diamond.")

            forked = agent.invoke(None, after_tools.config)

        assert forked["messages"][-1].text == "A diamond."
        assert [message["role"] for message in sent(server)[0]["messages"]] == ["user", "assistant", "tool"]
        assert sent(server)[0]["messages"][1]["reasoning"] == "I need to look."

    def test_asks_another_question_instead(self, server: LocalEndpoints, kind: str, address: str) -> None:
        with store_at(kind, address) as store:
            agent = agent_on(store)
            begun = next(state for state in agent.get_state_history(THREAD) if len(state.values["messages"]) == 1)
            other = HumanMessage([{"type": "text", "text": "Which colour?"}, IMAGE], id="first")
            fork = agent.update_state(begun.config, {"messages": [other]}, as_node="__start__")
            server.reply("Red.")

            agent.invoke(None, fork)
            texts = [message.text for message in agent.get_state(THREAD).values["messages"]]

        assert texts == ["Which colour?", "Red."]
        assert sent(server)[0]["messages"] == [
            {"role": "user", "content": [{"type": "text", "text": "Which colour?"}, IMAGE_PART]}
        ]

    def test_corrects_an_answer(self, server: LocalEndpoints, kind: str, address: str) -> None:
        with store_at(kind, address) as store:
            agent = agent_on(store)
            last = agent.get_state(THREAD).values["messages"][-1]
            agent.update_state(THREAD, {"messages": [AIMessage("A circle.", id=last.id)]})
            server.reply("Sure.")

            agent.invoke({"messages": [HumanMessage("Sure?")]}, THREAD)

        assert sent(server)[0]["messages"][-2:] == [
            {"role": "assistant", "content": "A circle."},
            {"role": "user", "content": "Sure?"},
        ]

    async def test_is_awaited_too(self, server: LocalEndpoints, kind: str, address: str) -> None:
        async with async_store_at(kind, address) as store:
            agent = agent_on(store)
            states = [state async for state in agent.aget_state_history(THREAD)]
            after_tools = next(state for state in states if len(state.values["messages"]) == 3)
            server.reply("A diamond.")

            forked = await agent.ainvoke(None, after_tools.config)

        assert forked["messages"][-1].text == "A diamond."
        assert len(sent(server)[0]["messages"]) == 3


def test_a_conversation_goes_on_with_a_model_that_sees_no_images(
    server: LocalEndpoints, address_of: Callable[[str], str]
) -> None:
    address = address_of("sqlite")
    script(server)
    take(["ask", "approve"], "sqlite", address)
    server.reset()
    server.reply("Yes.")

    with store_at("sqlite", address) as store:
        other = create_agent(ChatOVHCloud(model="gpt-oss-120b"), tools=[look], checkpointer=store)
        history = other.get_state(THREAD).values["messages"]
        other.invoke(
            {"messages": [HumanMessage(history[0].content[0]["text"], id="first"), *STEPS["ask again"]["messages"]]},
            THREAD,
        )

    assert sent(server)[0]["messages"][2]["content"] == (
        "Seen from the front:\n[image (image/png, 74 bytes): can't be shown to the model]"
    )


def test_streams_of_many_threads_share_a_store(server: LocalEndpoints, address_of: Callable[[str], str]) -> None:
    async def main() -> list[str]:
        async with async_store_at("sqlite", address_of("async-sqlite")) as store:
            agent = create_agent(ChatOVHCloud(model=MODEL), checkpointer=store)

            async def talk(number: int) -> str:
                config: Any = {"configurable": {"thread_id": str(number)}}
                for text in (f"I am number {number}.", "Who am I?"):
                    asked = {"messages": [HumanMessage(text)]}
                    parts = [chunk.text async for chunk, _ in agent.astream(asked, config, stream_mode="messages")]
                return "".join(parts)

            return await asyncio.gather(*map(talk, range(8)))

    answers = asyncio.run(main())

    assert len(answers) == 8
    second = [request["messages"] for request in sent(server) if len(request["messages"]) == 3]
    assert sorted(messages[0]["content"] for messages in second) == [f"I am number {number}." for number in range(8)]
