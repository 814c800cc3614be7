"""The less common arguments and answers: many at once, log probabilities, limits, clients of one's own."""

# ruff: noqa: T201 - an app prints

import os

import httpx
from langchain_core.messages import HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_openai import ChatOpenAI

key = {"api_key": os.environ["OVH_AI_ENDPOINTS_ACCESS_TOKEN"]}
url = {"base_url": "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1"}

llm = ChatOpenAI(
    model_name="gpt-oss-120b",
    **key,
    **url,
    n=2,
    logprobs=True,
    presence_penalty=0.1,
    frequency_penalty=0.2,
    max_tokens=200,
    stop_sequences=["END"],
    reasoning_effort="low",
    rate_limiter=InMemoryRateLimiter(requests_per_second=100, max_bucket_size=100),
    default_headers={"X-Project": "demo"},
    http_client=httpx.Client(timeout=20),
    use_responses_api=False,
    model_kwargs={"top_p": 0.5},
    tags=["demo"],
    metadata={"team": "core"},
)

result = llm.generate([[HumanMessage("Say hello. END of it")]])
print(len(result.generations[0]), result.llm_output["model_name"], result.llm_output["token_usage"]["total_tokens"] > 0)
message = result.generations[0][0].message
print(message.response_metadata["finish_reason"], len(message.response_metadata["logprobs"]["content"]) > 0)

single = ChatOpenAI(model="gpt-oss-120b", **key, **url, max_retries=0, verbose=False, cache=False)
print(single.invoke("Paris is in France. Where is Paris?", temperature=0.3, max_tokens=64).content)
print(single.bind(stop=["in"]).invoke("Paris is in France. Where is Paris?").content.strip())
print(
    single.with_config(tags=["x"]).with_retry(stop_after_attempt=2).invoke("Rome is in Italy. Where is Rome?").content
)
broken = ChatOpenAI(model="no-such-model", **key, **url, max_retries=0)
print(broken.with_fallbacks([single]).invoke("Rome is in Italy. Where is Rome?").content)
try:
    broken.invoke("Hello")
except Exception as error:  # noqa: BLE001 - as people write it
    print(error.status_code if hasattr(error, "status_code") else error.status)
