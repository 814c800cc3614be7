"""What the chat templates of some families of models refuse.

Pure.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from ovhcloud_ai_endpoints._catalogue import Model
from ovhcloud_ai_endpoints.testing._schemas import Chat, Message, TextPart

SYSTEM = frozenset({"system", "developer"})
NOT_ALTERNATING = (
    "After the optional system message, conversation roles must alternate user and assistant roles "
    "except for tool calls and results."
)


def refused_by_template(chat: Chat, model: Model) -> str | None:
    """What the template of a model says of a conversation that it refuses; None if it takes it."""
    if orphan := _orphan(chat.messages):
        return f"Unexpected tool call id {orphan} in tool results"
    if model.family == "mistral":
        return _refused_by_mistral(chat.messages)
    if model.family == "llama" and any(len(message.tool_calls or []) > 1 for message in chat.messages):
        return "This model only supports single tool-calls at once!"
    return None


def _orphan(messages: Sequence[Message]) -> str | None:
    """The id of a result whose call is not in the message of the assistant before it."""
    calls: set[str] = set()
    for message in messages:
        if message.role == "assistant":
            calls = {call.id for call in message.tool_calls or []}
        elif message.role == "tool" and message.tool_call_id not in calls:
            return str(message.tool_call_id)
    return None


def _twice(messages: Sequence[Message]) -> str | None:
    """What mistral_common says of an id that comes twice in a round of calls; None if none does."""
    answered: set[str] = set()
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id in answered:
                return f"Duplicate tool call id {message.tool_call_id} in tool results"
            answered.add(str(message.tool_call_id))
        elif message.role == "assistant":
            answered.clear()
            ids = [call.id for call in message.tool_calls or []]
            if len(set(ids)) < len(ids):
                return f"Duplicate tool call id {max(ids, key=ids.count)} in assistant message"
    return None


def _refused_by_mistral(messages: Sequence[Message]) -> str | None:
    """What mistral_common or a template of the family refuses, in their words; the tests compare."""
    ids = [call.id for message in messages for call in message.tool_calls or []]
    ids += [message.tool_call_id for message in messages if message.tool_call_id]
    if wrong := [id_ for id_ in ids if not re.fullmatch("[a-zA-Z0-9]{9}", id_)]:
        return f"Tool call id was {wrong[0]} but must be a-z, A-Z, 0-9, with a length of 9."
    if named := next((message.role for message in messages if message.name and message.role != "tool"), None):
        return f"1 validation error for {named.title()}Message: name: Extra inputs are not permitted"
    for message in messages:
        if message.role == "tool" and message.name and not re.fullmatch("[a-zA-Z0-9_-]{1,64}", message.name):
            return f"Function name was {message.name} but must be a-z, A-Z, 0-9, or contain underscores and dashes"
        if message.role == "tool" and not all(isinstance(part, TextPart) for part in message.parts):
            return "Unexpected content chunk types in tool message"
    if twice := _twice(messages):
        return twice
    owed = 0
    for message in messages:
        if message.role == "tool":
            owed -= 1
        elif message.role == "assistant":
            if owed:
                break
            owed = len(message.tool_calls or [])
    if owed:
        return "Not the same number of function calls and responses"
    roles = [message.role for message in messages]
    talk = roles[1:] if roles[0] in SYSTEM else roles
    is_alternating = all(one != other or one == "tool" for one, other in pairwise(talk))
    if talk[:1] not in ([], ["user"]) or SYSTEM.intersection(talk) or not is_alternating:
        return NOT_ALTERNATING
    return None
