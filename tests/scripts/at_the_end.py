"""First calls when the interpreter ends: in `atexit`, and in a thread that outlives the main one.

Arguments: where ("atexit" or "thread"), and the host of the base URL, if it is to be looked up by its name.
"""

import asyncio
import atexit
import os
import sys
import threading

from langchain_ovhcloud import ChatOVHCloud
from ovhcloud_ai_endpoints import OVHCloudError

base_url = os.environ["OVHCLOUD_API_BASE"]
if len(sys.argv) > 2:
    base_url = base_url.replace("127.0.0.1", sys.argv[2])
model = ChatOVHCloud(model="gpt-oss-120b", base_url=base_url, max_retries=0)


async def stream() -> str:
    return "".join([chunk.text async for chunk in model.astream("Hello")])


def ask() -> None:
    ways = {
        "invoke": lambda: model.invoke("Hello").text,
        "stream": lambda: "".join(chunk.text for chunk in model.stream("Hello")),
        "ainvoke": lambda: asyncio.run(model.ainvoke("Hello")).text,
        "astream": lambda: asyncio.run(stream()),
    }
    for name, way in ways.items():
        try:
            print(name, way()[:5], flush=True)
        except OVHCloudError as error:
            print(name, type(error).__name__, error, flush=True)


def ask_when_main_has_ended() -> None:
    threading.main_thread().join()
    ask()


if sys.argv[1] == "atexit":
    atexit.register(ask)
else:
    threading.Thread(target=ask_when_main_has_ended).start()
