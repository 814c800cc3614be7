"""An MCP server on standard input and output, with a tool for each kind of result."""

import base64
from pathlib import Path
from typing import Literal

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import (
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel

PICTURE = Path(__file__).parents[1] / "data" / "square.png"
server = MCPServer("kinds of results", log_level="CRITICAL")


class Weather(BaseModel):
    city: str
    degrees: int


class Place(BaseModel):
    """Where something is."""

    city: str
    country: str = "France"


@server.tool()
def text(place: Place, unit: Literal["C", "F"] = "C") -> CallToolResult:
    """The weather as a text."""
    return result(TextContent(type="text", text=f"21 {unit} in {place.city}, {place.country}"))


@server.tool()
def texts() -> CallToolResult:
    """The weather as several texts."""
    return result(TextContent(type="text", text="Sunny"), TextContent(type="text", text="and warm"))


@server.tool()
def image() -> CallToolResult:
    """The weather as a picture."""
    data = base64.b64encode(PICTURE.read_bytes()).decode()
    return result(
        TextContent(type="text", text="As seen at noon"), ImageContent(type="image", data=data, mime_type="image/png")
    )


@server.tool()
def resource() -> CallToolResult:
    """The weather as a file that comes with it."""
    file = TextResourceContents(uri="file:///weather.txt", mime_type="text/plain", text="Sunny in the file")
    return result(EmbeddedResource(type="resource", resource=file))


@server.tool()
def link() -> CallToolResult:
    """The weather as a file that is elsewhere."""
    return result(ResourceLink(type="resource_link", uri="file:///weather.txt", name="weather"))


@server.tool()
def error() -> str:
    """The weather, which fails."""
    raise ToolError("No thermometer")


@server.tool()
def structured() -> Weather:
    """The weather as an object."""
    return Weather(city="Paris", degrees=21)


def result(*blocks: ContentBlock) -> CallToolResult:
    return CallToolResult(content=list(blocks))


if __name__ == "__main__":
    server.run("stdio")
