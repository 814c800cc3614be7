"""Asks with OpenAI's own client, in LiteLLM's environment: a JSON object in, one JSON object a question out."""

import json
import sys
from typing import Any

from openai import OpenAI


def call(name: str, arguments: str) -> list[Any]:
    return [name, json.loads(arguments)]


def whole(client: OpenAI, question: dict[str, Any]) -> dict[str, Any]:
    answer = client.chat.completions.create(**question)
    message = answer.choices[0].message
    return {
        "text": message.content or "",
        "calls": [call(made.function.name, made.function.arguments) for made in message.tool_calls or []],
        "tokens": [answer.usage.prompt_tokens, answer.usage.completion_tokens],
        "finish_reason": answer.choices[0].finish_reason,
    }


def streamed(client: OpenAI, question: dict[str, Any]) -> dict[str, Any]:
    text, reason, usage, made = "", None, None, {}
    for chunk in client.chat.completions.create(**question, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
            for piece in choice.delta.tool_calls or []:
                name, arguments = made.get(piece.index, ("", ""))
                made[piece.index] = (name + (piece.function.name or ""), arguments + (piece.function.arguments or ""))
    return {
        "text": text,
        "calls": [call(*made[index]) for index in sorted(made)],
        "tokens": [usage.prompt_tokens, usage.completion_tokens],
        "finish_reason": reason,
    }


def main() -> None:
    asked = json.load(sys.stdin)
    with OpenAI(base_url=asked["base_url"], api_key=asked["api_key"]) as client:
        answers = [
            {"whole": whole(client, question), "streamed": streamed(client, question)}
            for question in asked["questions"]
        ]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
