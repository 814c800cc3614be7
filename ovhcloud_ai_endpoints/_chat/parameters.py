"""The fields of a chat request that a user may set.

Pure.
"""

from collections.abc import Iterable
from typing import Literal

from ovhcloud_ai_endpoints._options import hint_for

Passback = Literal["auto", "always", "never"]

# Fields of the request that a user may set, in the order in which they are sent, so that equal requests have equal
# bytes; the gateway refuses any other with status 400.
PARAMETERS = (
    "temperature",
    "top_p",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "reasoning_effort",
    "max_tokens",
    "n",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
)


def check_parameters(parameters: Iterable[str]) -> None:
    """Checks that the gateway knows these fields.

    Raises:
        TypeError: the gateway would refuse one of them.
    """
    for name in parameters:
        if name == "extra_headers":
            raise TypeError("Pass headers as default_headers= when creating the model, not as extra_headers=")
        if name not in PARAMETERS:
            hint = hint_for(name, PARAMETERS)
            raise TypeError(f"The service does not accept {name!r}{'; ' if hint else ''}{hint}")
