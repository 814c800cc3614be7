"""What people do with this service today through LiteLLM, done through our classes."""

import base64
import json
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage, ToolMessage

from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints.testing import LocalEndpoints

PICTURE = Path(__file__).parents[1] / "data" / "square.png"
SCHEMA = {
    "title": "RiverInfo",
    "type": "object",
    "properties": {"name": {"type": "string"}, "length_km": {"type": "number"}},
    "required": ["name", "length_km"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("key_from", ["environment", "argument"])
def test_completion_with_its_parameters(server: LocalEndpoints, monkeypatch: pytest.MonkeyPatch, key_from: str) -> None:
    monkeypatch.setenv("OVHCLOUD_API_BASE", server.base_url)
    monkeypatch.setenv("OVHCLOUD_API_KEY", server.api_key if key_from == "environment" else "wrong")
    key = {} if key_from == "environment" else {"api_key": server.api_key}

    with pytest.warns(UserWarning, match="ignores 'user'"):
        model = ChatOVHCloud(
            model="gpt-oss-120b", max_tokens=100, stop=[], temperature=0.2, top_p=0.9, user="user", **key
        )
    answer = model.invoke("Hello, how are you?")

    assert answer.text
    assert server.requests[-1].api_key == server.api_key
    assert server.requests[-1].json == {
        "model": "gpt-oss-120b",
        "messages": [{"role": "user", "content": "Hello, how are you?"}],
        "temperature": 0.2,
        "top_p": 0.9,
        "max_tokens": 100,
    }


@pytest.mark.usefixtures("environ")
def test_streaming(server: LocalEndpoints) -> None:
    server.reply("Hello there, friend")

    texts = [chunk.text for chunk in ChatOVHCloud(model="gpt-oss-120b").stream("Hello")]

    assert [text for text in texts if text] == ["Hello", " there,", " friend"]


@pytest.mark.usefixtures("environ")
def test_two_turns_about_the_weather() -> None:
    def get_current_weather(location: str, unit: str = "celsius") -> str:
        """Get the current weather in a given location."""
        return json.dumps({"location": location, "temperature": "22", "unit": unit})

    model = ChatOVHCloud(model="Meta-Llama-3_3-70B-Instruct").bind_tools([get_current_weather], tool_choice="auto")
    messages = [HumanMessage("What's the weather like in Paris?")]
    first = model.invoke(messages)
    messages.append(first)
    for call in first.tool_calls:
        assert call["name"] == "get_current_weather"
        messages.append(ToolMessage(get_current_weather(**call["args"]), tool_call_id=call["id"]))

    second = model.invoke(messages)

    assert "22" in second.text
    assert not second.tool_calls


@pytest.mark.filterwarnings("ignore::ovhcloud_ai_endpoints.ModelDeprecationWarning")  # it is about to go
@pytest.mark.usefixtures("environ")
def test_local_image(server: LocalEndpoints) -> None:
    url = f"data:image/png;base64,{base64.b64encode(PICTURE.read_bytes()).decode()}"
    message = HumanMessage(
        [
            {"type": "text", "text": "What's in this image?"},
            {"type": "image_url", "image_url": {"url": url, "format": "image/png"}},
        ]
    )

    answer = ChatOVHCloud(model="Mistral-Small-3.2-24B-Instruct-2506").invoke([message])

    assert "1 image(s)" in answer.text
    assert server.requests[-1].json["messages"][0]["content"][1] == {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.usefixtures("environ")
def test_structured_output(server: LocalEndpoints) -> None:
    model = ChatOVHCloud(model="gpt-oss-120b").with_structured_output(SCHEMA, strict=False)

    found = model.invoke("The name is 'Rhône', and it is 813 km long.")

    assert found == {"name": "Rhône", "length_km": 813}
    json_schema = server.requests[-1].json["response_format"]["json_schema"]
    assert (json_schema["name"], json_schema["strict"]) == ("RiverInfo", False)


@pytest.mark.usefixtures("environ")
def test_embeddings_of_two_texts() -> None:
    first, second = OVHCloudEmbeddings(model="BGE-M3").embed_documents(["good morning from litellm", "good night"])

    assert len(first) == len(second) == 1024
    assert first != second
