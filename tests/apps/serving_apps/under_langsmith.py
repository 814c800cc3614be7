"""An app that LangSmith traces because its environment says so."""

from langchain_core.tracers.langchain import wait_for_all_tracers
from serving_apps.langchain_calls import langchain_calls

if __name__ == "__main__":
    langchain_calls()
    wait_for_all_tracers()
