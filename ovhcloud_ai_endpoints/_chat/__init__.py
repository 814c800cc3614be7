"""Chat completions: builds the request from a history, and reads the answer, whole or streamed."""

from typing import TYPE_CHECKING

from ovhcloud_ai_endpoints import _lazy

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints._chat.objects import best_method, read_json, texts_with_object
    from ovhcloud_ai_endpoints._chat.options import ChatOptions
    from ovhcloud_ai_endpoints._chat.parts import (
        Role,
        audio_part,
        content_of,
        data_url,
        decoded,
        from_base64,
        image_part,
        is_text,
        note,
        note_on,
        size_of,
        text_part,
    )
    from ovhcloud_ai_endpoints._chat.request import ChatRequest, json_schema_format, with_schema
    from ovhcloud_ai_endpoints._chat.schema import readable
    from ovhcloud_ai_endpoints._chat.tools import names_of_tools, tool_call, tool_choice_for
else:
    __getattr__, __dir__ = _lazy.names(
        __name__,
        {
            "objects": ("best_method", "read_json", "texts_with_object"),
            "options": ("ChatOptions",),
            "parts": (
                "Role",
                "audio_part",
                "content_of",
                "data_url",
                "decoded",
                "from_base64",
                "image_part",
                "is_text",
                "note",
                "note_on",
                "size_of",
                "text_part",
            ),
            "request": ("ChatRequest", "json_schema_format", "with_schema"),
            "schema": ("readable",),
            "tools": ("tool_call", "tool_choice_for", "names_of_tools"),
        },
    )

__all__ = [
    "ChatOptions",
    "ChatRequest",
    "Role",
    "audio_part",
    "best_method",
    "content_of",
    "data_url",
    "decoded",
    "from_base64",
    "image_part",
    "is_text",
    "json_schema_format",
    "names_of_tools",
    "note",
    "note_on",
    "read_json",
    "readable",
    "size_of",
    "text_part",
    "texts_with_object",
    "tool_call",
    "tool_choice_for",
    "with_schema",
]
