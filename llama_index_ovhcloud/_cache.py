"""Reads and writes a LlamaIndex `embeddings_cache`, in the form that core's own classes use.

Core's key is the bare text, which would mix up the vectors of different models, and of questions and documents. Here
the key is the text with its instruction, and an entry names the model of each of its vectors.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, TypeVar

COLLECTION = "embeddings"
AT_ONCE = 100  # concurrent requests to a store

T = TypeVar("T")


class VectorCache:
    """The cached vectors of one list of texts.

    Args:
        store: a `BaseKVStore`, or None for a cache that holds nothing.
        name: the name of these vectors within an entry: the model, and options that change a vector.
        keys: the keys of the texts, in order.
    """

    def __init__(self, store: Any, name: str, keys: Sequence[str]) -> None:
        self._store = store
        self._name = name
        self._keys = keys
        self._lock = threading.Lock()
        self._entries: dict[str, dict[str, Any]] = {}

    def known(self) -> dict[int, list[float]]:
        """The cached vectors, by position of their text."""
        for key in self._wanted():
            self._entries[key] = _entry(self._store.get(key, collection=COLLECTION))
        return self._found()

    async def aknown(self) -> dict[int, list[float]]:
        """The same as `known`, to be awaited."""
        for keys in batched(self._wanted()):
            entries = await asyncio.gather(*(self._store.aget(key, collection=COLLECTION) for key in keys))
            self._entries |= {key: _entry(entry) for key, entry in zip(keys, entries, strict=True)}
        return self._found()

    def keep(self, vectors: Mapping[int, list[float]]) -> None:
        """Adds the vectors that were not cached yet."""
        with self._lock:  # vectors come from several threads, and a store need not be thread-safe
            for key, entry in self._new(vectors):
                self._store.put(key, entry, collection=COLLECTION)

    async def akeep(self, vectors: Mapping[int, list[float]]) -> None:
        """The same as `keep`, to be awaited."""
        for entries in batched(list(self._new(vectors))):
            await asyncio.gather(*(self._store.aput(key, entry, collection=COLLECTION) for key, entry in entries))

    def _wanted(self) -> Sequence[str]:
        return [] if self._store is None else list(dict.fromkeys(self._keys))

    def _found(self) -> dict[int, list[float]]:
        entries = enumerate(self._entries.get(key, {}) for key in self._keys)
        return {position: list(entry[self._name]) for position, entry in entries if self._name in entry}

    def _new(self, vectors: Mapping[int, list[float]]) -> Iterator[tuple[str, dict[str, Any]]]:
        if self._store is None:
            return
        for position, vector in vectors.items():
            key = self._keys[position]
            if self._name not in self._entries[key]:
                self._entries[key] = {**self._entries[key], self._name: list(vector)}  # callers may change theirs
                yield key, self._entries[key]


def batched(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values in slices of at most `AT_ONCE`."""
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]


def _entry(value: Any) -> dict[str, list[float]]:
    """The vectors of an entry, without anything that can't be one."""
    return {name: vector for name, vector in value.items() if _is_vector(vector)} if isinstance(value, dict) else {}


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(n, int | float) and isfinite(n) for n in value)
