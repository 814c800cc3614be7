"""Workflows of LlamaIndex's agents: several of them, humans, memories, tools with blocks, and runs that end early."""

import asyncio
import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentStream,
    AgentStreamStructuredOutput,
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.base.llms.types import DocumentBlock, ImageBlock, TextBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import (
    ChatMemoryBuffer,
    ChatSummaryMemoryBuffer,
    FactExtractionMemoryBlock,
    Memory,
    VectorMemoryBlock,
)
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent
from pydantic import BaseModel
from waiting import eventually
from workflows.context.state_store import UnserializableKeyWarning
from workflows.errors import WorkflowCancelledByUser, WorkflowTimeoutError

from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints import StreamInterruptedError
from ovhcloud_ai_endpoints.testing import CUT, LocalEndpoints, Pause

pytestmark = [
    pytest.mark.usefixtures("environ"),
    # Core imports LangChain's community package if it is there, which says that it is being sunset.
    pytest.mark.filterwarnings("ignore:`langchain-community` is being sunset:DeprecationWarning"),
    # Core itself asks a step whether it runs, which the workflows warn of.
    pytest.mark.filterwarnings("ignore:is_running called:DeprecationWarning"),
]
PICTURE = (Path(__file__).parents[1] / "data" / "square.png").read_bytes()
PICTURE_URL = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
WITH_A_HUMAN = Path(__file__).with_name("agent_with_a_human.py")


class Weather(BaseModel):
    """The weather."""

    city: str
    sky: str


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


@pytest.fixture
def llm() -> ChatOVHCloud:
    return ChatOVHCloud(model="gpt-oss-120b")


async def run(agent: Any, message: str | ChatMessage, **options: Any) -> tuple[AgentOutput, list[Any]]:
    """An agent's answer, and what it told on the way."""
    running = agent.run(message, **options)
    events = [event async for event in running.stream_events()]
    return await running, events


def last_messages(server: LocalEndpoints) -> list[dict[str, Any]]:
    """Those of the last chat."""
    return [one.json["messages"] for one in server.requests if "messages" in one.json][-1]


