"""Hints about constructor arguments that our classes don't have.

Pure. An error names arguments, never their values, which may be keys.
"""

import difflib
import re
from collections.abc import Iterable

SIMILAR = 0.7  # similarity of two names, from 0 to 1

# Fields of requests that engines such as vLLM take and the service refuses; they go to other servers in extra_body.
OF_ENGINES = frozenset(
    {
        "add_generation_prompt",
        "allowed_token_ids",
        "bad_words",
        "best_of",
        "cache_prompt",
        "chat_template",
        "chat_template_kwargs",
        "continue_final_message",
        "dry_multiplier",
        "enable_thinking",
        "grammar",
        "guided_choice",
        "guided_decoding_backend",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "ignore_eos",
        "include_stop_str_in_output",
        "length_penalty",
        "logits_processors",
        "min_p",
        "min_tokens",
        "mirostat",
        "mm_processor_kwargs",
        "prompt_logprobs",
        "repeat_penalty",
        "repetition_penalty",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop_token_ids",
        "structured_outputs",
        "tfs_z",
        "thinking",
        "thinking_budget",
        "top_a",
        "top_k",
        "truncate_prompt_tokens",
        "typical_p",
        "use_beam_search",
        "xtc_probability",
    }
)
OTHER_NAMES = {
    "cache": "embeddings_cache",
    "extra_headers": "default_headers",
    "headers": "default_headers",
    "http_proxy": "proxy",
    "https_proxy": "proxy",
    "openai_proxy": "proxy",
    "proxies": "proxy",
    "ssl_verify": "verify",
    "verify_ssl": "verify",
}
OF_CALLS = frozenset({"messages", "prompt", "tools"})
_KEY = re.compile(r"(.*_)?(api_?key|api_token|access_token|auth_token)|key|token|hf_token")
_URL = re.compile(r"(.*_)?(base_url|url|api_base|endpoint)|host|server")


def hint_for(name: str, known: Iterable[str]) -> str:
    """What to do about an argument that doesn't exist, as the end of a sentence; empty if nothing can be said.

    Args:
        known: the arguments that do, aliases included.
    """
    if name in OF_ENGINES:
        return "the service has no such field; for other servers, pass it in extra_body="
    known = list(known)
    if (other := OTHER_NAMES.get(name)) in known:
        return f"did you mean {other!r}?"
    if name in OF_CALLS:
        return "it belongs to the call"
    if name == "stream":
        return "a chat model streams in stream(), or stream_chat() in LlamaIndex"
    near = difflib.get_close_matches(name, known, n=1, cutoff=SIMILAR)
    if near:
        return f"did you mean {near[0]!r}?"
    if _KEY.fullmatch(name):
        return "give this service's key as api_key="
    if _URL.fullmatch(name):
        return "give the service's URL as base_url="
    return ""
