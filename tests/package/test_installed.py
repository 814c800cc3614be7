"""The wheel with each extra alone, in an environment that has nothing else."""

from pathlib import Path

import pytest
from environments import Installed, found_pythons

pytestmark = pytest.mark.timeout(600)
EXTRAS = ["", "langchain", "llama-index", "aiohttp", "ray", "all"]
OURS = {"langchain_ovhcloud", "llama_index_ovhcloud", "ovhcloud_ai_endpoints", "pytest_ovhcloud.py"}
PYTHONS = found_pythons()

LANGCHAIN = """
import asyncio, warnings
warnings.simplefilter("error")
from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings

model = ChatOVHCloud(model="gpt-oss-120b")
print("Hello" in model.invoke("Hello").text)
print("Hello" in asyncio.run(model.ainvoke("Hello")).text)
print("Hello" in "".join(chunk.text for chunk in model.stream("Hello")))
print(len(OVHCloudEmbeddings(model="bge-m3").embed_documents(["one", "another"])[1]))
"""
LLAMA_INDEX = """
import asyncio, warnings
from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
warnings.simplefilter("error")

llm = ChatOVHCloud(model="gpt-oss-120b")
print("Hello" in llm.complete("Hello").text)
print("Hello" in asyncio.run(llm.acomplete("Hello")).text)
print("Hello" in "".join(response.delta or "" for response in llm.stream_complete("Hello")))
print(len(OVHCloudEmbeddings(model="bge-m3").get_text_embedding_batch(["one", "another"])[1]))
"""
OVER_AIOHTTP = """
import asyncio, sys
from langchain_ovhcloud import ChatOVHCloud

print("Hello" in asyncio.run(ChatOVHCloud(model="gpt-oss-120b", http_backend="aiohttp").ainvoke("Hello")).text)
print("aiohttp" in sys.modules)
"""
VECTORS_OF_ROWS = """
from ovhcloud_ai_endpoints.ray import EmbedTexts

rows = EmbedTexts("bge-m3")({"text": ["one", "another"]})
print(rows.num_rows, len(rows["vector"][1]), rows["error"].null_count)
"""
MODEL_LIST = """
from ovhcloud_ai_endpoints import list_models

print("gpt-oss-120b" in {model.id for model in list_models()})
"""
USERS_TEST = """
from langchain_ovhcloud import ChatOVHCloud

def test_answer_is_short(ovhcloud_endpoints):
    ovhcloud_endpoints.reply("Paris.")

    assert ChatOVHCloud(model="gpt-oss-120b").invoke("The capital of France?").text == "Paris."
"""


def files_of_ours(environment: Path) -> set[str]:
    (record,) = environment.glob("ovhcloud_ai_endpoints-*.dist-info/RECORD")
    return {line.partition(",")[0] for line in record.read_text("utf-8").splitlines()}


@pytest.mark.parametrize("extra", EXTRAS)
def test_installs_our_packages_only(installed: Installed, extra: str) -> None:
    names = files_of_ours(installed(extra).site_packages)

    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == OURS


@pytest.mark.parametrize(
    ("extra", "others"),
    [
        ("", {"langchain-core", "llama-index-core", "aiohttp", "openai", "tiktoken"}),
        ("langchain", {"llama-index-core", "aiohttp", "openai", "tiktoken", "langchain-openai"}),
        ("llama-index", {"langchain-core", "openai", "llama-index-llms-openai"}),
        ("aiohttp", {"langchain-core", "llama-index-core", "openai", "tiktoken"}),
        ("ray", {"langchain-core", "llama-index-core", "openai", "tiktoken"}),
        ("all", {"ray", "openai"}),  # Ray is large
    ],
)
def test_brings_nothing_of_another_extra(installed: Installed, extra: str, others: set[str]) -> None:
    assert installed(extra).installed() & others == set()


@pytest.mark.parametrize("extra", EXTRAS)
def test_models_are_listed_by_the_command_line(installed: Installed, extra: str) -> None:
    printed = installed(extra).with_endpoints("-m", "ovhcloud_ai_endpoints", "models")

    assert "gpt-oss-120b" in printed


@pytest.mark.parametrize("extra", EXTRAS)
def test_models_are_listed_by_a_call(installed: Installed, extra: str) -> None:
    assert installed(extra).with_endpoints("-c", MODEL_LIST) == "True\n"


@pytest.mark.parametrize("extra", ["langchain", "all"])
def test_langchain_works(installed: Installed, extra: str) -> None:
    assert installed(extra).with_endpoints("-c", LANGCHAIN).split() == ["True", "True", "True", "1024"]


