"""What is imported on first use is found in every way in which users look for it."""

import copy
import pickle
import subprocess
import sys
from typing import Any
from unittest.mock import patch

import pytest

import langchain_ovhcloud
import llama_index_ovhcloud
from langchain_ovhcloud._results import KNOWS_REFUSALS
from ovhcloud_ai_endpoints import _lazy

CLASSES = [("langchain_ovhcloud", "chat_models"), ("llama_index_ovhcloud", "llms")]


def run(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize(("package", "module"), CLASSES)
def test_modules_are_attributes_of_their_package(package: str, module: str) -> None:
    assert run(f"import {package}; print({package}.{module}.ChatOVHCloud.__name__)") == "ChatOVHCloud"


@pytest.mark.parametrize(("package", "module"), CLASSES)
def test_patch_of_a_class_is_gone_with_its_block(package: str, module: str) -> None:
    script = f"""
from unittest.mock import patch
with patch("{package}.{module}.ChatOVHCloud") as mock:
    from {package} import ChatOVHCloud
    assert ChatOVHCloud is mock
from {package} import ChatOVHCloud
print(ChatOVHCloud.__name__)
"""
    assert run(script) == "ChatOVHCloud"


@pytest.mark.skipif(not KNOWS_REFUSALS, reason="this core has no such block")
def test_stored_message_has_its_blocks_before_there_is_a_model() -> None:
    script = """
import langchain_ovhcloud
from langchain_core.messages import AIMessage
message = AIMessage("Hi", additional_kwargs={"refusal": "No"}, response_metadata={"model_provider": "ovhcloud"})
print([block["type"] for block in message.content_blocks])
"""
    assert run(script) == "['text', 'refusal']"


def test_unknown_name_is_no_attribute() -> None:
    for package in (langchain_ovhcloud, llama_index_ovhcloud):
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            package.nothing  # noqa: B018


@pytest.fixture
def module() -> Any:
    return _lazy.Module("langchain_ovhcloud._messages")


def test_module_can_be_copied_and_pickled(module: Any) -> None:
    for _ in range(2):  # before and after it is loaded
        for same in (copy.copy(module), copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            assert same.PROVIDER == "ovhcloud"
        assert module.PROVIDER == "ovhcloud"
        assert not hasattr(module, "nothing")


def test_what_is_patched_in_a_module_is_patched_here(module: Any) -> None:
    assert module.PROVIDER == "ovhcloud"
    with patch("langchain_ovhcloud._messages.PROVIDER", "other"):
        assert module.PROVIDER == "other"
    assert module.PROVIDER == "ovhcloud"
