"""An agent that asks a human before it acts. One process asks, and another goes on with the answer.

python agent_with_a_human.py ask FOLDER         prints the question, and writes the run into the folder
python agent_with_a_human.py answer FOLDER yes  goes on with that run, and prints the agent's answer and the state
"""

import asyncio
import json
import sys
from pathlib import Path

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.memory import Memory
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent, JsonSerializer

from llama_index_ovhcloud import ChatOVHCloud


async def delete(ctx: Context, path: str) -> str:
    """Deletes a file, after a human was asked."""
    question = InputRequiredEvent(prefix=f"Delete {path}?")
    response = await ctx.wait_for_event(HumanResponseEvent, waiter_event=question, waiter_id=path)
    return f"Deleted {path}" if response.response == "yes" else f"Kept {path}"


def workflow() -> AgentWorkflow:
    cleaner = FunctionAgent(
        name="cleaner",
        description="cleans",
        tools=[delete],
        llm=ChatOVHCloud(model="gpt-oss-120b"),
        system_prompt="Be careful",
    )
    return AgentWorkflow(agents=[cleaner], initial_state={"folder": "notes"})


async def ask(memory: Memory) -> tuple[str, str]:
    """The question to the human, and the run as JSON."""
    running = workflow().run("Clean up", memory=memory)
    async for event in running.stream_events():
        if isinstance(event, InputRequiredEvent):
            saved = running.ctx.to_dict(serializer=JsonSerializer())
            await running.cancel_run()
            return event.prefix, json.dumps(saved)
    raise RuntimeError("nothing was asked")


async def answer(memory: Memory, saved: str, text: str) -> str:
    resumed = workflow()
    context = Context.from_dict(resumed, json.loads(saved), serializer=JsonSerializer())
    running = resumed.run(ctx=context)
    await running.ctx.store.set("memory", memory)  # which a saved context doesn't hold
    running.ctx.send_event(HumanResponseEvent(response=text))
    return f"{await running} {await running.ctx.store.get('state')}"


def main(step: str, folder: str, *text: str) -> str:
    file = Path(folder) / "run.json"
    address = f"sqlite+aiosqlite:///{Path(folder) / 'memory.sqlite'}"
    memory = Memory.from_defaults(session_id="run", async_database_uri=address)
    if step == "answer":
        return asyncio.run(answer(memory, file.read_text(), *text))
    question, saved = asyncio.run(ask(memory))
    file.write_text(saved)
    return question


if __name__ == "__main__":
    print(main(*sys.argv[1:]))  # noqa: T201
