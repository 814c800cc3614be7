"""An MCP server over standard input and output, whose tools return every kind of content that MCP knows."""

import base64
from typing import Any

from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.prompts.base import AssistantMessage, Message, UserMessage
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from pydantic import AnyUrl, BaseModel

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR4nGM4oaGBFTEMLQkAgl1GAWqNFmsAAAAASUVORK5CYII="
WAV = base64.b64encode(b"RIFF" + bytes(64)).decode()
PDF = base64.b64encode(b"%PDF-1.4 " + bytes(64)).decode()
CSV = base64.b64encode(b"city,sun\nParis,yes\n").decode()

server = FastMCP("every-kind", log_level="ERROR")


class Weather(BaseModel):
    """The weather."""

    city: str
    degrees: float


def text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


def blob(data: str, mime_type: str, name: str) -> EmbeddedResource:
    resource = BlobResourceContents(uri=AnyUrl(f"demo://files/{name}"), blob=data, mimeType=mime_type)
    return EmbeddedResource(type="resource", resource=resource)


@server.tool()
def one_text(city: str) -> str:
    """Gives a text."""
    return f"Sunny in {city}"


@server.tool(structured_output=False)
def several_texts() -> list[str]:
    """Gives several texts."""
    return ["first", "second", "third"]


@server.tool(structured_output=False)
def nothing() -> None:
    """Gives nothing."""


@server.tool(structured_output=False)
def an_image() -> list[Any]:
    """Gives an image under a text."""
    return [text("Look:"), ImageContent(type="image", data=PNG, mimeType="image/png")]


@server.tool(structured_output=False)
def a_sound() -> AudioContent:
    """Gives a sound."""
    return AudioContent(type="audio", data=WAV, mimeType="audio/wav")


@server.tool(structured_output=False)
def an_embedded_text() -> EmbeddedResource:
    """Gives a resource that is text."""
    resource = TextResourceContents(uri=AnyUrl("demo://notes/1"), text="A note.", mimeType="text/plain")
    return EmbeddedResource(type="resource", resource=resource)


@server.tool(structured_output=False)
def an_embedded_csv() -> EmbeddedResource:
    """Gives a resource that is a table, as bytes."""
    return blob(CSV, "text/csv", "table.csv")


@server.tool(structured_output=False)
def an_embedded_image() -> EmbeddedResource:
    """Gives a resource that is an image."""
    return blob(PNG, "image/png", "square.png")


@server.tool(structured_output=False)
def an_embedded_pdf() -> EmbeddedResource:
    """Gives a resource that no model reads."""
    return blob(PDF, "application/pdf", "paper.pdf")


@server.tool(structured_output=False)
def an_embedded_blob() -> EmbeddedResource:
    """Gives a resource of no known type."""
    resource = BlobResourceContents(uri=AnyUrl("demo://files/unknown"), blob=PDF)
    return EmbeddedResource(type="resource", resource=resource)


@server.tool(structured_output=False)
def a_link() -> ResourceLink:
    """Gives a link to a resource."""
    return ResourceLink(type="resource_link", uri=AnyUrl("demo://reports/7"), name="report", mimeType="application/pdf")


@server.tool(structured_output=False)
def a_link_to_an_image() -> ResourceLink:
    """Gives a link to an image."""
    return ResourceLink(type="resource_link", uri=AnyUrl("https://example.org/a.png"), name="a", mimeType="image/png")


@server.tool()
def an_object(city: str) -> Weather:
    """Gives structured content."""
    return Weather(city=city, degrees=21.5)


@server.tool(structured_output=False)
def an_error() -> CallToolResult:
    """Gives an error with an image."""
    content = [text("No such city."), ImageContent(type="image", data=PNG, mimeType="image/png")]
    return CallToolResult(content=content, isError=True)


@server.tool()
def an_exception() -> str:
    """Raises."""
    raise LookupError("the city was not found")


@server.tool()
def many_arguments(
    city: str, days: int = 3, tags: list[str] | None = None, place: Weather | None = None
) -> dict[str, Any]:
    """Tells its arguments."""
    return {"city": city, "days": days, "tags": tags, "place": place and place.model_dump()}


@server.prompt()
def review(city: str) -> list[Message]:
    """Asks about a city."""
    return [UserMessage(f"Tell me about {city}."), AssistantMessage("What of it?"), UserMessage("The weather.")]


@server.resource("demo://notes/1", mime_type="text/plain")
def note() -> str:
    """A note."""
    return "A note."


@server.resource("demo://files/square.png", mime_type="image/png")
def picture() -> bytes:
    """An image."""
    return base64.b64decode(PNG)


if __name__ == "__main__":
    server.run("stdio")