class TestSeveralAgents:
    @pytest.fixture
    def workflow(self, environ: LocalEndpoints) -> AgentWorkflow:
        """Each of another model's family."""

        async def note(ctx: Context, text: str) -> str:
            """Notes something."""
            async with ctx.store.edit_state() as state:
                state["state"]["notes"].append(text)
            return "Noted"

        return AgentWorkflow(
            agents=[
                FunctionAgent(
                    name="finder",
                    description="finds",
                    tools=[get_weather, note],
                    llm=ChatOVHCloud(model="gpt-oss-120b"),
                    can_handoff_to=["writer"],
                ),
                FunctionAgent(
                    name="writer",
                    description="writes",
                    tools=[note],
                    llm=ChatOVHCloud(model="Qwen3.6-27B"),
                    system_prompt="Write well",
                    can_handoff_to=["checker"],
                ),
                ReActAgent(
                    name="checker",
                    description="checks",
                    tools=[get_weather],
                    llm=ChatOVHCloud(model="Mistral-7B-Instruct-v0.3"),
                    can_handoff_to=[],
                ),
            ],
            root_agent="finder",
            initial_state={"notes": []},
        )

    @pytest.fixture
    def scripted(self, server: LocalEndpoints) -> LocalEndpoints:
        server.reply(tool_calls=[("get_weather", {"city": "Oslo"}, "a")], reasoning="I look.")
        server.reply(tool_calls=[("note", {"text": "sunny"}, "b")], reasoning="I note.")
        server.reply(tool_calls=[("handoff", {"to_agent": "writer", "reason": "a report"}, "c")], reasoning="Enough.")
        server.reply(tool_calls=[("handoff", {"to_agent": "checker", "reason": "a check"}, "d")])
        server.reply("Thought: I can answer without using any more tools.\nAnswer: Sunny in Oslo, checked.")
        return server

    async def test_hand_over_from_model_to_model(self, scripted: LocalEndpoints, workflow: AgentWorkflow) -> None:
        answer, events = await run(workflow, "Report the weather in Oslo")

        assert str(answer) == "Sunny in Oslo, checked."
        assert answer.current_agent_name == "checker"
        assert [one.json["model"] for one in scripted.requests] == [
            *["gpt-oss-120b"] * 3,
            "Qwen3.6-27B",
            "Mistral-7B-Instruct-v0.3",
        ]
        assert [event.tool_name for event in events if isinstance(event, ToolCallResult)] == [
            "get_weather",
            "note",
            "handoff",
            "handoff",
        ]
        assert scripted.refusals == []

    async def test_offer_to_each_model_only_its_own_tools(
        self, scripted: LocalEndpoints, workflow: AgentWorkflow
    ) -> None:
        await run(workflow, "Report the weather in Oslo")

        offered = [[tool["function"]["name"] for tool in one.json.get("tools", [])] for one in scripted.requests]
        assert offered == [*[["get_weather", "note", "handoff"]] * 3, ["note", "handoff"], []]

    async def test_tell_the_next_model_what_the_last_one_did(
        self, scripted: LocalEndpoints, workflow: AgentWorkflow
    ) -> None:
        await run(workflow, "Report the weather in Oslo")

        written = scripted.requests[3].json["messages"]
        assert written[0] == {"role": "system", "content": "Write well"}
        assert [message["content"] for message in written if message["role"] == "tool"][:2] == [
            "Sunny in Oslo",
            "Noted",
        ]
        assert "a report" in written[-1]["content"]

    @pytest.mark.filterwarnings("ignore::workflows.context.state_store.UnserializableKeyWarning")  # the next test's
    async def test_share_a_state_that_is_put_before_each_question(
        self, scripted: LocalEndpoints, workflow: AgentWorkflow
    ) -> None:
        context = Context(workflow)
        await run(workflow, "Report the weather in Oslo", ctx=context)
        scripted.reply("Hello")
        await run(workflow, "Again", ctx=context)

        assert "'notes': ['sunny']" in last_messages(scripted)[-1]["content"]

    @pytest.mark.xfail(
        raises=UnserializableKeyWarning, reason="core's SimpleChatStore can't be serialised with pydantic 2.14"
    )
    async def test_remember_between_runs_of_one_context(self, server: LocalEndpoints, workflow: AgentWorkflow) -> None:
        context = Context(workflow)
        server.reply("It is sunny", times=2)
        await run(workflow, "Report the weather in Oslo", ctx=context)
        await run(workflow, "Again", ctx=context)

        assert [message["role"] for message in last_messages(server)] == ["user", "assistant", "user"]

    async def test_say_who_speaks_while_they_stream(self, scripted: LocalEndpoints, workflow: AgentWorkflow) -> None:
        _, events = await run(workflow, "Report the weather in Oslo")

        streamed = [event for event in events if isinstance(event, AgentStream)]
        thoughts = "".join(event.thinking_delta or "" for event in streamed if event.current_agent_name == "finder")
        said = "".join(event.delta for event in streamed if event.current_agent_name == "checker")
        assert thoughts == "I look.I note.Enough."
        assert said.endswith("Answer: Sunny in Oslo, checked.")

    async def test_refuse_to_hand_over_to_an_agent_that_may_not(
        self, server: LocalEndpoints, workflow: AgentWorkflow
    ) -> None:
        server.reply(tool_calls=[("handoff", {"to_agent": "checker", "reason": "a check"})])
        server.reply("Then not")

        answer, _ = await run(workflow, "Check")

        assert answer.current_agent_name == "finder"
        assert "cannot hand off" in last_messages(server)[-1]["content"]

    async def test_give_an_object_in_the_end(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        agent = FunctionAgent(name="finder", tools=[get_weather], llm=llm)
        workflow = AgentWorkflow(agents=[agent], output_cls=Weather)
        server.reply(tool_calls=[("get_weather", {"city": "Oslo"})])
        server.reply("Sunny in Oslo")
        server.reply('{"city": "Oslo", "sky": "sunny"}')

        answer, events = await run(workflow, "Weather in Oslo?")

        (told,) = [event.output for event in events if isinstance(event, AgentStreamStructuredOutput)]
        assert answer.get_pydantic_model(Weather) == Weather(city="Oslo", sky="sunny")
        assert told == {"city": "Oslo", "sky": "sunny"}
        assert "tools" not in server.requests[-1].json

    async def test_work_one_inside_the_other(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        inner = FunctionAgent(tools=[get_weather], llm=ChatOVHCloud(model="Qwen3.6-27B"))

        async def ask_the_expert(question: str) -> str:
            """Asks an agent that knows the weather."""
            return str(await inner.run(question))

        server.reply(tool_calls=[("ask_the_expert", {"question": "Oslo?"})])
        server.reply(tool_calls=[("get_weather", {"city": "Oslo"})])
        server.reply("Sunny, says the expert")
        server.reply("It is sunny")

        answer, _ = await run(FunctionAgent(tools=[ask_the_expert], llm=llm), "Weather in Oslo?")

        assert str(answer) == "It is sunny"
        assert last_messages(server)[-1]["content"] == "Sunny, says the expert"
        assert [one.json["model"] for one in server.requests] == [
            "gpt-oss-120b",
            "Qwen3.6-27B",
            "Qwen3.6-27B",
            "gpt-oss-120b",
        ]


class TestHumans:
    async def test_are_asked_within_a_run(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        async def delete(ctx: Context, path: str) -> str:
            """Deletes a file, after a human was asked."""
            question = InputRequiredEvent(prefix=f"Delete {path}?")
            response = await ctx.wait_for_event(HumanResponseEvent, waiter_event=question, waiter_id=path)
            return f"They said {response.response}"

        server.reply(tool_calls=[("delete", {"path": "a.txt"})])
        server.reply("I kept it")
        running = FunctionAgent(tools=[delete], llm=llm).run("Clean up")
        async for event in running.stream_events():
            if isinstance(event, InputRequiredEvent):
                running.ctx.send_event(HumanResponseEvent(response=f"no to {event.prefix}"))

        assert str(await running) == "I kept it"
        assert last_messages(server)[-1]["content"] == "They said no to Delete a.txt?"
        assert len(server.requests) == 2

    @pytest.mark.timeout(120)  # two processes import LlamaIndex
    async def test_answer_to_another_process_than_asked(self, server: LocalEndpoints, tmp_path: Path) -> None:
        server.reply(tool_calls=[("delete", {"path": "a.txt"})], reasoning="A file.")
        server.reply("Done")

        asked = self.process(server, "ask", tmp_path)
        before = len(server.requests)
        answered = self.process(server, "answer", tmp_path, "yes")

        assert (asked, before, answered) == ("Delete a.txt?", 1, "Done {'folder': 'notes'}")
        assert last_messages(server)[-1]["content"] == "Deleted a.txt"
        assert last_messages(server)[-2]["reasoning"] == "A file."
        assert [message["role"] for message in last_messages(server)] == ["system", "user", "assistant", "tool"]

    @staticmethod
    def process(server: LocalEndpoints, *arguments: str | Path) -> str:
        """What a process prints that runs the program."""
        done = subprocess.run(
            [sys.executable, WITH_A_HUMAN, *arguments],
            env=os.environ | server.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


class TestMemories:
    async def test_are_cut_to_their_size(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        memory = ChatMemoryBuffer.from_defaults(token_limit=36, tokenizer_fn=str.split)
        agent = FunctionAgent(tools=[get_weather], llm=llm)
        server.reply("one " * 30)
        await run(agent, "first " * 5, memory=memory)
        server.reply("Yes")
        await run(agent, "second " * 5, memory=memory)

        assert [message["content"] for message in last_messages(server)] == ["second " * 5]

    async def test_keep_thoughts_and_calls_in_a_file_for_the_next_run(
        self, server: LocalEndpoints, llm: ChatOVHCloud, tmp_path: Path
    ) -> None:
        address = f"sqlite+aiosqlite:///{tmp_path / 'memory.sqlite'}"
        agent = FunctionAgent(tools=[get_weather], llm=llm)
        server.reply(tool_calls=[("get_weather", {"city": "Oslo"}, "a")], reasoning="I look.")
        server.reply("Sunny", reasoning="I see.")
        await run(agent, "Oslo?", memory=Memory.from_defaults(session_id="s", async_database_uri=address))
        server.reply("Yes")
        await run(agent, "Sure?", memory=Memory.from_defaults(session_id="s", async_database_uri=address))

        user, call, result, said, asked = last_messages(server)
        assert (user["content"], result["content"], asked["content"]) == ("Oslo?", "Sunny in Oslo", "Sure?")
        assert call["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
        assert (said["role"], said["content"]) == ("assistant", "Sunny")

    async def test_that_summarise_ask_the_model(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        memory = ChatSummaryMemoryBuffer.from_defaults(llm=llm, token_limit=36, tokenizer_fn=str.split)
        agent = FunctionAgent(tools=[get_weather], llm=llm)
        server.reply("one " * 30)
        await run(agent, "first " * 5, memory=memory)
        server.reply("They counted.")
        server.reply("Yes")
        answer, _ = await run(agent, "second " * 5, memory=memory)

        assert str(answer) == "Yes"
        assert any("They counted." in str(message["content"]) for message in last_messages(server))
        assert "one one" not in str(last_messages(server))

    async def test_that_learn_facts_ask_the_model(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        facts = FactExtractionMemoryBlock(llm=llm)
        memory = self.small(facts)
        agent = FunctionAgent(tools=[get_weather], llm=llm)
        server.reply("Hello Ada. " + "word " * 60)
        server.reply("<facts><fact>The user is called Ada</fact></facts>", reasoning="<fact>wrong</fact>")
        await run(agent, "I am Ada. " + "word " * 30, memory=memory)
        server.reply("Ada")
        await run(agent, "Who am I?", memory=memory)

        assert facts.facts == ["The user is called Ada"]
        assert "The user is called Ada" in last_messages(server)[0]["content"]
        assert last_messages(server)[0]["role"] == "system"

    async def test_that_look_for_what_was_said_embed_it(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        memory = self.small(VectorMemoryBlock(vector_store=Store(), embed_model=OVHCloudEmbeddings()))
        agent = FunctionAgent(tools=[get_weather], llm=llm)
        server.reply("Hello Ada. " + "word " * 60)
        await run(agent, "I am Ada. " + "word " * 30, memory=memory)
        server.reply("Ada")
        await run(agent, "Who am I?", memory=memory)

        embedded = [one.json["input"][0] for one in server.requests if "input" in one.json]
        assert any(text.startswith("<message role='user'>I am Ada.") for text in embedded)
        assert "I am Ada." in last_messages(server)[0]["content"]

    @staticmethod
    def small(block: Any) -> Memory:
        """A memory that moves all but the last messages into its block."""
        return Memory.from_defaults(
            session_id="s",
            token_limit=100,
            chat_history_token_ratio=0.2,
            token_flush_size=10,
            tokenizer_fn=str.split,
            memory_blocks=[block],
        )


class Store(SimpleVectorStore):
    """One that keeps the nodes, as the memory needs it."""

    stores_text: bool = True
    kept: dict[str, Any] = {}

    def add(self, nodes: Any, **options: Any) -> list[str]:
        self.kept |= {node.node_id: node for node in nodes}
        return super().add(nodes, **options)

    def query(self, query: Any, **options: Any) -> Any:
        found = super().query(query, **options)
        found.nodes = [self.kept[id_] for id_ in found.ids]
        return found


class TestTools:
    async def test_give_images_to_a_model_that_sees(self, server: LocalEndpoints) -> None:
        def look(city: str) -> list[TextBlock | ImageBlock]:
            """Takes a picture."""
            return [TextBlock(text=f"{city} at noon"), ImageBlock(image=PICTURE)]

        server.reply(tool_calls=[("look", {"city": "Oslo"})])
        server.reply("A square")

        answer, _ = await run(FunctionAgent(tools=[look], llm=ChatOVHCloud(model="Qwen3.6-27B")), "Look at Oslo")

        assert str(answer) == "A square"
        assert server.refusals == []
        assert "Oslo at noon" in str(last_messages(server))
        assert PICTURE_URL in str(last_messages(server))

    async def test_give_a_note_instead_of_an_image_to_a_model_that_reads_only(
        self, server: LocalEndpoints, llm: ChatOVHCloud
    ) -> None:
        def look() -> list[TextBlock | ImageBlock]:
            """Takes a picture."""
            return [TextBlock(text="Oslo at noon"), ImageBlock(image=PICTURE)]

        server.reply(tool_calls=[("look", {})])
        server.reply("I can't see it")

        answer, _ = await run(FunctionAgent(tools=[look], llm=llm), "Look at Oslo")

        assert str(answer) == "I can't see it"
        assert server.refusals == []
        assert "Oslo at noon" in str(last_messages(server)[-1]["content"])
        assert PICTURE_URL not in str(last_messages(server))

    async def test_give_files_as_text_or_as_a_note(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        def read() -> list[DocumentBlock]:
            """Reads files."""
            text = base64.b64encode(b"Rome is in Italy").decode()
            return [
                DocumentBlock(data=text.encode(), document_mimetype="text/plain", title="a.txt"),
                DocumentBlock(data=base64.b64encode(b"%PDF-1.7"), document_mimetype="application/pdf", title="b.pdf"),
            ]

        server.reply(tool_calls=[("read", {})])
        server.reply("Italy")

        answer, _ = await run(FunctionAgent(tools=[read], llm=llm), "Where is Rome?")

        content = str(last_messages(server)[-1]["content"])
        assert str(answer) == "Italy"
        assert "Rome is in Italy" in content
        assert "can't be shown to the model" in content

    @pytest.mark.parametrize("agent_class", [FunctionAgent, ReActAgent])
    async def test_that_raise_tell_the_model_why(
        self, server: LocalEndpoints, llm: ChatOVHCloud, agent_class: type[Any]
    ) -> None:
        def fail(city: str) -> str:
            """Fails."""
            raise RuntimeError(f"no sensor in {city}")

        if agent_class is FunctionAgent:
            server.reply(tool_calls=[("fail", {"city": "Oslo"})])
            server.reply("Sorry")
        else:
            server.reply('Thought: I look.\nAction: fail\nAction Input: {"city": "Oslo"}')
            server.reply("Thought: I cannot answer the question with the provided tools.\nAnswer: Sorry")

        answer, events = await run(agent_class(tools=[fail], llm=llm), "Weather in Oslo?")

        (result,) = [event.tool_output for event in events if isinstance(event, ToolCallResult)]
        assert str(answer) == "Sorry"
        assert result.is_error
        assert "no sensor in Oslo" in last_messages(server)[-1]["content"]

    async def test_of_react_are_not_called_by_thoughts(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply(
            "Thought: I can answer without using any more tools.\nAnswer: Rainy",
            reasoning='Action: get_weather\nAction Input: {"city": "Oslo"}',
        )

        answer, events = await run(ReActAgent(tools=[get_weather], llm=llm), "Weather in Oslo?")

        assert str(answer) == "Rainy"
        assert not [event for event in events if isinstance(event, ToolCallResult)]

    async def test_of_react_are_asked_for_again_after_an_answer_without_form(
        self, server: LocalEndpoints, llm: ChatOVHCloud
    ) -> None:
        server.reply("Action: get_weather without anything that could be read")
        server.reply("Thought: I can answer without using any more tools.\nAnswer: Rainy")

        answer, _ = await run(ReActAgent(tools=[get_weather], llm=llm), "Weather in Oslo?")

        assert str(answer) == "Rainy"
        assert "Error while parsing the output" in str(last_messages(server))


async def test_code_runs_until_there_is_an_answer(server: LocalEndpoints, llm: ChatOVHCloud) -> None:
    names: dict[str, Any] = {"get_weather": get_weather}

    def execute(code: str) -> str:
        exec(code, names)
        return str(names["found"])

    server.reply('I ask.\n<execute>\nfound = get_weather("Oslo")\n</execute>', reasoning="<execute>1 / 0</execute>")
    server.reply("And again.\n<execute>\nfound = found.upper()\n</execute>")
    server.reply("SUNNY it is")

    answer, events = await run(
        CodeActAgent(code_execute_fn=execute, tools=[get_weather], llm=llm), "Weather in Oslo, loudly?"
    )

    assert str(answer) == "SUNNY it is"
    assert [str(event.tool_output) for event in events if isinstance(event, ToolCallResult)] == [
        "Sunny in Oslo",
        "SUNNY IN OSLO",
    ]
    assert "SUNNY IN OSLO" in last_messages(server)[-1]["content"]
    assert "def get_weather(city: str) -> str" in last_messages(server)[0]["content"]


class TestRunsThatEndEarly:
    @pytest.mark.parametrize("model", ["gpt-oss-120b", "Qwen3.6-27B", "Mistral-7B-Instruct-v0.3"])
    async def test_at_their_last_step_give_an_answer_if_asked_to(self, server: LocalEndpoints, model: str) -> None:
        server.reply(tool_calls=[("get_weather", {"city": "Oslo"})], times=2)
        server.reply("Sunny, as far as I know")
        agent = FunctionAgent(tools=[get_weather], llm=ChatOVHCloud(model=model), early_stopping_method="generate")

        answer, _ = await run(agent, "Weather in Oslo?", max_iterations=2)

        assert str(answer) == "Sunny, as far as I know"
        assert server.refusals == []
        assert len(server.requests) == 3

    async def test_by_cancelling_leave_no_stream_open(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        begun = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "It is"}}]}
        server.reply(events=[begun, Pause(60)])
        running = FunctionAgent(tools=[get_weather], llm=llm).run("Weather in Oslo?")

        async for event in running.stream_events():
            if isinstance(event, AgentStream) and event.delta == "It is":
                await running.cancel_run()

        with pytest.raises(WorkflowCancelledByUser):
            await running
        assert await asyncio.to_thread(eventually, lambda: server.hung_up == 1)
        assert len(server.requests) == 1

    async def test_by_a_timeout_leave_no_stream_open(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        begun = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "It is"}}]}
        agent = FunctionAgent(tools=[get_weather], llm=llm, timeout=2)
        await run(agent, "Hello")  # so that all is imported when the time begins
        server.reply(events=[begun, Pause(60)])

        with pytest.raises(WorkflowTimeoutError):
            await run(agent, "Weather in Oslo?")

        assert await asyncio.to_thread(eventually, lambda: server.hung_up == 1)

    async def test_because_a_stream_broke_off_raise_what_was_said(
        self, server: LocalEndpoints, llm: ChatOVHCloud
    ) -> None:
        begun = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "It is"}}]}
        server.reply(events=[begun, CUT])

        with pytest.raises(StreamInterruptedError) as raised:
            await run(FunctionAgent(tools=[get_weather], llm=llm), "Weather in Oslo?")

        assert raised.value.partial.text == "It is"

    async def test_can_be_run_again(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        memory = Memory.from_defaults(session_id="s")
        agent = FunctionAgent(tools=[get_weather], llm=llm)
        server.reply(events=[{"choices": [{"index": 0, "delta": {"content": "It is"}}]}, CUT])
        with pytest.raises(StreamInterruptedError):
            await run(agent, "Weather in Oslo?", memory=memory)
        server.reply("Sunny")

        answer, _ = await run(agent, "Again, please", memory=memory)

        assert str(answer) == "Sunny"
        assert [message["content"] for message in last_messages(server)] == ["Weather in Oslo?", "Again, please"]
