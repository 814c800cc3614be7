import json
from typing import get_args

import pytest

from ovhcloud_ai_endpoints import AuthenticationError, BadRequestError, ContextOverflowError
from ovhcloud_ai_endpoints._embeddings.capacity import allowed
from ovhcloud_ai_endpoints._http.refusals import status_error
from ovhcloud_ai_endpoints._wordings import WORDINGS, Meaning, Wording, says

# What each meaning makes of a refusal: its status, the model that is asked, and a word of the advice.
ADVICE: dict[Meaning, tuple[int, str, str]] = {
    "authentication failed": (403, "gpt-oss-120b", "OVHCLOUD_API_KEY"),
    "unknown key": (400, "my-model", "this server accepts"),
    "context overflow": (400, "gpt-oss-120b", "131,072 tokens"),
    "unknown field": (400, "gpt-oss-120b", "extra_body"),
    "reasoning effort": (400, "gpt-oss-120b", "low, medium, high"),
    "no images": (400, "gpt-oss-120b", "Models that see images"),
    "too many images": (400, "Qwen3.6-27B", "5 images"),
    "no tools": (400, "Qwen3Guard-Gen-8B", "Models that call tools"),
    "no objects": (400, "Qwen3Guard-Gen-8B", "Models that give objects"),
    "no grammar": (400, "gpt-oss-120b", "Leave uniqueItems"),
}
KINDS = {
    "authentication failed": AuthenticationError,
    "unknown key": AuthenticationError,
    "context overflow": ContextOverflowError,
}


def test_each_meaning_has_a_wording() -> None:
    assert {wording.meaning for wording in WORDINGS} == set(get_args(Meaning))


@pytest.mark.parametrize("wording", WORDINGS, ids=lambda wording: f"{wording.meaning}: {wording.sample[:30]}")
def test_sample_is_recognised(wording: Wording) -> None:
    assert says(wording.sample, wording.meaning)
    assert says(wording.sample.upper(), wording.meaning)
    assert wording.seen


@pytest.mark.parametrize(
    "wording",
    [wording for wording in WORDINGS if wording.meaning not in {"too many texts", "unknown model", "no base64"}],
    ids=lambda wording: f"{wording.meaning}: {wording.sample[:30]}",
)
def test_sample_brings_its_error_and_its_advice(wording: Wording) -> None:
    status, model, advice = ADVICE[wording.meaning]
    body = json.dumps({"message": wording.sample}).encode()

    error = status_error(status, {}, body, model=model, url="https://h/v1/chat/completions")

    assert type(error) is KINDS.get(wording.meaning, BadRequestError)
    assert advice in error.message


def test_too_many_texts_are_fewer_from_then_on() -> None:
    (wording,) = [wording for wording in WORDINGS if wording.meaning == "too many texts"]
    error = status_error(400, {}, json.dumps({"message": wording.sample}).encode())

    capacity = allowed(error, 30, 1000)

    assert capacity is not None
    assert capacity.texts == 25


@pytest.mark.parametrize(
    "text", ["API rate limit exceeded", "Failed to deserialize the JSON body into the target type", "no such model", ""]
)
def test_other_sentences_mean_nothing(text: str) -> None:
    assert [meaning for meaning in get_args(Meaning) if says(text, meaning)] == []
