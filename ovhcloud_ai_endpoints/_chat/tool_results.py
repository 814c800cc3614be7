"""Makes the results of tools fit their calls, and the model that reads them.

Pure. The author of an app does not choose what tools return, so a result that is late, missing or unreadable must not
end the conversation.
"""

import base64
import binascii
import math
from collections import Counter, defaultdict, deque
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
    if not any(message["role"] == "tool" or "tool_calls" in message for message in messages):
        return messages
    answers = _matched(messages)
    taken = {place for places in answers.values() for place in places if place is not None}
    fitted: list[WireMessage] = []
    for at, message in enumerate(messages):
        if message["role"] == "tool":
            if at not in taken:
                fitted.append(_of_the_user(message))
            continue
        calls = _with_unique_ids(message.get("tool_calls", []))
        fitted.append({**message, "tool_calls": calls} if calls else message)
        for call, place in zip(calls, answers.get(at, []), strict=True):
            missing: WireMessage = {"role": "tool", "content": NO_RESULT}
            fitted.append({**(missing if place is None else messages[place]), "tool_call_id": call["id"]})
    return fitted


def _matched(messages: Sequence[WireMessage]) -> dict[int, list[int | None]]:
    """By the place of each message with calls, the places of their results; None for a call without one.

    A result belongs to the last call with its id before it, or, if it names none, to the next call without a result of
    the last message with calls. What is left belongs to any call with its id that has none, such as one behind it.
    """
    answers: dict[int, list[int | None]] = {}
    unanswered = _Unanswered(answers)
    left: list[int] = []
    last = -1
    for at, message in enumerate(messages):
        if calls := message.get("tool_calls"):
            answers[at], last = [None] * len(calls), at
            unanswered.renew(at, calls)
        elif message["role"] == "tool":
            id_ = message.get("tool_call_id", UNNAMED)
            if id_ == UNNAMED and None in answers.get(last, ()):
                answers[last][answers[last].index(None)] = at
            elif not unanswered.give(id_, at):
                left.append(at)
    rest = _Unanswered(answers)
    for at in answers:
        rest.add(at, messages[at]["tool_calls"])
    for at in left:
        rest.give(messages[at].get("tool_call_id", UNNAMED), at)
    return answers


class _Unanswered:
    """Calls that may still get a result, by id."""

    def __init__(self, answers: dict[int, list[int | None]]) -> None:
        self._answers = answers
        self._calls: dict[str, deque[tuple[int, int]]] = defaultdict(deque)

    def renew(self, at: int, calls: Sequence[WireToolCall]) -> None:
        """Adds the calls of a message, whose ids then mean these."""
        for call in calls:
            self._calls[call["id"]].clear()
        self.add(at, calls)

    def add(self, at: int, calls: Sequence[WireToolCall]) -> None:
        """Adds the calls of a message to those with the same ids."""
        for position, call in enumerate(calls):
            self._calls[call["id"]].append((at, position))

    def give(self, id_: str, result: int) -> bool:
        """Gives a result to the next call with this id; False if there is none."""
        calls = self._calls[id_]
        while calls:
            at, position = calls.popleft()
            if self._answers[at][position] is None:
                self._answers[at][position] = result
                return True
        return False


def _with_unique_ids(calls: Sequence[WireToolCall]) -> list[WireToolCall]:
    """The calls, with a new id for each that repeats an earlier one's."""
    own = {call["id"] for call in calls}
    numbers: Counter[str] = Counter()
    renamed: list[WireToolCall] = []
    for call in calls:
        id_ = call["id"]
        numbers[id_] += 1
        while numbers[call["id"]] > 1 and id_ in own:
            id_ = f"{call['id']}_{numbers[call['id']]}"
            numbers[call["id"]] += id_ in own
        own.add(id_)
        renamed.append({**call, "id": id_})
    return renamed


def _of_the_user(result: WireMessage) -> WireMessage:
    said = ORPHAN.format(result.get("name") or "a tool")
    return {"role": "user", "content": content_of([text_part(said), *as_parts(result["content"])], "user")}


def with_readable_results(messages: list[WireMessage], model: Model) -> list[WireMessage]:
    """Replaces what the model can't read in tools' results by notes; what a user sends is left to the service.

    These are images for a model that sees none, sounds, images at a URL, broken ones, and the oldest if there are too
    many.
    """
    most = (model.max_images_per_request or math.inf) if model.image_inputs else 0
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
            is_shown = part["type"] == "text" or (room > 0 and _is_good_image(part))
            if is_shown and _is_image(part):
                room -= 1
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
