"""`register`: models by name, through langchain's `init_chat_model` and its like."""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

from langchain_ovhcloud._messages import PROVIDER

TABLE = "_BUILTIN_PROVIDERS"  # of langchain 1
CHAT, EMBEDDINGS = "ChatOVHCloud", "OVHCloudEmbeddings"


def register() -> None:
    """Makes langchain know this provider by its name, for this process.

        langchain_ovhcloud.register()
        init_chat_model("ovhcloud:gpt-oss-120b")

    The same name works in `create_agent`, in `init_embeddings("ovhcloud:bge-m3")`, and in `init_chat_model` of
    `langchain_classic` if that is installed. Calling it again changes nothing.

    Raises:
        ImportError: `langchain` is not installed.
        RuntimeError: the installed version keeps its providers in another way.
    """
    try:
        chat = import_module("langchain.chat_models.base")
        embeddings = import_module("langchain.embeddings.base")
    except ImportError as error:
        raise ImportError('register() needs langchain: pip install "langchain>=1"') from error
    tables: dict[str, Any] = {CHAT: getattr(chat, TABLE, None), EMBEDDINGS: getattr(embeddings, TABLE, None)}
    if not all(map(_has_known_shape, tables.values())):
        raise RuntimeError(
            f"langchain {version('langchain')} keeps its providers in a way that register() does not know; "
            f"use {CHAT} and {EMBEDDINGS} directly"
        )
    for name, table in tables.items():
        table[PROVIDER] = ("langchain_ovhcloud", name, _created)
    try:
        classic = import_module("langchain_classic.chat_models.base")
    except ImportError:
        return
    _register_with_classic(classic)


def _has_known_shape(table: Any) -> bool:
    """Whether a table has, by provider, a module, a class and what creates an object of it."""
    if not isinstance(table, dict) or not table:
        return False
    return all(
        isinstance(entry, tuple) and len(entry) == 3 and isinstance(entry[0], str) and callable(entry[2])
        for entry in table.values()
    )


def _created(cls: Callable[..., Any], **kwargs: Any) -> Any:
    return cls(**kwargs)


def _register_with_classic(classic: Any) -> None:
    """langchain_classic has no table of classes, but a function with a branch for each provider."""
    helper = getattr(classic, "_init_chat_model_helper", None)
    providers = getattr(classic, "_SUPPORTED_PROVIDERS", None)
    if helper is None or not isinstance(providers, set) or PROVIDER in providers:
        return

    def created(model: str, *, model_provider: str | None = None, **kwargs: Any) -> Any:
        if model_provider == PROVIDER or (model_provider is None and model.startswith(f"{PROVIDER}:")):
            return import_module("langchain_ovhcloud").ChatOVHCloud(model=model.removeprefix(f"{PROVIDER}:"), **kwargs)
        return helper(model, model_provider=model_provider, **kwargs)

    providers.add(PROVIDER)
    classic._init_chat_model_helper = created  # noqa: SLF001 - the only place where it can be told
