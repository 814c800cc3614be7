"""The endpoints of the local server: what each accepts, and what it answers.

A new one is a line of the table: a check, which may stand here, and an answer.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ovhcloud_ai_endpoints._catalogue import model
from ovhcloud_ai_endpoints.testing import _answers
from ovhcloud_ai_endpoints.testing._gateway import Check, check_chat, check_embeddings
from ovhcloud_ai_endpoints.testing._guesses import STATUS_OF_REFUSED_TEMPLATE
from ovhcloud_ai_endpoints.testing._requests import Request
from ovhcloud_ai_endpoints.testing._script import EVENT_STREAM, Said, Scripted
from ovhcloud_ai_endpoints.testing._stand_in import answer

CATALOGUE = "/rest/v1/models_v2"  # the service has it on another host


@dataclass(frozen=True)
class Endpoint:
    """One path.

    Attributes:
        answer: what an accepted request is answered, by the rules or by what a script says.
        check: what the gateway refuses; None for what needs no key and counts against no limit.
    """

    method: str
    answer: Callable[[Request, Said], Scripted]
    check: Check | None = None


def _as_json(value: Any, said: Said) -> Scripted:
    headers = {"Content-Type": "application/json", **said.headers}
    return Scripted([json.dumps(value, ensure_ascii=False).encode()], 200, headers=headers, hold=said.hold)


def _chat(request: Request, said: Said) -> Scripted:
    asked = request.json
    thinks = model(asked["model"]).reasoning and asked.get("reasoning_effort") != "none"
    said = said if said.is_scripted else replace(said, **_what_is_said(answer(asked, thinks=thinks), asked["model"]))
    if asked.get("stream"):
        return Scripted(_answers.events(asked, said), 200, headers={**EVENT_STREAM, **said.headers}, hold=said.hold)
    if _answers.has_empty_stream(asked):
        refusal = {"error": {"message": "System message must be at the beginning."}}
        return replace(_as_json(refusal, said), status=STATUS_OF_REFUSED_TEMPLATE)
    return _as_json(_answers.completion(asked, said), said)


def _what_is_said(said: Said, name: str) -> dict[str, Any]:
    """What the rules say, with the ids of tool calls in the form of the model's family."""
    calls = said.tool_calls
    if model(name).family == "mistral":
        calls = tuple((f"tool{place:05}", *call[1:]) for place, call in enumerate(calls))
    return {"text": said.text, "reasoning": said.reasoning, "tool_calls": calls}


ENDPOINTS = {
    "/v1/chat/completions": Endpoint("POST", _chat, check_chat),
    "/v1/embeddings": Endpoint(
        "POST", lambda request, said: _as_json(_answers.embeddings(request.json, said), said), check_embeddings
    ),
    "/v1/models": Endpoint("GET", lambda _, said: _as_json(_answers.models(), said)),
    CATALOGUE: Endpoint("GET", lambda _, said: _as_json(_answers.catalogue(), said)),
}
