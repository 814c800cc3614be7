"""Calls of all kinds under gevent, which replaces sockets, threads and locks."""

from gevent import monkey, pool

monkey.patch_all()

from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings  # noqa: E402 - behind the patches, as gevent wants it
from llama_index_ovhcloud import ChatOVHCloud as LlamaIndexChat  # noqa: E402

model = ChatOVHCloud(model="gpt-oss-120b")
print(model.invoke("Hello").text[:5])
print("".join(chunk.text for chunk in model.stream("Hello"))[:5])
for _ in model.stream("Hello"):
    break
print(LlamaIndexChat(model="gpt-oss-120b").complete("Hello").text[:5])
print(len(OVHCloudEmbeddings(max_concurrency=4).embed_documents([f"text {at}" for at in range(200)])))
print(len({answer.text for answer in pool.Pool(40).map(lambda _: model.invoke("Hello"), range(40))}))
