"""Advice on refused requests, from the facts about the model.

Pure.
"""

from ovhcloud_ai_endpoints._catalogue.models import (
    LARGEST_REQUEST,
    Kind,
    Model,
    alternatives,
    catalogue_date,
    ids_of,
    is_ovhcloud,
    names_of,
    retirement,
    use_instead,
)
from ovhcloud_ai_endpoints._catalogue.models import model as model_facts
from ovhcloud_ai_endpoints._errors import (
    KEY_ADVICE,
    AuthenticationError,
    BadRequestError,
    ContextOverflowError,
    NotFoundError,
    OVHCloudError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
)
from ovhcloud_ai_endpoints._wordings import says


def advice(kind: type[OVHCloudError], words: str, *, model: str | None, url: str, sent: int, wait: float | None) -> str:
    """What to do about a refusal; empty if nothing is known.

    Args:
        words: what the server said.
        model: the model that was requested.
        url: the URL that was requested.
        sent: size of the request's body in bytes.
        wait: seconds for which the service asks to wait.
    """
    if kind is AuthenticationError:
        return KEY_ADVICE if _is_of_ovhcloud(model, url) else "Set api_key= to a key that this server accepts."
    if kind is PermissionDeniedError:
        return "The project of this key may not use the service; perhaps it lacks a payment method."
    if kind is BadRequestError:
        return _against_refusal(words, model_facts(model or ""))
    if kind is NotFoundError:
        return _against_not_found(model, url)
    if kind is PayloadTooLargeError:
        size = f" {sent / 2**20:.2f} MB were sent." if sent else ""
        most = model_facts(model or "").largest_request or LARGEST_REQUEST
        if 0 < sent < most:
            return (
                f"{sent / 2**20:.2f} MB were sent, and the service takes {most / 2**20:.0f} MB: perhaps a gateway on "
                "the way takes less. Raise its limit, or send smaller or fewer images, texts or messages."
            )
        return (
            f"One request takes {most / 2**20:.0f} MB at most.{size} Send smaller or fewer images, texts or messages."
        )
    if kind is RateLimitError:
        asked = f"The service asks to wait {wait:.0f} s. " if wait is not None else ""
        if not _is_of_ovhcloud(model, url):
            return f"{asked}Raise timeout, max_retries or max_wait to wait longer."
        facts = model_facts(model or "")
        keyed, anonymous = facts.requests_per_minute or 400, facts.anonymous_requests_per_minute or 2
        return (
            f"{asked}{model or 'Each model'} takes {keyed} requests a minute with a key, and {anonymous} without. "
            "Raise timeout, max_retries or max_wait to wait longer, or set OVHCLOUD_API_KEY if you have not."
        )
    if kind is ContextOverflowError and model and (window := model_facts(model).context_length):
        if model_facts(model).kind == "embedding":
            return f"{model} takes at most {window:,} tokens per text."
        return f"{model} has a window of {window:,} tokens; shorten the messages or lower max_tokens."
    return ""


def _is_of_ovhcloud(model: str | None, url: str) -> bool:
    """Whether a refusal is the service's own; a proxy has names of its own for the models."""
    return is_ovhcloud(url) or model is None or model_facts(model).is_known


def _against_refusal(words: str, facts: Model) -> str:
    """Advice on a model that refuses something, as far as the words tell what it refuses."""
    if says(words, "unknown field"):
        return "The service takes no such field; leave it out of extra_body, model_kwargs or additional_kwargs."
    if says(words, "reasoning effort"):
        efforts = ", ".join(facts.reasoning_efforts)
        if efforts:
            note = f" {facts.note[0].upper()}{facts.note[1:]}." if facts.note else ""
            return f"{facts.id} takes reasoning_effort {efforts}.{note}"
        return f"{facts.id} takes no reasoning_effort." if facts.is_known else ""
    if says(words, "no images") and facts.is_known and not facts.image_inputs:
        return f"Models that see images: {', '.join(names_of('image_inputs'))}."
    if says(words, "too many images") and facts.max_images_per_request:
        return f"{facts.id} takes at most {facts.max_images_per_request} images per request."
    if says(words, "no tools") and facts.is_known and not facts.tool_calling:
        return f"Models that call tools: {', '.join(names_of('tool_calling'))}."
    if says(words, "no grammar"):
        return (
            "Leave uniqueItems, multipleOf, contains, unknown formats and the like out of the schema, or let the model "
            'call a tool instead: method="function_calling" in LangChain.'
        )
    if says(words, "no objects") and facts.is_known and not facts.structured_output:
        return f"Models that give objects: {', '.join(names_of('structured_output'))}."
    return ""


def _against_not_found(model: str | None, url: str) -> str:
    if url and "/v1/" not in url:
        return f"The request went to {url}; a base_url ends in /v1."
    where = f" The request went to {url}." if url else ""
    if not model:
        return where.lstrip()
    facts = model_facts(model)
    if not facts.is_known:
        kind: Kind = "embedding" if url.endswith("/embeddings") else "chat"
        why = retirement(model) or f"The model {model!r} is not known; {alternatives(model, kind)}"
        return f"{why}.{where}"
    if url.endswith("/embeddings") and facts.kind in {"chat", "guard"}:
        return f"{facts.id} is a chat model; use ChatOVHCloud, or one of {', '.join(ids_of('embedding'))}.{where}"
    if url.endswith("/chat/completions") and facts.kind not in {"chat", "guard"}:
        instead = "; use OVHCloudEmbeddings" if facts.kind == "embedding" else ""
        return f"{facts.id} is for {facts.kind} and does not chat{instead}.{where}"
    if facts.id != model and is_ovhcloud(url):
        return f"The service knows {model!r} only as {facts.id}; use that name.{where}"
    if url and not url.endswith(("/embeddings", "/chat/completions")):
        return where.lstrip()
    if not facts.available:
        return f"{facts.id} is listed as out of service; {alternatives(model, facts.kind)}.{where}"
    if facts.retires_on:
        return f"{facts.id} was announced to retire on {facts.retires_on}{use_instead(facts.replaced_by)}.{where}"
    return f"{facts.id} was served on {catalogue_date()}; it may have been retired since.{where}"