@pytest.mark.parametrize("extra", ["llama-index", "all"])
def test_llama_index_works(installed: Installed, extra: str) -> None:
    assert installed(extra).with_endpoints("-c", LLAMA_INDEX).split() == ["True", "True", "True", "1024"]


@pytest.mark.parametrize("extra", ["aiohttp,langchain", "all"])
def test_aiohttp_works(installed: Installed, extra: str) -> None:
    assert installed(extra).with_endpoints("-c", OVER_AIOHTTP).split() == ["True", "True"]


def test_rows_of_ray_get_vectors(installed: Installed) -> None:
    assert installed("ray").with_endpoints("-c", VECTORS_OF_ROWS) == "2 1024 2\n"


def test_fixture_is_found_by_pytest(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "test_of_user.py").write_text(USERS_TEST, "utf-8")

    assert "1 passed" in installed("langchain", "pytest").command("-m", "pytest", "-q", cwd=tmp_path)


@pytest.mark.parametrize("version", PYTHONS)
def test_everything_works_on_each_python(installed: Installed, version: str) -> None:
    environment = installed("all", python=PYTHONS[version])

    assert environment.run("import sys; print('.'.join(map(str, sys.version_info[:2])))").strip() == version
    for code in (LANGCHAIN, LLAMA_INDEX, OVER_AIOHTTP, MODEL_LIST):
        assert "False" not in environment.with_endpoints("-c", code)


@pytest.mark.parametrize(
    ("extra", "code", "command"),
    [
        ("", "import langchain_ovhcloud", '"ovhcloud-ai-endpoints[langchain]"'),
        ("llama-index", "import langchain_ovhcloud", '"ovhcloud-ai-endpoints[langchain]"'),
        ("aiohttp", "from langchain_ovhcloud import ChatOVHCloud", '"ovhcloud-ai-endpoints[langchain]"'),
        ("", "import llama_index_ovhcloud", '"ovhcloud-ai-endpoints[llama-index]"'),
        ("langchain", "import llama_index_ovhcloud", '"ovhcloud-ai-endpoints[llama-index]"'),
        ("aiohttp", "from llama_index_ovhcloud.llms import ChatOVHCloud", '"ovhcloud-ai-endpoints[llama-index]"'),
        (
            "langchain",
            "from langchain_ovhcloud import ChatOVHCloud\nChatOVHCloud(model='gpt-oss-120b', http_backend='aiohttp')",
            '"ovhcloud-ai-endpoints[aiohttp]"',
        ),
        ("langchain", "import langchain_ovhcloud\nlangchain_ovhcloud.register()", '"langchain>=1"'),
        ("langchain", VECTORS_OF_ROWS.replace('"bge-m3"', '"bge-m3", api_key=""'), '"ovhcloud-ai-endpoints[ray]"'),
    ],
)
def test_what_is_missing_is_named_with_its_command(installed: Installed, extra: str, code: str, command: str) -> None:
    message = installed(extra).error(code)

    assert message.startswith("ImportError: ")
    assert message.endswith(f"pip install {command}")


PROGRESS_BAR = """
from ovhcloud_ai_endpoints import Batch

list(Batch("ledger").map(str, ["one"], show_progress=True))
"""
PROGRESS_OF_LANGCHAIN = """
from langchain_ovhcloud import OVHCloudEmbeddings

print(len(OVHCloudEmbeddings(show_progress=True).embed_documents(["one", "another"])))
"""
PROGRESS_OF_LLAMA_INDEX = """
from llama_index_ovhcloud import OVHCloudEmbeddings

print(len(OVHCloudEmbeddings().get_text_embedding_batch(["one", "another"], show_progress=True)))
"""
OVER_SOCKS = """
from langchain_ovhcloud import ChatOVHCloud

ChatOVHCloud(model="gpt-oss-120b", proxy="socks5://127.0.0.1:9").invoke("Hello")
"""


def test_progress_bar_without_tqdm_is_named_with_its_command(installed: Installed) -> None:
    assert installed("").error(PROGRESS_BAR) == "ImportError: show_progress=True needs tqdm: pip install tqdm"


@pytest.mark.parametrize(
    ("extra", "code"), [("langchain", PROGRESS_OF_LANGCHAIN), ("llama-index", PROGRESS_OF_LLAMA_INDEX)]
)
def test_frameworks_bring_progress_bars(installed: Installed, extra: str, code: str) -> None:
    assert installed(extra).with_endpoints("-c", code) == "2\n"


def test_socks_proxy_without_its_package_is_named_with_its_command(installed: Installed) -> None:
    assert installed("langchain").error(OVER_SOCKS).endswith('pip install "httpx[socks]".')
