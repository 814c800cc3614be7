"""Similar texts, as written for the class of langchain-community."""

# ruff: noqa: T201 - an app prints

import os

from langchain_community.embeddings import OVHCloudEmbeddings
from langchain_core.vectorstores import InMemoryVectorStore

embeddings = OVHCloudEmbeddings(
    model_name="multilingual-e5-base",
    region="kepler",
    access_token=os.environ["OVH_AI_ENDPOINTS_ACCESS_TOKEN"],
)

query = embeddings.embed_query("Hello")
vectors = embeddings.embed_documents([f"sentence {number}" for number in range(40)])
print(len(vectors), {len(vector) for vector in vectors} == {len(query)})

store = InMemoryVectorStore(embeddings)
store.add_texts(["Rome is in Italy", "Paris is in France"])
print(store.similarity_search("Where is Paris?", k=1)[0].page_content)
