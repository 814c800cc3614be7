"""What the local AI Endpoints receives."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire.

    Attributes:
        path: with the query, such as "/v1/chat/completions".
        headers: by lower-case name.
        connection: number of the connection that it came on, from 1.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)
    connection: int

    @property
    def json(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)

    @property
    def api_key(self) -> str | None:
        """The key that was sent, or None if there was no Authorization header."""
        value = self.headers.get("authorization")
        return None if value is None else value.removeprefix("Bearer ")
