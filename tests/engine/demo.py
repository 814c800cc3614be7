"""Runs the quickstarts on real models, on this machine and without a key.

    python tests/engine/demo.py PYTHON FOLDER QUESTION

PYTHON is that of an environment with the packages that the quickstarts need.
An engine serves one model, so two of them stand behind one URL here, as the service's models do.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]

from engines import TOOL_CALLS, Engine, engine
from processes import bare_environ

SHORT = ("--override-generation-config", '{"max_new_tokens": 200, "temperature": 0}')  # a small model finds no end
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@asynccontextmanager
async def front(chat: Engine, vectors: Engine) -> AsyncIterator[str]:
    """The URL of a server that passes embeddings to one engine, and all else to another."""

    async def pass_on(request: web.Request) -> web.StreamResponse:
        to = vectors if request.path.endswith("/embeddings") else chat
        body, headers = await request.read(), {"Content-Type": request.content_type}
        async with session.request(request.method, to.root + request.path, headers=headers, data=body) as answer:
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            await response.prepare(request)
            async for data in answer.content.iter_any():
                await response.write(data)
            return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pass_on)
    runner = web.AppRunner(app)
    async with aiohttp.ClientSession() as session:
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()


async def main(python: str, *arguments: str) -> int:
    print(
        "SmolLM2-135M-Instruct and all-MiniLM-L6-v2 answer, on this machine. They start, which takes a minute or two."
    )
    code = 0
    with (
        engine("smollm2", *TOOL_CALLS, *SHORT, length=8192) as chat,
        engine("minilm", "--runner", "pooling", length=512) as vectors,
    ):
        async with front(chat, vectors) as url:
            environ = bare_environ() | {
                "OVHCLOUD_API_BASE": url,
                "OVHCLOUD_API_KEY": "",
                "DEMO_MODEL": chat.model,
                "DEMO_EMBEDDINGS": vectors.model,
            }
            for name in ("langchain_quickstart.py", "llama_index_quickstart.py"):
                example = await asyncio.create_subprocess_exec(python, EXAMPLES / name, *arguments, env=environ)
                code = await example.wait() or code
    return code


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main(*sys.argv[1:])))
