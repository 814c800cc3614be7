"""Builds a request for vectors, and reads its answer.

Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from ovhcloud_ai_endpoints._catalogue import OtherName, is_ovhcloud, names_to_send
from ovhcloud_ai_endpoints._catalogue import model as model_facts
from ovhcloud_ai_endpoints._embeddings.encoding import decoded_vector, encoding_to_ask_for, is_refused
from ovhcloud_ai_endpoints._embeddings.options import EncodingFormat
from ovhcloud_ai_endpoints._errors import OVHCloudError
from ovhcloud_ai_endpoints._http import Content, Whole, event_error, invalid_response, json_content
from ovhcloud_ai_endpoints._metering import count_tokens
from ovhcloud_ai_endpoints._wire import Body

BLANK = " "  # sent for an empty text, which some servers embed and others refuse
WIDEST = 16_384  # numbers in a vector of an unknown model, at most
NUMBER_BYTES = 32  # of a number and its separator, as JSON
REST_BYTES = 64 * 1024  # of an answer, besides its numbers


def batch_size(asked: int, model: str) -> int:
    """How many texts to send in one request: what was asked for, but no more than the model is known to take."""
    return min(asked, model_facts(model).max_batch_size or asked)


@dataclass(frozen=True, slots=True)
class Vectors:
    """The result of one embedding request.

    Attributes:
        vectors: one for each text, in their order.
        tokens: as the service counted them; 0 if it did not say.
    """

    vectors: list[list[float]]
    tokens: int


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A request for the vectors of some texts.

    Attributes:
        count: number of texts.
        width: numbers in a vector, at most.
        most_bytes: the largest body that the server accepts; None if unknown.
        other_name: the name of the model to send if the server does not know the one in the body.
        is_encoding_ours: whether base64 was our idea, so that another server may do without.
    """

    method: ClassVar[str] = "POST"
    path: ClassVar[str] = "/embeddings"
    may_repeat: ClassVar[bool] = True

    body: Body
    count: int
    width: int = WIDEST
    most_bytes: int | None = None
    other_name: OtherName | None = None
    base_url: str = ""
    is_encoding_ours: bool = False

    @property
    def model(self) -> str | None:
        model: str | None = self.body.get("model")
        return model

    @property
    def largest(self) -> int:
        return REST_BYTES + self.count * self.width * NUMBER_BYTES

    def content(self) -> Content:
        """The body as JSON.

        Raises:
            BadRequestError: the body can't be encoded.
            PayloadTooLargeError: the body exceeds the service's size limit.
        """
        return json_content(
            self.body,
            most=self.most_bytes,
            advice=lambda _: f"Send fewer texts at once; this request has {self.count}.",
        )

    def corrected(self, error: OVHCloudError) -> Self | None:
        """The same request as a server takes it that refused it: with another name of the model, or without base64."""
        if self.other_name and (body := self.other_name.corrected(self.body, error)):
            return replace(self, body=body, other_name=None)
        if self.is_encoding_ours and is_refused(error, self.base_url, self.body["model"]):
            body = {name: value for name, value in self.body.items() if name != "encoding_format"}
            return replace(self, body=body, is_encoding_ours=False)
        return None

    def read(self, whole: Whole) -> Vectors:
        """Reads the vectors.

        Raises:
            OVHCloudError: the answer is an error, despite its status.
            InvalidResponseError: it does not hold a vector for each text.
        """
        vectors = read_vectors(whole.json_object(), whole.body, count=self.count)
        count_tokens({"prompt_tokens": vectors.tokens})
        return vectors


def embedding_request(
    texts: Sequence[str],
    *,
    model: str,
    base_url: str,
    instruction: str = "",
    dimensions: int | None = None,
    encoding_format: EncodingFormat = "auto",
    extra_body: Mapping[str, Any] | None = None,
) -> EmbeddingRequest:
    """Builds the request for these texts.

    Args:
        encoding_format: how vectors travel; with "auto" base64, and lists of numbers where that is refused.
        instruction: put before each text, without a separator.
    """
    name, other_name = names_to_send(model, base_url)
    body: Body = {"model": name, "input": [instruction + text or BLANK for text in texts]}
    if dimensions is not None:
        body["dimensions"] = dimensions
    encoding = encoding_to_ask_for(encoding_format, base_url, name)
    if encoding is not None:
        body["encoding_format"] = encoding
    return EmbeddingRequest(
        body | dict(extra_body or {}),
        base_url=base_url,
        is_encoding_ours=encoding_format == "auto" and encoding is not None,
        count=len(texts),
        width=dimensions or model_facts(model).dimensions or WIDEST,
        other_name=other_name,
        most_bytes=model_facts(model).largest_request if is_ovhcloud(base_url) else None,
    )


def read_vectors(body: Mapping[str, Any], raw: bytes, *, count: int) -> Vectors:
    """Reads the vectors of one answer, in the order of the texts.

    Raises:
        OVHCloudError: the answer is an error, despite its status.
        InvalidResponseError: vectors are missing, too many, repeated, of different widths, or not of finite numbers.
    """
    if body.get("error"):
        raise event_error(body, body=raw)
    try:
        found = {item.get("index", place): item["embedding"] for place, item in enumerate(body["data"])}
        ordered = [decoded_vector(found[place]) for place in range(count)]
    except ValueError as error:
        raise invalid_response(f"A vector of the answer can't be read: {error}", raw) from error
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise invalid_response(f"The answer does not hold a vector for each of {count} texts", raw) from error
    if len(body["data"]) != count:
        raise invalid_response(f"The answer holds {len(body['data'])} vectors for {count} texts", raw)
    if len({len(vector) for vector in ordered}) != 1 or not ordered[0]:
        raise invalid_response("The vectors of the answer are empty or of different widths", raw)
    usage = body.get("usage")
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
    return Vectors(ordered, tokens if isinstance(tokens, int) else 0)
