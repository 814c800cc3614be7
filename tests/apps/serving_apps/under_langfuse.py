"""An app that Langfuse traces: LangChain by its callback handler, LlamaIndex by OpenInference's spans."""

import sys

from langfuse import get_client

if __name__ == "__main__":
    client = get_client()
    if sys.argv[1] == "langchain":
        from langfuse.langchain import CallbackHandler
        from serving_apps.langchain_calls import langchain_calls

        langchain_calls(CallbackHandler())
    else:
        from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
        from serving_apps.llama_index_calls import llama_index_calls

        LlamaIndexInstrumentor().instrument()
        llama_index_calls()
    client.shutdown()
