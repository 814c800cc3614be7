"""Every sentence of a server that we react to: how it is recognised, what it means, and where it was seen.

Error bodies have no reliable codes, so we match their words. A new wording takes a new entry here, whose sample is also
its test. Pure.
"""

import re
from dataclasses import dataclass
from typing import Literal

Meaning = Literal[
    "authentication failed",
    "unknown key",
    "context overflow",
    "unknown field",
    "reasoning effort",
    "too many images",
    "no images",
    "no tools",
    "no objects",
    "no grammar",
    "too many texts",
    "unknown model",
    "no base64",
]


@dataclass(frozen=True)
class Wording:
    """One way of saying something.

    Attributes:
        pattern: the regular expression to search for, in any casing.
        seen: the document, issue or recording that has it.
        sample: a sentence as it was seen.
    """

    meaning: Meaning
    pattern: str
    seen: str
    sample: str


LIVE_2026_10 = "a call to the service on 2026-10-06"
LIVE_2026_09 = "calls to the service on 2026-09-06"
VLLM = "vLLM"
FAMILY = "OpenAI's API, and servers that speak it"

WORDINGS = (
    Wording(
        "authentication failed",
        r"authenticat",
        LIVE_2026_10,
        "Forbidden: authentication failed.  Please generate a new one at https://kepler.ai.cloud.ovh.net/v1/oauth",
    ),
    Wording(
        "unknown key", r"no connected db", "LiteLLM's proxy without a database, with status 400", "No connected db."
    ),
    Wording(
        "context overflow",
        r"max_tokens must be at least 1",  # when the prompt alone fills the window
        f"{VLLM}, and reported for the service",
        "max_tokens must be at least 1, got -412. (parameter=max_tokens, value=-412)",
    ),
    Wording(
        "context overflow",
        r"(maximum|max) (context|model) length",
        VLLM,
        "This model's maximum context length is 131072 tokens. However, you requested 200000 tokens",
    ),
    Wording("context overflow", r"context (length|window) (of|is|exceeded)", FAMILY, "context length exceeded"),
    Wording(
        "context overflow",
        r"exceeds? the (model's )?(maximum )?context",
        FAMILY,
        "Your request exceeds the model's maximum context",
    ),
    Wording("context overflow", r"(prompt|input) is too long", FAMILY, "The prompt is too long: 9000 tokens"),
    Wording(
        "context overflow",
        r"longer than the maximum model length",
        VLLM,
        "The decoder prompt (length 40000) is longer than the maximum model length of 32768",
    ),
    Wording(
        "context overflow",
        r"ContextWindowExceeded|exceed the configured limit of \d+ tokens",
        "LiteLLM's proxy (langchain issue 39300)",
        "litellm.ContextWindowExceededError: Input tokens exceed the configured limit of 272000 tokens.",
    ),
    Wording(
        "context overflow",
        r"too long to fit into the model",
        f"{VLLM} issue 12165",
        "The prompt (total length 25938) is too long to fit into the model (context length 4096)",
    ),
    Wording(
        "unknown field",
        r"extra arguments",
        LIVE_2026_09,
        "feature 'extra arguments: {\"enable_thinking\":false}' is not currently supported",
    ),
    Wording(
        "reasoning effort",
        r"reasoning[ _]effort",
        LIVE_2026_09,
        "Unexpected reasoning effort high. Supported types are xhigh (default), medium, and low.",
    ),
    Wording("too many images", r"at most.*image", VLLM, "At most 5 image(s) may be provided in one request."),
    Wording("no images", r"multimodal|image", VLLM, "gpt-oss-120b is not a multimodal model"),
    Wording("no tools", r"support.*tool|tool.*support", FAMILY, "Model does not support tools"),
    Wording(
        "no objects",
        r"response_format|(?<!the )json(?! body)",
        "OVHcloud's guide to structured output, of guard models",
        "response_format is not supported by this model",
    ),
    Wording(
        "no grammar",
        r"xgrammar|into a grammar",
        f"{VLLM} 0.32",
        "The provided JSON schema contains features not supported by xgrammar.",
    ),
    Wording(
        "too many texts",
        r"batch.?size|array (is )?too long|(too many|(less|more|fewer) than \d+) (inputs|items|texts)",
        "several servers; the service's own words are not known",
        "batch size 30 > maximum allowed batch size 25",
    ),
    Wording(
        "unknown model",
        r"invalid model name|model .{1,200} (does not exist|not found)",
        "LiteLLM's proxy and vLLM",
        "Invalid model name passed in model=gpt-oss-120b. Call `/v1/models` to view available models for your key.",
    ),
    Wording(
        "no base64",
        r"encoding_format|base64",
        "LiteLLM's route to OVHcloud",
        "litellm.UnsupportedParamsError: ovhcloud does not support parameters: ['encoding_format'], for model=bge-m3.",
    ),
)

_PATTERNS: dict[Meaning, re.Pattern[str]] = {
    meaning: re.compile("|".join(f"(?:{w.pattern})" for w in WORDINGS if w.meaning == meaning), re.IGNORECASE)
    for meaning in dict.fromkeys(wording.meaning for wording in WORDINGS)
}


def says(text: str, meaning: Meaning) -> bool:
    """Whether a server's words mean this."""
    return _PATTERNS[meaning].search(text) is not None
