"""Deep agents on our chat model: plans, files, subagents, images of files, and summaries when the window is full."""

import asyncio
import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from deepagents import create_deep_agent
from deepagents.backends import FilesystemBackend
from langchain.agents.middleware import TodoListMiddleware
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel

import langchain_ovhcloud
from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import ContextOverflowError
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.usefixtures("environ")
MODEL = "gpt-oss-120b"
SEES = "Qwen3.6-27B"
PICTURE = Path(__file__).parents[1] / "data" / "square.png"
ASKED: dict[str, Any] = {"messages": [HumanMessage("Write a report.")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}


@pytest.fixture(autouse=True)
def _nothing_is_refused(server: LocalEndpoints) -> Iterator[None]:
    yield
    assert server.refusals == []
    assert server.unplayed == 0


@pytest.fixture
def model() -> ChatOVHCloud:
    return ChatOVHCloud(model=MODEL)


@pytest.fixture(params=["blocking", "awaited"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def run(agent: Any, *args: Any) -> Any:
        return agent.invoke(*args) if request.param == "blocking" else asyncio.run(agent.ainvoke(*args))

    return run


def results(server: LocalEndpoints, at: int = -1) -> list[tuple[str, Any]]:
    """The tools' results that a request has: name and content."""
    messages = server.requests[at].json["messages"]
    return [(message["name"], message["content"]) for message in messages if message["role"] == "tool"]


def tools_of(server: LocalEndpoints, at: int = 0) -> set[str]:
    return {tool["function"]["name"] for tool in server.requests[at].json.get("tools", [])}


def calls(server: LocalEndpoints, *steps: tuple[str, dict[str, Any]]) -> None:
    """Scripts an answer with a call for each step, and a last one."""
    for number, (name, arguments) in enumerate(steps):
        server.reply(reasoning=f"Step {number}.", tool_calls=[(name, arguments, f"call-{number}")])
    server.reply("Done.")


class TestFiles:
    def test_are_written_edited_listed_and_read(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        calls(
            server,
            ("write_file", {"file_path": "/report.md", "content": "# Report\nold"}),
            ("edit_file", {"file_path": "/report.md", "old_string": "old", "new_string": "new"}),
            ("ls", {"path": "/"}),
            ("grep", {"pattern": "new", "path": "/"}),
            ("read_file", {"file_path": "/report.md"}),
        )

        done = run(create_deep_agent(model), ASKED)

        assert done["files"]["/report.md"]["content"] == "# Report\nnew"
        names, contents = zip(*results(server), strict=True)
        assert names == ("write_file", "edit_file", "ls", "grep", "read_file")
        assert "/report.md" in contents[2]
        assert "/report.md" in contents[3]
        assert contents[-1].endswith("# Report\nnew")

    def test_that_are_missing_are_told_to_it(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        calls(server, ("read_file", {"file_path": "/nowhere.md"}))

        done = run(create_deep_agent(model), ASKED)

        assert done["messages"][-1].text == "Done."
        assert "not found" in results(server)[0][1]

    def test_keep_the_reasoning_of_the_whole_turn(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        calls(server, ("ls", {"path": "/"}), ("ls", {"path": "/"}), ("ls", {"path": "/"}))

        create_deep_agent(model).invoke(ASKED)

        messages = server.requests[-1].json["messages"]
        assert [message["reasoning"] for message in messages if message["role"] == "assistant"] == [
            "Step 0.",
            "Step 1.",
            "Step 2.",
        ]


class TestFilesThatAreNoText:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> FilesystemBackend:
        (tmp_path / "square.png").write_bytes(PICTURE.read_bytes())
        (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.4 some bytes")
        (tmp_path / "sound.wav").write_bytes(b"RIFF" + bytes(range(256)) * 4)
        return FilesystemBackend(root_dir=str(tmp_path), virtual_mode=True)

    def test_images_are_shown_to_a_model_that_sees(
        self, server: LocalEndpoints, run: Any, folder: FilesystemBackend
    ) -> None:
        calls(server, ("read_file", {"file_path": "/square.png"}))

        run(create_deep_agent(ChatOVHCloud(model=SEES), backend=folder), ASKED)

        data = base64.b64encode(PICTURE.read_bytes()).decode()
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
        assert results(server) == [("read_file", [image])]

    @pytest.mark.parametrize(("name", "file"), [(MODEL, "square.png"), (MODEL, "paper.pdf"), (SEES, "paper.pdf")])
    def test_others_are_notes(
        self, server: LocalEndpoints, run: Any, folder: FilesystemBackend, name: str, file: str
    ) -> None:
        calls(server, ("read_file", {"file_path": f"/{file}"}))

        run(create_deep_agent(ChatOVHCloud(model=name), backend=folder), ASKED)

        ((_, content),) = results(server)
        assert re_matches_note(content, file)

    def test_sounds_are_notes(self, server: LocalEndpoints, model: ChatOVHCloud, folder: FilesystemBackend) -> None:
        calls(server, ("read_file", {"file_path": "/sound.wav"}))

        create_deep_agent(model, backend=folder).invoke(ASKED)

        ((_, content),) = results(server)
        assert "base64" not in content
        assert len(content) < 200

    def test_images_of_before_are_notes_for_another_model(
        self, server: LocalEndpoints, model: ChatOVHCloud, folder: FilesystemBackend
    ) -> None:
        calls(server, ("read_file", {"file_path": "/square.png"}))
        store = InMemorySaver()
        create_deep_agent(ChatOVHCloud(model=SEES), backend=folder, checkpointer=store).invoke(ASKED, THREAD)
        server.reply("I can't see.")

        other = create_deep_agent(model, backend=folder, checkpointer=store)
        other.invoke({"messages": [HumanMessage("And you?")]}, THREAD)

        ((_, content),) = results(server)
        assert re_matches_note(content, "square.png")


def re_matches_note(content: Any, file: str) -> bool:
    """Whether the model is told, in a short text, that it can't see a file."""
    return isinstance(content, str) and f"/{file} was not attached" in content and len(content) < 200


class TestPlans:
    TODOS = ({"content": "Look", "status": "in_progress"}, {"content": "Write", "status": "pending"})

    def test_are_kept(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        calls(server, ("write_todos", {"todos": list(self.TODOS)}))

        done = run(create_deep_agent(model, middleware=[TodoListMiddleware()]), ASKED)

        assert done["todos"] == list(self.TODOS)
        assert "write_todos" in tools_of(server)
        assert "'Look'" in results(server)[0][1]

    def test_reach_the_tool_when_the_model_writes_them_as_a_text(
        self, server: LocalEndpoints, model: ChatOVHCloud
    ) -> None:
        text = '[{"content": "Look", "status": "in_progress"}, {"content": "Write", "status": "pending"}]'
        calls(server, ("write_todos", {"todos": text}))

        done = create_deep_agent(model, middleware=[TodoListMiddleware()]).invoke(ASKED)

        assert done["todos"] == list(self.TODOS)


class TestSubagents:
    CRITIC: Any = {"name": "critic", "description": "Criticises.", "system_prompt": "You are a critic."}

    def test_work_alone_and_report(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        server.reply(tool_calls=[("task", {"description": "Criticise it.", "subagent_type": "critic"}, "call-1")])
        server.reply("It is dull.", reasoning="Let me see.")
        server.reply("Done.")

        done = run(create_deep_agent(model, subagents=[self.CRITIC]), ASKED)

        assert done["messages"][-1].text == "Done."
        system, question = server.requests[1].json["messages"]
        assert system["content"].startswith("You are a critic.")
        assert question == {"role": "user", "content": "Criticise it."}
        assert results(server) == [("task", "It is dull.")]
        assert "task" not in tools_of(server, 1)

    def test_may_use_another_model(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        server.reply(tool_calls=[("task", {"description": "Criticise it.", "subagent_type": "critic"}, "call-1")])
        server.reply("It is dull.")
        server.reply("Done.")

        run(create_deep_agent(model, subagents=[{**self.CRITIC, "model": ChatOVHCloud(model=SEES)}]), ASKED)

        assert [request.json["model"] for request in server.requests] == [MODEL, SEES, MODEL]

    def test_work_at_once(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        tasks = [{"description": f"Task {number}", "subagent_type": "critic"} for number in range(3)]
        server.reply(tool_calls=[("task", task, f"call-{number}") for number, task in enumerate(tasks)])
        server.reply("Dull.", times=3, until=lambda: len(server.requests) >= 4)
        server.reply("Done.")

        done = run(create_deep_agent(model, subagents=[self.CRITIC]), ASKED)

        assert done["messages"][-1].text == "Done."
        assert results(server) == [("task", "Dull.")] * 3
        asked = sorted(request.json["messages"][-1]["content"] for request in server.requests[1:4])
        assert asked == ["Task 0", "Task 1", "Task 2"]

    def test_stream_their_tokens(self, server: LocalEndpoints, model: ChatOVHCloud) -> None:
        server.reply(tool_calls=[("task", {"description": "Criticise it.", "subagent_type": "critic"}, "call-1")])
        server.reply("It is dull.")
        server.reply("Done.")
        agent = create_deep_agent(model, subagents=[self.CRITIC])

        texts: dict[bool, str] = {}
        for namespace, (chunk, _) in agent.stream(ASKED, stream_mode="messages", subgraphs=True):
            if isinstance(chunk, AIMessageChunk):
                texts[bool(namespace)] = texts.get(bool(namespace), "") + chunk.text

        assert texts == {True: "It is dull.", False: "Done."}

    def test_give_objects(self, server: LocalEndpoints, model: ChatOVHCloud, run: Any) -> None:
        class Verdict(BaseModel):
            """A verdict."""

            is_good: bool

        server.reply(tool_calls=[("task", {"description": "Criticise it.", "subagent_type": "critic"}, "call-1")])
        server.reply(tool_calls=[("Verdict", {"is_good": False}, "call-2")])
        server.reply("Done.")

        run(create_deep_agent(model, subagents=[{**self.CRITIC, "response_format": Verdict}]), ASKED)

        assert results(server) == [("task", '{"is_good":false}')]


def test_a_file_is_written_only_when_a_human_agrees(
    server: LocalEndpoints, model: ChatOVHCloud, run: Callable[..., Any]
) -> None:
    agent = create_deep_agent(model, interrupt_on={"write_file": True}, checkpointer=InMemorySaver())
    calls(server, ("write_file", {"file_path": "/report.md", "content": "Hello"}))

    paused = run(agent, ASKED, THREAD)
    assert [pause.value["action_requests"][0]["name"] for pause in paused["__interrupt__"]] == ["write_file"]
    assert not paused.get("files")
    done = run(agent, Command(resume={"decisions": [{"type": "approve"}]}), THREAD)

    assert done["files"]["/report.md"]["content"] == "Hello"
    assert server.requests[-1].json["messages"][-2]["reasoning"] == "Step 0."


def test_a_model_may_be_named(server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]) -> None:
    import langchain.chat_models.base

    monkeypatch.setattr(
        langchain.chat_models.base, "_BUILTIN_PROVIDERS", dict(langchain.chat_models.base._BUILTIN_PROVIDERS)
    )
    langchain_ovhcloud.register()
    server.reply("Done.")

    done = run(create_deep_agent(f"ovhcloud:{MODEL}"), ASKED)

    langchain.chat_models.base._get_chat_model_creator.cache_clear()
    assert done["messages"][-1].text == "Done."
    assert server.requests[0].json["model"] == MODEL


class TestAFullWindow:
    LONG: Any = [
        kind(f"Part {number}. " + "word " * 2000) for number in range(12) for kind in (HumanMessage, AIMessage)
    ]

    @pytest.mark.parametrize(
        "refusal",
        [
            {"error": {"message": "This model's maximum context length is 131072 tokens. You asked for more."}},
            {"error": {"message": "max_tokens must be at least 1, got -7. (parameter=max_tokens, value=-7)"}},
        ],
        ids=["length", "max_tokens"],
    )
    def test_makes_the_agent_summarise_and_go_on(
        self, server: LocalEndpoints, model: ChatOVHCloud, run: Any, refusal: dict[str, Any]
    ) -> None:
        server.reply(status=400, body=refusal)
        server.reply("They talked about parts.")
        server.reply("Onwards.")

        done = run(create_deep_agent(model), {"messages": [*self.LONG, HumanMessage("And?")]})

        assert done["messages"][-1].text == "Onwards."
        first, summary, last = [request.json["messages"] for request in server.requests]
        assert len(first) == 26
        assert "Part 0." in str(summary)
        assert len(last) < len(first)
        assert "They talked about parts." in str(last)
        assert last[-1] == {"role": "user", "content": "And?"}

    def test_is_foreseen_by_the_window_of_the_catalogue(
        self, server: LocalEndpoints, model: ChatOVHCloud, run: Any
    ) -> None:
        server.reply("They talked about parts.")
        server.reply("Onwards.")
        talk = [message.model_copy(update={"content": message.content * 2}) for message in self.LONG]

        done = run(create_deep_agent(model), {"messages": [*talk, HumanMessage("And?")]})

        assert done["messages"][-1].text == "Onwards."
        assert len(server.requests) == 2

    def test_without_anything_to_leave_out_is_an_error(
        self, server: LocalEndpoints, model: ChatOVHCloud, run: Any
    ) -> None:
        server.reply(status=400, body={"error": {"message": "This model's maximum context length is 131072 tokens."}})

        with pytest.raises(Exception, match="does not fit") as failure:
            run(create_deep_agent(model), ASKED)
        assert isinstance(failure.value.__cause__, ContextOverflowError)
