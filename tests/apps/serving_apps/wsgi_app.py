"""A WSGI app that passes answers on, streamed and whole, from both frameworks."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

from llama_index.core.llms import ChatMessage

import langchain_ovhcloud
import llama_index_ovhcloud
from ovhcloud_ai_endpoints import OVHCloudError

MODEL = langchain_ovhcloud.ChatOVHCloud(model="gpt-oss-120b")
LLM = llama_index_ovhcloud.ChatOVHCloud(model="gpt-oss-120b")

if "CALL_BEFORE_FORKING" in os.environ:
    print("before forking:", MODEL.invoke("Before").text, LLM.complete("Before").text, flush=True)  # noqa: T201 - the test waits for it


def langchain(text: str) -> str:
    return str(MODEL.invoke(text).text)


def llama_index(text: str) -> str:
    return LLM.chat([ChatMessage(text)]).message.content or ""


def langchain_stream(text: str) -> Iterator[bytes]:
    for chunk in MODEL.stream(text):
        yield chunk.text.encode()


def llama_index_stream(text: str) -> Iterator[bytes]:
    for response in LLM.stream_chat([ChatMessage(text)]):
        yield (response.delta or "").encode()


WHOLE = {"/langchain/whole": langchain, "/llama-index/whole": llama_index}
STREAMED = {"/langchain/stream": langchain_stream, "/llama-index/stream": llama_index_stream}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path, text = environ["PATH_INFO"], parse_qs(environ["QUERY_STRING"])["text"][0]
    headers = [("Content-Type", "text/plain"), ("X-Process", str(os.getpid()))]
    if path in STREAMED:
        start_response("200 OK", headers)
        return STREAMED[path](text)
    try:
        answer = WHOLE[path](text)
    except OVHCloudError as error:
        start_response("502 Bad Gateway", headers)
        return [json.dumps({"error": type(error).__name__, "message": error.message}).encode()]
    start_response("200 OK", headers)
    return [answer.encode()]


print("app is loaded", flush=True)  # noqa: T201 - the test waits for it
