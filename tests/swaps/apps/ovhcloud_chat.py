"""What the page of llama-index-llms-ovhcloud shows."""

# ruff: noqa: T201 - an app prints

import asyncio
import os

from llama_index.core.llms import ChatMessage
from llama_index.llms.ovhcloud import OVHcloud

llm = OVHcloud(
    model="gpt-oss-120b",
    api_key=os.environ["OVH_AI_ENDPOINTS_ACCESS_TOKEN"],
    api_base="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    temperature=0.3,
    max_tokens=500,
    max_retries=3,
    additional_kwargs={"top_p": 0.95},
    default_headers={"X-Project": "demo"},
    system_prompt="Be brief.",
    callback_manager=None,
    output_parser=None,
)

response = llm.complete("Paris is in France. Where is Paris?")
print(response.text)

messages = [
    ChatMessage(role="system", content="Paris is in France. Rome is in Italy."),
    ChatMessage(role="user", content="Where is Rome?"),
]
response = llm.chat(messages)
print(response)

for r in llm.stream_complete("Oslo is in Norway. Where is Oslo?"):
    print(r.delta, end="")
print()
for r in llm.stream_chat(messages):
    print(r.delta, end="")
print()


async def main():
    print(await llm.acomplete("Paris is in France. Where is Paris?"))
    async for r in await llm.astream_complete("Oslo is in Norway. Where is Oslo?"):
        print(r.delta, end="")
    print()


asyncio.run(main())
print(llm.metadata.is_chat_model, llm.metadata.model_name, llm.class_name() != "")
