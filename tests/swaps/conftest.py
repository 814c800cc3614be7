"""Runs apps that people wrote for other packages, each in a process of its own, on a local AI Endpoints."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import pytest

from ovhcloud_ai_endpoints.testing import LocalEndpoints

PEERS = ("langchain_openai", "langchain_mistralai", "langchain_litellm", "langchain_community", "langgraph")


@dataclass(frozen=True)
class Ran:
    """What a program printed, and the last line of its errors."""

    code: int
    lines: list[str]
    errors: str

    @property
    def last_error(self) -> str:
        return self.errors.strip().rpartition("\n")[2]


Run = Callable[[str], Ran]


@pytest.fixture(scope="session", autouse=True)
def _has_peers() -> None:
    missing = [name for name in PEERS if find_spec(name) is None]
    if missing:
        pytest.exit(f"This Python has no {', '.join(missing)}. `make apps` installs the packages and runs this.", 1)


@pytest.fixture
def run(server: LocalEndpoints) -> Run:
    """Runs a program to its end, with the key in the variables by which packages find it."""
    environ = {
        **os.environ,
        "OVH_AI_ENDPOINTS_ACCESS_TOKEN": server.api_key,
        "OVHCLOUD_API_KEY": server.api_key,
        "OVHCLOUD_API_BASE": server.base_url,
        "OPENAI_API_KEY": server.api_key,
        "OPENAI_BASE_URL": server.base_url,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else LiteLLM asks GitHub for it
    }

    def run(source: str) -> Ran:
        command = [sys.executable, "-c", source]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100, check=False)
        return Ran(done.returncode, done.stdout.splitlines(), done.stderr)

    return run
