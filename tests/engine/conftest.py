"""Engines that the tests share; each starts when the first test asks for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import START_SECONDS, TOOLS, VECTORS, Engine, engine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        item.add_marker(pytest.mark.timeout(START_SECONDS + 120))  # the first test of an engine waits for it


@pytest.fixture(scope="session")
def smollm2() -> Iterator[Engine]:
    """Real weights: what it says has a meaning."""
    with engine("smollm2") as found:
        yield found


@pytest.fixture(scope="session")
def qwen3() -> Iterator[Engine]:
    """Random weights: it thinks, calls tools and follows schemas, and means nothing by it."""
    with engine("qwen3", *TOOLS) as found:
        yield found


@pytest.fixture(scope="session")
def qwen3_embedding() -> Iterator[Engine]:
    with engine("qwen3-embedding", *VECTORS, length=512) as found:
        yield found
