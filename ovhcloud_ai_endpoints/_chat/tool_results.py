"""Makes the results of tools fit their calls, and the model that reads them.

Pure. A tool's author isn't the app's, so no result may end a conversation: results come late, not at all, or hold what
the model can't read.
"""

import base64
import binascii
from collections import defaultdict
from collections.abc import Sequence

from ovhcloud_ai_endpoints._catalogue import Model
from ovhcloud_ai_endpoints._chat.parts import as_parts, content_of, note, shortened, size_of, text_part
from ovhcloud_ai_endpoints._wire import Part, WireMessage, WireToolCall

UNNAMED = ""  # the id of a result that names no call
NO_RESULT = "This call was interrupted; it has no result."
ORPHAN = "Result of {}, whose call is not part of this conversation:"
MOVED_IMAGE = "[image {}: in the next message]"
IMAGES_OF_TOOLS = "Images from the results above:"


def with_answered_calls(messages: list[WireMessage], model: Model) -> list[WireMessage]:
    """Puts the result of each call directly behind it, in the order of the calls, matched by id.

    A call without a result gets one that says so; a result without a call becomes a text of the user.
    """
    results = _Results(messages)
    found: list[WireMessage] = []
    for at, message in enumerate(messages):
        if message["role"] == "tool":
            if not results.is_taken(at):
                found.append(_of_the_user(message))
        elif calls := message.get("tool_calls"):
            calls = _with_unique_ids(calls)
            taken = [results.take(at, call["id"]) for call in message["tool_calls"]]
            taken = [results.take_unnamed(at) if result is None else result for result in taken]
            found.append({**message, "tool_calls": calls})
            for call, result in zip(calls, taken, strict=True):
                missing: WireMessage = {"role": "tool", "content": NO_RESULT}
                found.append({**(missing if result is None else result), "tool_call_id": call["id"]})
        else:
            found.append(message)
    return found


class _Results:
    """The tools' results of a conversation, each of which is taken by one call."""

    def __init__(self, messages: Sequence[WireMessage]) -> None:
        self._messages = messages
        self._places: dict[str, list[int]] = defaultdict(list)  # of the results, by id, in reverse order
        self._callers: dict[str, list[int]] = defaultdict(list)  # places of the messages that call, by id of the call
        self._taken: set[int] = set()
        for at in range(len(messages) - 1, -1, -1):
            message = messages[at]
            if message["role"] == "tool":
                self._places[message.get("tool_call_id", UNNAMED)].append(at)
            elif calls := message.get("tool_calls"):
                for id_ in {UNNAMED, *(call["id"] for call in calls)}:
                    self._callers[id_].append(at)

    def take(self, at: int, id_: str) -> WireMessage | None:
        """The first result with this id behind the message at a place, and before another call with the same id."""
        places, callers = self._places[id_], self._callers[id_]
        while callers and callers[-1] <= at:
            callers.pop()
        while places and places[-1] <= at:
            places.pop()
        if not places or (callers and places[-1] > callers[-1]):
            return None
        self._taken.add(place := places.pop())
        return self._messages[place]

    def take_unnamed(self, at: int) -> WireMessage | None:
        """The next result that names no call, as older code leaves them."""
        return self.take(at, UNNAMED)

    def is_taken(self, at: int) -> bool:
        return at in self._taken


def _with_unique_ids(calls: Sequence[WireToolCall]) -> list[WireToolCall]:
    """The calls, of which a later one with an id that came before gets another."""
    ids: set[str] = set()
    found: list[WireToolCall] = []
    for call in calls:
        id_, number = call["id"], 1
        while id_ in ids:
            number += 1
            id_ = f"{call['id']}_{number}"
        ids.add(id_)
        found.append(call if id_ == call["id"] else {**call, "id": id_})
    return found


def _of_the_user(result: WireMessage) -> WireMessage:
    said = ORPHAN.format(result.get("name") or "a tool")
    return {"role": "user", "content": content_of([text_part(said), *as_parts(result["content"])], "user")}


def with_readable_results(messages: list[WireMessage], model: Model) -> list[WireMessage]:
    """Replaces what the model can't read in tools' results by notes; what a user sends is left to the service.

    These are images for a model that sees none, sounds, images at a URL, broken ones, and the oldest if there are too
    many.
    """
    most = (model.max_images_per_request or 0) if model.image_inputs else 0
    room = most - sum(
        _is_image(part) for message in messages if message["role"] != "tool" for part in as_parts(message["content"])
    )
    found: list[WireMessage] = []
    for message in reversed(messages):
        if message["role"] != "tool" or isinstance(message["content"], str):
            found.append(message)
            continue
        parts: list[Part] = []
        for part in reversed(message["content"]):
            is_shown = part["type"] == "text" or (_is_good_image(part) and room > 0)
            room -= is_shown and part["type"] != "text"
            parts.append(part if is_shown else text_part(_note_on(part)))
        found.append({**message, "content": content_of(parts[::-1], "tool")})
    return found[::-1]


def _note_on(part: Part) -> str:
    match part:
        case {"type": "image_url", "image_url": {"url": url}}:
            head, _, data = url.partition(",")
            if not head.startswith("data:"):
                return note("image", shortened(url))
            return note("image", head.removeprefix("data:").partition(";")[0], size=size_of(data))
        case {"type": "input_audio", "input_audio": {"data": data, "format": kind}}:
            return note("sound", kind, size=size_of(data))
    return note(part["type"])


def _is_image(part: Part) -> bool:
    return part["type"] == "image_url"


def _is_good_image(part: Part) -> bool:
    if part["type"] != "image_url":
        return False
    head, _, data = part["image_url"]["url"].partition(",")
    try:
        return head.startswith("data:") and bool(base64.b64decode(data, validate=True))
    except binascii.Error:
        return False


def with_images_behind_results(messages: list[WireMessage], model: Model) -> list[WireMessage]:
    """Moves the images of tools' results into a message of the user behind them."""
    found: list[WireMessage] = []
    images: list[Part] = []
    for message in messages:
        if message["role"] != "tool":
            found += [*_message_of(images), message]
            images = []
            continue
        parts: list[Part] = []
        for part in as_parts(message["content"]):
            if _is_image(part):
                images.append(part)
                parts.append(text_part(MOVED_IMAGE.format(len(images))))
            else:
                parts.append(part)
        found.append({**message, "content": content_of(parts, "tool")})
    return found + _message_of(images)


def _message_of(images: list[Part]) -> list[WireMessage]:
    return [{"role": "user", "content": [text_part(IMAGES_OF_TOOLS), *images]}] if images else []
