"""Questions about documents: embeddings, a vector store, a chain that answers."""

# ruff: noqa: T201 - an app prints

import asyncio
import os

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_text_splitters import RecursiveCharacterTextSplitter

URL = "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1"
KEY = os.environ["OVH_AI_ENDPOINTS_ACCESS_TOKEN"]

embeddings = OpenAIEmbeddings(
    model="bge-m3",
    api_key=KEY,
    base_url=URL,
    chunk_size=20,
    check_embedding_ctx_length=False,
    max_retries=2,
    request_timeout=30,
    show_progress_bar=False,
)
llm = ChatOpenAI(model="gpt-oss-120b", api_key=KEY, base_url=URL, temperature=0)

texts = ["Rome is in Italy.", "Paris is in France.", "Oslo is in Norway."]
documents = [Document(page_content=text, metadata={"number": number}) for number, text in enumerate(texts)]
chunks = RecursiveCharacterTextSplitter(chunk_size=200, chunk_overlap=0).split_documents(documents)
store = InMemoryVectorStore.from_documents(chunks, embeddings)
retriever = store.as_retriever(search_kwargs={"k": 1})

prompt = ChatPromptTemplate.from_messages([("system", "{context}"), ("human", "{question}")])
chain = (
    {
        "context": retriever | (lambda found: "\n".join(one.page_content for one in found)),
        "question": RunnablePassthrough(),
    }
    | prompt
    | llm
    | StrOutputParser()
)
print(chain.invoke("Where is Oslo?"))
print(asyncio.run(chain.ainvoke("Where is Rome?")))

found, score = store.similarity_search_with_score("Paris is in France.", k=1)[0]
print(found.metadata, round(score, 3))
print(len(embeddings.embed_query("Hello")), len(embeddings.embed_documents([f"text {n}" for n in range(70)])))
print(len(asyncio.run(embeddings.aembed_documents(["one", "two"]))))
