"""The answers of the local AI Endpoints when no script has any: a few rules, and no model.

Pure. It quotes the sentence that shares the rarest words with the question, calls the tool whose name the question
mentions, and fills arguments and objects from the text.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from ovhcloud_ai_endpoints.testing._script import Said

NOTHING_TO_QUOTE = "I am a local stand-in and can only quote what I am given. You said: "
NOT_IN_CONTEXT = "The context does not say."
# fmt: off
STOP_WORDS = frozenset({
    "a", "about", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from", "give",
    "given", "how", "i", "in", "is", "it", "its", "me", "of", "on", "or", "that", "the", "this", "tell", "to",
    "use", "using", "value", "was", "what", "when", "where", "which", "who", "why", "will", "with", "you",
    "your",
})
# fmt: on

_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_QUOTES = "'\"`\u201c\u201d\u2018\u2019\u00ab\u00bb"
_QUOTED = re.compile(rf"[{_QUOTES}]([^{_QUOTES}]+)[{_QUOTES}]")
_PROPER = re.compile(r"[A-ZÀ-Þ][\w'-]*(?:,? (?:of |the )?[A-ZÀ-Þ][\w'-]*)*")
_QUESTION = re.compile(r"^\W*(?:query|question)\W*:\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE)


def answer(chat: Mapping[str, Any], *, thinks: bool) -> Said:
    """The answer to a chat request.

    Args:
        thinks: whether reasoning comes before the answer.
    """
    messages = chat["messages"]
    question = next((_text(message) for message in reversed(messages) if message["role"] == "user"), "")
    tool = _chosen_tool(chat, question)
    if tool is not None:
        arguments = _Filler(question).value(tool.get("parameters") or {})
        said = Said(tool_calls=(("chatcmpl-tool-0001", tool["name"], json.dumps(arguments, ensure_ascii=False)),))
        thought = f"The question speaks of {tool['name']}, so I call it."
    elif (format_ := chat.get("response_format") or {"type": "text"})["type"] != "text":
        schema = (format_.get("json_schema") or {}).get("schema") or _schema_in(messages, question)
        text = json.dumps(_sorted(_Filler(question).value(schema)), ensure_ascii=False)
        said, thought = Said(text), "An object is asked for, so I fill one from the text."
    else:
        said = Said(_reply(messages, question))
        thought = f"The question is {_question(question)!r}. I look for the sentence that shares most words with it."
    return Said(said.text, thought, said.tool_calls) if thinks else said


def _reply(messages: list[dict[str, Any]], question: str) -> str:
    last = messages[-1]
    if last["role"] == "tool":
        return f"The tool says: {_text(last)}"
    images = sum(part["type"] == "image_url" for part in last["content"] if isinstance(last["content"], list))
    if images:
        return f"I am a local stand-in and see nothing, but {images} image(s) came with: {question}"
    asked = _question(question)
    context = "\n".join(_text(message) for message in messages if message["role"] in {"system", "user"})
    sentences = [sentence for sentence in _sentences(context) if asked not in sentence and sentence not in asked]
    best = _best(sentences, asked)
    if best:
        return best
    return NOT_IN_CONTEXT if len(sentences) > 3 else NOTHING_TO_QUOTE + question


def _chosen_tool(chat: Mapping[str, Any], question: str) -> dict[str, Any] | None:
    tools: list[dict[str, Any]] = [tool["function"] for tool in chat.get("tools") or []]
    choice = chat.get("tool_choice", "auto")
    if isinstance(choice, dict):
        return next(tool for tool in tools if tool["name"] == choice["function"]["name"])
    if not tools or choice == "none" or (choice == "auto" and chat["messages"][-1]["role"] == "tool"):
        return None
    last_user = max((at for at, message in enumerate(chat["messages"]) if message["role"] == "user"), default=0)
    made = [call for message in chat["messages"][last_user:] for call in message.get("tool_calls") or []]
    called = {call["function"]["name"] for call in made}
    tools = [tool for tool in tools if tool["name"] not in called] or tools  # so that a forced choice comes to an end
    asked = set(_words(question))
    scores = [len(asked & set(_words(tool["name"].replace("_", " ")))) for tool in tools]
    if choice == "required":
        return tools[scores.index(max(scores))]
    return tools[scores.index(max(scores))] if max(scores) else None


def _question(text: str) -> str:
    """The question in a prompt that may hold a context too."""
    labelled = _QUESTION.findall(text)
    if labelled:
        return str(labelled[-1])
    asked = [sentence for sentence in _sentences(text) if sentence.endswith("?")]
    return asked[-1] if asked else text


def _best(sentences: list[str], question: str) -> str | None:
    """The sentence that shares the rarest words with the question, if any shares one."""
    seen = Counter(word for sentence in sentences for word in set(_words(sentence)))
    asked = set(_words(question))

    def score(sentence: str) -> float:
        words = set(_words(sentence))
        return sum(1 / seen[word] for word in asked & words) / math.sqrt(len(words) + 4)

    best = max(sentences, key=score, default=None)
    return best if best is not None and score(best) > 0 else None


def _sentences(text: str) -> list[str]:
    pieces = (re.sub(r"[*`#>|]+", "", piece).strip(" -") for piece in re.split(r"\n+|(?<=[.!?]) +", text))
    return [piece for piece in pieces if piece]


def _words(text: str) -> Iterator[str]:
    for word in _WORD.findall(text.lower()):
        if word not in STOP_WORDS:
            yield word[:-1] if len(word) > 3 and word.endswith("s") else word


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _schema_in(messages: list[dict[str, Any]], question: str) -> dict[str, Any]:
    """For JSON mode: a schema that a system message holds, or one with the keys that the prompt names in quotes."""
    for message in messages:
        found = re.search(r"\{.*\}", _text(message), re.DOTALL) if message["role"] == "system" else None
        with suppress(ValueError):
            if found and "properties" in (schema := json.loads(found[0])):
                return dict(schema)
    keys = [key for key in _QUOTED.findall(question) if key.isidentifier()] or ["answer"]
    return {"type": "object", "properties": {key: {"type": "string"} for key in keys}, "required": keys}


def _sorted(value: Any) -> Any:
    """Objects with their keys in alphabetical order, as the service generates them."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


