"""An index over documents, and questions to it."""

# ruff: noqa: T201 - an app prints

import asyncio
import os

from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

URL = "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1"
KEY = os.environ["OVH_AI_ENDPOINTS_ACCESS_TOKEN"]

Settings.llm = OpenAILike(model="gpt-oss-120b", api_base=URL, api_key=KEY, is_chat_model=True, context_window=131072)
Settings.embed_model = OpenAILikeEmbedding(
    model_name="bge-m3",
    api_base=URL,
    api_key=KEY,
    embed_batch_size=10,
    max_retries=2,
    timeout=30.0,
    num_workers=2,
)

documents = [
    Document(text="Rome is in Italy."),
    Document(text="Paris is in France."),
    Document(text="Oslo is in Norway."),
]
pipeline = IngestionPipeline(transformations=[SentenceSplitter(chunk_size=256, chunk_overlap=16), Settings.embed_model])
nodes = pipeline.run(documents=documents)
index = VectorStoreIndex(nodes)

engine = index.as_query_engine(similarity_top_k=1)
answer = engine.query("Where is Oslo?")
print(answer.response, len(answer.source_nodes))
print("".join(index.as_query_engine(similarity_top_k=1, streaming=True).query("Where is Rome?").response_gen))
print(asyncio.run(engine.aquery("Where is Paris?")).response)

chat = index.as_chat_engine(chat_mode="condense_plus_context", similarity_top_k=1)
print(chat.chat("Where is Rome?").response)
print([node.text for node in index.as_retriever(similarity_top_k=1).retrieve("Paris is in France.")])

vectors = Settings.embed_model.get_text_embedding_batch([f"text {number}" for number in range(30)])
print(len(vectors), len(vectors[0]), len(Settings.embed_model.get_query_embedding("Hello")))
