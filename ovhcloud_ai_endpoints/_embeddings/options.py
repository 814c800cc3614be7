"""The constructor arguments that the two embedding models share, as pydantic fields."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from ovhcloud_ai_endpoints import _lazy
from ovhcloud_ai_endpoints._catalogue import ids_of
from ovhcloud_ai_endpoints._catalogue import model as model_facts
from ovhcloud_ai_endpoints._errors import OVHCloudError
from ovhcloud_ai_endpoints._http import EMBEDDING_CONCURRENCY
from ovhcloud_ai_endpoints._options import ConnectionOptions
from ovhcloud_ai_endpoints._values import EmbeddingUsage

if TYPE_CHECKING:
    from ovhcloud_ai_endpoints._embeddings import run as _run
else:
    _run = _lazy.Module("ovhcloud_ai_endpoints._embeddings.run")

BATCH_SIZE = 25  # the limit of all three models in the catalogue
# Of two fields that have other names in each framework.
MODEL_DESCRIPTION = "Name of the embedding model; a leading `ovhcloud/` is dropped."
BATCH_SIZE_DESCRIPTION = "Number of texts in a request; 25 is the service's limit."
REGION = "kepler"  # of the service's host
EncodingFormat = Literal["auto", "base64", "float"]


class EmbeddingOptions(ConnectionOptions):
    """Options of embedding requests; `max_concurrency` is how many of them run at once.

    The subclasses add the model's name and the number of texts in a request, under their frameworks' own names.
    """

    _ALIASES: ClassVar[Mapping[str, str]] = {
        "access_token": "api_key",
        "text_instruction": "document_instruction",
        "show_progress_bar": "show_progress",
    }
    _WITHOUT_MEANING: ClassVar[Mapping[str, str]] = {
        "check_embedding_ctx_length": "texts are always sent as text, never as tokens",
        "embedding_ctx_length": "no tokenizer is used; truncate=True cuts texts that are too long",
        "retry_max_seconds": "set max_wait",
        "retry_min_seconds": "the service says how long to wait",
        "skip_empty": "every text gets a vector; an empty one is embedded as a blank",
        "tiktoken_enabled": "no tokenizer is used",
        "tokenizer": "no tokenizer is used",
        "wait_time": "the service says how long to wait",
    }

    max_concurrency: int = Field(
        default=EMBEDDING_CONCURRENCY,
        ge=1,
        description="How many requests run at once. Objects with the same number and server share these slots: in a "
        "process for blocking calls, in an event loop for awaited ones.",
    )
    dimensions: int | None = Field(
        default=None, ge=1, description="Width of the vectors, if the model has several: only Qwen3-Embedding-8B does."
    )
    encoding_format: EncodingFormat = Field(
        default="auto",
        description='How vectors travel: with "auto" as base64, which is short and quick to read, or as lists of '
        'numbers where a server refuses that; "base64" and "float" ask for one of them.',
    )
    query_instruction: str | None = Field(default=None, description="Put before each question, unchanged.")
    document_instruction: str | None = Field(default=None, description="Put before each text, unchanged.")
    truncate: bool = Field(
        default=False,
        description="Whether to embed only the beginning of a text that is too long for the model, and log a warning; "
        "otherwise an error names the text.",
    )
    show_progress: bool = Field(default=False, description="Whether to show a progress bar, which needs `tqdm`.")
    on_usage: Annotated[Callable[[EmbeddingUsage], object] | None, WithJsonSchema({})] = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Called with an `EmbeddingUsage` after each successful call, or each part of an `embed_iter`.",
    )
    extra_body: dict[str, Any] | None = Field(
        default=None,
        description="Fields to merge into each request unchanged, for other servers; the service refuses unknown ones.",
    )

    @model_validator(mode="before")
    @classmethod
    def _ovhcloud_region(cls, values: Any) -> Any:
        """The region of langchain-community's class, which has a URL for each; all keys of today are for one."""
        if not isinstance(values, Mapping) or "region" not in values:
            return values
        if values["region"] not in {None, REGION}:
            raise TypeError(f"{cls.__name__} knows the region {REGION!r} only; give another one's URL as base_url=")
        return {name: value for name, value in values.items() if name != "region"}

    @field_validator("model", "model_name", check_fields=False)
    @classmethod
    def _ovhcloud_one_model(cls, name: str) -> str:
        if model_facts(name).is_virtual:
            raise ValueError(
                f"{name!r} may mean another model tomorrow, and vectors of two models can't be compared; "
                f"name one of {', '.join(ids_of('embedding'))}"
            )
        return name

    def _ovhcloud_run(
        self,
        texts: Sequence[str],
        *,
        model: str,
        size: int,
        concurrency: int | None = None,
        instruction: str | None = None,
        start: int | None = None,
        known: Mapping[int, list[float]] | None = None,
        goes_on: Callable[[OVHCloudError], bool] = lambda _: False,
    ) -> "_run.EmbeddingRun":
        """A run that embeds these texts; `EmbeddingRun` documents the arguments."""
        return _run.EmbeddingRun(
            texts,
            model=model,
            base_url=self.base_url,
            size=size,
            concurrency=concurrency or self.max_concurrency,
            instruction=instruction or "",
            dimensions=self.dimensions,
            encoding_format=self.encoding_format,
            extra_body=self.extra_body,
            truncate=self.truncate,
            start=start,
            known=known,
            goes_on=goes_on,
        )