class _Filler:
    """Fills a schema from a text: numbers, quoted words and proper names, in the order in which they appear."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._numbers = _NUMBER.findall(text)
        self._quoted = _QUOTED.findall(text)
        self._proper = [name for name in _PROPER.findall(text) if name.lower() not in STOP_WORDS]
        self._root: Mapping[str, Any] = {}

    def value(self, schema: Mapping[str, Any]) -> Any:
        self._root = schema
        return self._fill(schema, "", depth=0)

    def _fill(self, schema: Mapping[str, Any], name: str, *, depth: int) -> Any:
        schema = self._resolved(schema)
        if depth > 8:
            return None
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            named = [option for option in schema["enum"] if str(option).lower() in self._text.lower()]
            return (named or schema["enum"])[0]
        match _type(schema):
            case "object":
                properties = schema.get("properties", {})
                return {key: self._fill(inner, key, depth=depth + 1) for key, inner in properties.items()}
            case "array":
                count = max(1, schema.get("minItems", 1))
                return [self._fill(schema.get("items", {}), name, depth=depth + 1) for _ in range(count)]
            case "integer":
                return int(self._number(schema))
            case "number":
                return self._number(schema)
            case "boolean":
                return not re.search(r"\b(no|not|never|without)\b", self._text.lower())
            case "null":
                return None
            case _:
                return self._string(name)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            found: Any = self._root
            for key in filter(None, schema["$ref"].removeprefix("#").split("/")):
                found = found[key]
            schema = found
        options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if options:
            return self._resolved(next((option for option in options if option.get("type") != "null"), options[0]))
        return schema

    def _number(self, schema: Mapping[str, Any]) -> float:
        low = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf))
        high = schema.get("maximum", schema.get("exclusiveMaximum", math.inf))
        fitting = [number for number in self._numbers if low <= float(number) <= high]
        if not fitting:
            return float(low if math.isfinite(low) else 0)
        self._numbers.remove(fitting[0])
        return float(fitting[0])

    def _string(self, name: str) -> str:
        words = name.replace("_", " ")
        said = re.search(
            rf"\b{re.escape(words)}\s*(?:is|=|:)\s*([^.,;\n]+?)(?= and |[.,;\n]|$)", self._text, re.IGNORECASE
        )
        if said:
            return said[1].strip(" '\"")
        named: list[str] = self._quoted or self._proper
        if named:
            return named.pop(0)
        return self._text.strip() or "unknown"


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return str(next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind)
