"""An app whose spans go to a collector by OTLP over HTTP, for one of the frameworks."""

import sys

from openinference.instrumentation.langchain import LangChainInstrumentor
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if __name__ == "__main__":
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    if sys.argv[1] == "langchain":
        LangChainInstrumentor().instrument(tracer_provider=provider)
        from serving_apps.langchain_calls import langchain_calls

        langchain_calls()
    else:
        LlamaIndexInstrumentor().instrument(tracer_provider=provider)
        from serving_apps.llama_index_calls import llama_index_calls

        llama_index_calls()
    provider.shutdown()
