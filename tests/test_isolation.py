"""Each package where the other framework is not installed, and what importing costs. In processes of their own."""

import subprocess
import sys

import pytest

BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Block())
{code}
"""
LANGCHAIN = {"langchain", "langchain_core", "langsmith"}
LLAMA_INDEX = {"llama_index", "llama_index_instrumentation"}
NEVER = {"openai", "tiktoken", "tenacity", "requests", "aiohttp", "httpx2"}


def run(code: str, *, blocked: set[str]) -> str:
    script = BLOCK.format(blocked=blocked, code=code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("package", "blocked"),
    [
        ("ovhcloud_ai_endpoints", LANGCHAIN | LLAMA_INDEX | NEVER),
        ("ovhcloud_ai_endpoints.testing", LANGCHAIN | LLAMA_INDEX | NEVER),
        ("langchain_ovhcloud", LLAMA_INDEX | {"openai", "tiktoken", "aiohttp"}),
        ("llama_index_ovhcloud", LANGCHAIN | {"openai"}),
    ],
)
def test_package_is_imported_without_the_other_framework(package: str, blocked: set[str]) -> None:
    run(f"import {package}", blocked=blocked)


@pytest.mark.parametrize(
    ("package", "framework"),
    [
        ("ovhcloud_ai_endpoints", "pydantic"),
        ("langchain_ovhcloud", "langchain_core.language_models.chat_models"),
        ("llama_index_ovhcloud", "llama_index.core"),
    ],
)
def test_import_and_construction_load_no_http_library(package: str, framework: str) -> None:
    """But for what the framework itself loads, as older versions of LlamaIndex do."""
    code = f"""
import {framework}
before = "httpx" in sys.modules
import {package}
for name in ("ChatOVHCloud", "OVHCloudEmbeddings"):
    if hasattr({package}, name):
        getattr({package}, name)(model="bge-m3")
print(before == ("httpx" in sys.modules))
"""
    assert run(code, blocked=set()).strip() == "True"


def test_whole_answer_without_either_framework() -> None:
    code = """
from ovhcloud_ai_endpoints._http.settings import Settings
from ovhcloud_ai_endpoints._http.client import Client
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints.testing import LocalEndpoints

with LocalEndpoints() as server:
    settings = Settings(base_url=server.base_url)
    body = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hello"}]}
    print(Client(settings).send(ChatRequest(body)).body["object"])
"""
    assert run(code, blocked=LANGCHAIN | LLAMA_INDEX | NEVER).strip() == "chat.completion"
