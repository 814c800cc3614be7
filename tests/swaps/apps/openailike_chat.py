"""Completions, chats and their streams."""

# ruff: noqa: T201 - an app prints

import asyncio
import os

from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

counter = TokenCountingHandler(tokenizer=str.split)
llm = OpenAILike(
    model="gpt-oss-120b",
    api_base="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    api_key=os.environ["OVH_AI_ENDPOINTS_ACCESS_TOKEN"],
    is_chat_model=True,
    is_function_calling_model=True,
    context_window=131072,
    max_tokens=400,
    temperature=0.2,
    timeout=60.0,
    max_retries=2,
    reuse_client=True,
    default_headers={"X-Project": "demo"},
    additional_kwargs={"top_p": 0.9, "seed": 1},
    callback_manager=CallbackManager([counter]),
    system_prompt="Be brief.",
)
Settings.llm = llm

print(llm.complete("Paris is in France. Where is Paris?"))
print("".join(piece.delta for piece in llm.stream_complete("Rome is in Italy. Where is Rome?")))

messages = [
    ChatMessage(role="system", content="Oslo is in Norway."),
    ChatMessage(role="user", content="Where is Oslo?"),
]
answer = llm.chat(messages)
print(answer.message.role.value, answer.message.content)
print("".join(piece.delta or "" for piece in llm.stream_chat(messages)))
print(llm.chat(messages, temperature=0.5, max_tokens=50).message.content)
print(counter.total_llm_token_count > 0, len(counter.llm_token_counts) > 3)


async def main():
    print(await Settings.llm.acomplete("Paris is in France. Where is Paris?"))
    stream = await llm.astream_chat(messages)
    print("".join([piece.delta or "" async for piece in stream]))
    answers = await asyncio.gather(*(llm.achat(messages) for _ in range(3)))
    print({answer.message.content for answer in answers})


asyncio.run(main())
print(llm.metadata.context_window, llm.metadata.is_function_calling_model, llm.metadata.model_name, llm.model)
