"""The classes by themselves, over a real socket: columns, types, and rows that fail."""

import json
import pickle
import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints import (
    AuthenticationError,
    BadRequestError,
    EmptyAnswerWarning,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
)
from ovhcloud_ai_endpoints.ray import AnswerPrompts, ApplyFunction, EmbedTexts
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.usefixtures("server")
TEXTS = ["Rome", "Paris", None, "Oslo"]
LONG = "word " * 20_000  # more than the window of bge-m3


class Ticket(BaseModel):
    subject: str
    priority: int


def rows(**columns: Any) -> pa.Table:
    return pa.table(columns)


def by(kind: str, table: pa.Table) -> Any:
    """A batch in one of Ray's formats."""
    match kind:
        case "numpy":
            return {name: np.array(table[name].to_pylist(), dtype=object) for name in table.column_names}
        case "pandas":
            return table.to_pandas()
        case _:
            return table


@pytest.mark.parametrize("kind", ["pyarrow", "numpy", "pandas"])
class TestFormats:
    def test_each_gives_the_same_table(self, kind: str) -> None:
        found = EmbedTexts()(by(kind, rows(id=[1, 2, 3, 4], text=TEXTS)))

        assert found["id"].to_pylist() == [1, 2, 3, 4]
        assert found["text"].to_pylist() == TEXTS
        assert found.schema.field("vector").type == pa.list_(pa.float32(), 1024)
        assert [vector is None for vector in found["vector"].to_pylist()] == [False, False, True, False]
        assert found.schema.field("error").type == pa.string()
        assert found["error"].to_pylist() == [None] * 4
        assert sum(found["tokens"].to_pylist()) > 0

    def test_rows_that_hold_matrices_keep_them(self, kind: str) -> None:
        batch = {"text": np.array(["Rome", "Paris"]), "image": np.arange(12).reshape(2, 2, 3)}
        if kind == "numpy":
            assert EmbedTexts()(batch)["image"].to_pylist()[1] == [[6, 7, 8], [9, 10, 11]]

    def test_rows_that_hold_arrays_keep_them(self, kind: str) -> None:
        table = rows(text=["Rome", "Paris"], old=[[1.0, 2.0], [3.0, 4.0]])
        batch = {"text": np.array(["Rome", "Paris"]), "old": np.array([[1.0, 2.0], [3.0, 4.0]])}

        found = EmbedTexts()(batch if kind == "numpy" else by(kind, table))

        assert found["old"].to_pylist() == [[1.0, 2.0], [3.0, 4.0]]


class TestBatches:
    def test_numpys_nan_of_a_column_without_values_is_null(self, server: LocalEndpoints) -> None:
        nothing = np.array([float("nan")] * 2)

        assert EmbedTexts()({"text": nothing})["error"].to_pylist() == [None, None]
        assert AnswerPrompts("gpt-oss-120b")({"prompt": nothing})["answer"].to_pylist() == [None, None]
        assert ApplyFunction(repr, input_columns="a")({"a": nothing})["output"].to_pylist() == [None, None]
        assert server.requests == []

    def test_a_column_of_several_types_is_named(self) -> None:
        with pytest.raises(ValueError, match="The column 'text' can't be a column of Arrow"):
            EmbedTexts()({"text": np.array(["a", 5], dtype=object)})

    def test_what_is_no_batch_says_so(self) -> None:
        with pytest.raises(TypeError, match=r"batch must be an Arrow table, .*; got a list; use map_batches"):
            EmbedTexts()(["a"])


class TestEmbedTexts:
    def test_types_do_not_depend_on_what_the_rows_hold(self, server: LocalEndpoints) -> None:
        embed = EmbedTexts(max_retries=0)
        whole, empty = embed(rows(text=["Rome"])), embed(rows(text=pa.array([None], pa.string())))
        server.reply(status=500)
        failed = embed(rows(text=["Rome"]))

        assert whole.schema == empty.schema == failed.schema

    def test_vectors_and_tokens_are_those_of_the_texts(self, server: LocalEndpoints) -> None:
        server.reply(vectors=lambda text: [float(len(text))] * 1024)

        found = EmbedTexts()(rows(text=["a", "b b", "c"]))

        assert [set(vector) for vector in found["vector"].to_pylist()] == [{1.0}, {3.0}, {1.0}]
        assert sum(found["tokens"].to_pylist()) == 3  # as the server counts

    def test_one_text_that_is_refused_costs_no_other_its_vector(self, server: LocalEndpoints) -> None:
        texts = [f"text {number}" for number in range(60)]
        texts[7] = LONG

        found = EmbedTexts()(rows(text=texts))

        assert [place for place, vector in enumerate(found["vector"].to_pylist()) if vector is None] == [7]
        errors = found["error"].to_pylist()
        assert errors[7].startswith("ContextOverflowError: Text number 7, of 100,000 characters, is too long")
        assert errors.count(None) == 59
        assert len(server.requests) < 15
        assert sum(found["tokens"].to_pylist()) == 2 * 59  # as the server counts

    def test_a_failure_that_stays_is_in_its_own_rows_only(self, server: LocalEndpoints) -> None:
        server.reply(status=500)

        found = EmbedTexts(max_retries=0, max_concurrency=1)(rows(text=[str(number) for number in range(60)]))

        errors = found["error"].to_pylist()
        assert [error is None for error in errors] == [False] * 25 + [True] * 35
        assert errors[0].startswith("InternalServerError: ")

    def test_several_requests_run_at_once(self, server: LocalEndpoints) -> None:
        server.reply(until=lambda: len(server.requests) >= 4, times=4)

        EmbedTexts(max_concurrency=4)(rows(text=[str(number) for number in range(100)]))

        assert len(server.requests) == 4

    @pytest.mark.parametrize(
        ("arguments", "kind"), [({"api_key": "wrong"}, AuthenticationError), ({"model": "no-such"}, NotFoundError)]
    )
    def test_what_would_fail_for_every_row_ends_the_run(self, arguments: dict[str, Any], kind: type[Exception]) -> None:
        with pytest.raises(kind):
            EmbedTexts(**arguments)(rows(text=["a"] * 100))

    def test_vectors_of_another_width_are_an_error(self, server: LocalEndpoints) -> None:
        server.reply(vectors=[[1.0, 0.0]])

        with pytest.raises(InvalidResponseError, match="have 2 dimensions, though those of bge-m3 have 1024"):
            EmbedTexts()(rows(text=["a"]))

    def test_columns_have_the_names_that_are_asked_for(self) -> None:
        embed = EmbedTexts(text_column="body", rename={"vector": "embedding", "error": "problem", "tokens": "cost"})

        assert embed(rows(body=["a"])).column_names == ["body", "embedding", "problem", "cost"]

    @pytest.mark.parametrize(
        ("columns", "problem"),
        [
            ({"body": ["a"]}, "The rows have no column 'text'; their columns are body"),
            (
                {"text": ["a"], "error": ["mine"]},
                "a column 'error' already; give ours another name by rename=",
            ),
            ({"text": [1, 2]}, "The column 'text' must hold texts; its type is int64"),
        ],
    )
    def test_columns_that_lack_or_would_be_lost_are_an_error(self, columns: dict[str, Any], problem: str) -> None:
        with pytest.raises(ValueError, match=problem):
            EmbedTexts()(rows(**columns))

    @pytest.mark.parametrize(
        ("rename", "problem"),
        [
            ({"vectors": "v"}, r"rename has \['vectors'\]; the columns are vector, error, tokens"),
            ({"vector": "v", "error": "v"}, "rename gives two columns one name: v, v, tokens"),
        ],
    )
    def test_names_that_make_no_sense_are_an_error(self, rename: dict[str, str], problem: str) -> None:
        with pytest.raises(ValueError, match=problem):
            EmbedTexts(rename=rename)

    def test_arguments_are_named_as_the_user_names_them(self) -> None:
        with pytest.raises(TypeError, match=r"^EmbedTexts has no argument 'dimension'; did you mean 'dimensions'"):
            EmbedTexts(dimension=5)
        with pytest.raises(ValueError, match="may mean another model tomorrow"):
            EmbedTexts("bge@latest")
        with pytest.raises(ValueError, match="texts_per_request must be positive; got 0"):
            EmbedTexts(texts_per_request=0)

    def test_no_key_is_an_error_unless_that_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OVHCLOUD_API_KEY")

        with pytest.raises(AuthenticationError, match="There is no key in the environment of this worker"):
            EmbedTexts()(rows(text=["a"]))
        assert EmbedTexts(api_key="")(rows(text=["a"]))["error"].to_pylist() == [None]

    def test_what_is_refused_for_every_row_of_the_first_batch_ends_the_run(self, server: LocalEndpoints) -> None:
        with pytest.raises(BadRequestError):
            EmbedTexts(extra_body={"nonsense": 1})(rows(text=["a", "b", "c"]))

        assert len(server.requests) < 10

    def test_one_refusal_of_a_proxy_is_of_its_rows_and_many_end_the_run(self, server: LocalEndpoints) -> None:
        embed = EmbedTexts(max_concurrency=1)
        embed(rows(text=["a"]))
        server.reply(status=403, body="<html>Blocked by policy", headers={"Content-Type": "text/html"})

        found = embed(rows(text=[str(number) for number in range(50)]))

        assert found["error"].null_count == 25
        server.reply(status=403, times=9)
        with pytest.raises(PermissionDeniedError):
            embed(rows(text=["b"] * 50))

    def test_what_is_refused_later_is_of_its_rows(self, server: LocalEndpoints) -> None:
        embed = EmbedTexts()
        embed(rows(text=["a"]))
        server.reply(status=400, body={"message": "no"}, times=3)

        assert embed(rows(text=["b", "c"]))["error"].null_count == 0

    def test_arrow_is_named_where_it_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        embed = EmbedTexts()
        monkeypatch.setitem(sys.modules, "pyarrow", None)

        with pytest.raises(ImportError, match=r'pip install "ovhcloud-ai-endpoints\[ray\]"'):
            embed({"text": ["a"]})

    def test_no_rows_are_no_request(self, server: LocalEndpoints) -> None:
        assert EmbedTexts()(rows(text=pa.array([], pa.string()))).num_rows == 0
        assert server.requests == []

    def test_a_pickle_has_no_key(self, server: LocalEndpoints) -> None:
        pickled = pickle.dumps(EmbedTexts(api_key=server.api_key))

        assert server.api_key.encode() not in pickled
        assert pickle.loads(pickled)(rows(text=["a"]))["error"].to_pylist() == [None]


class TestAnswerPrompts:
    def test_answers_each_prompt(self, server: LocalEndpoints) -> None:
        answer = AnswerPrompts("gpt-oss-120b", prompt_column="question", system="Paris is in France. Rome is in Italy.")

        found = answer(rows(question=["Where is Rome?", None, "Where is Paris?"]))

        assert found["answer"].to_pylist() == ["Rome is in Italy.", None, "Paris is in France."]
        assert found["finish_reason"].to_pylist() == ["stop", None, "stop"]
        assert found["error"].to_pylist() == [None] * 3
        assert min(found["prompt_tokens"].to_pylist()[::2]) > 0
        assert found["completion_tokens"].to_pylist()[1] == 0
        assert found["completion_tokens"].type == pa.int64()

    def test_a_row_that_fails_has_its_error(self, server: LocalEndpoints) -> None:
        server.reply(lambda request: {"status": 500} if "bad" in request.body.decode() else {"text": "fine"}, times=20)

        found = AnswerPrompts("gpt-oss-120b", max_retries=0)(rows(prompt=["good", "bad"] * 10))

        assert found["answer"].to_pylist() == ["fine", None] * 10
        assert [bool(error) for error in found["error"].to_pylist()] == [False, True] * 10

    def test_what_is_empty_or_refused_is_no_success(self, server: LocalEndpoints) -> None:
        server.reply(reasoning="Hm.", finish_reason="length")
        server.reply(body={"choices": [{"message": {"refusal": "I must not."}, "finish_reason": "stop"}]})

        with pytest.warns(EmptyAnswerWarning):
            found = AnswerPrompts("gpt-oss-120b", max_concurrency=1)(rows(prompt=["a", "b"]))

        assert found["answer"].to_pylist() == [None, None]
        assert found["reasoning"].to_pylist() == ["Hm.", None]
        assert found["error"].to_pylist() == ["The answer is empty; its finish reason is length", "I must not."]

    def test_prompts_must_be_texts(self) -> None:
        with pytest.raises(ValueError, match="The column 'prompt' must hold texts; its type is list"):
            AnswerPrompts("gpt-oss-120b")(rows(prompt=[["a"], ["b"]]))

    def test_an_answer_that_was_cut_says_so(self) -> None:
        found = AnswerPrompts("Meta-Llama-3_3-70B-Instruct", max_tokens=2)(rows(prompt=["Paris is in France. Where?"]))

        assert found["finish_reason"].to_pylist() == ["length"]

    def test_a_wrong_key_ends_the_run_early(self, server: LocalEndpoints) -> None:
        with pytest.raises(AuthenticationError):
            AnswerPrompts("gpt-oss-120b", api_key="wrong", max_concurrency=4)(rows(prompt=["a"] * 200))
        assert len(server.requests) < 50

    def test_no_call_begins_after_one_has_failed(self, server: LocalEndpoints) -> None:
        server.reply("slow", pause=1)
        server.reply(status=401, times=300)

        with pytest.raises(AuthenticationError):
            AnswerPrompts("gpt-oss-120b", max_concurrency=2)(rows(prompt=["a"] * 300))
        assert len(server.requests) < 50


class TestApplyFunction:
    def test_a_chain_gets_dicts_of_columns(self) -> None:
        chain = ChatPromptTemplate.from_template("{fact} {question}") | ChatOVHCloud(model="gpt-oss-120b")
        apply = ApplyFunction((chain | StrOutputParser()).invoke, input_columns=["fact", "question"])

        found = apply(rows(fact=["Rome is in Italy."], question=["Where is Rome?"], id=[7]))

        assert found["output"].to_pylist() == ["Rome is in Italy."]
        assert found["prompt_tokens"].to_pylist()[0] > 5
        assert found["completion_tokens"].to_pylist()[0] > 0
        assert found["id"].to_pylist() == [7]

    def test_tokens_are_those_of_all_calls_streams_and_awaited_ones_too(self, server: LocalEndpoints) -> None:
        import asyncio

        usage = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
        server.reply("a", usage=usage, times=3)
        model = ChatOVHCloud(model="gpt-oss-120b")

        def ask(text: str) -> str:
            model.invoke(text)
            "".join(chunk.text for chunk in model.stream(text))
            return asyncio.run(model.ainvoke(text)).text

        found = ApplyFunction(ask, input_columns="input")(rows(input=["Hello"]))

        assert found["output"].to_pylist() == ["a"]
        assert (found["prompt_tokens"].to_pylist(), found["completion_tokens"].to_pylist()) == ([30], [9])

    def test_what_is_no_text_becomes_json(self) -> None:
        def made(number: int) -> Any:
            return [Ticket(subject="é", priority=2), {"a": 1}, 5, None][number]

        found = ApplyFunction(made, input_columns="number")(rows(number=[0, 1, 2, 3]))["output"].to_pylist()

        assert [json.loads(text) for text in found[:3]] == [{"subject": "é", "priority": 2}, {"a": 1}, 5]
        assert found[3] is None

    def test_whatever_it_raises_is_in_its_row(self) -> None:
        def check(value: int) -> str:
            if value == 1:
                raise KeyError("city")
            return str(object()) if value == 2 else "fine"

        found = ApplyFunction(check, input_columns="number")(rows(number=[0, 1, 3]))

        assert found["output"].to_pylist() == ["fine", None, "fine"]
        assert found["error"].to_pylist() == [None, "KeyError: 'city'", None]

    def test_what_it_returns_may_be_no_json(self) -> None:
        found = ApplyFunction(lambda _: object(), input_columns="number")(rows(number=[0]))

        assert found["output"].to_pylist() == [None]
        assert "Unable to serialize" in found["error"].to_pylist()[0]

    def test_tokens_of_a_row_that_fails_are_counted_as_they_are_paid(self, server: LocalEndpoints) -> None:
        server.reply("no", usage={"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13})

        def ask(text: str) -> str:
            ChatOVHCloud(model="gpt-oss-120b").invoke(text)
            raise ValueError("not what was asked for")

        found = ApplyFunction(ask, input_columns="input")(rows(input=["Hello"]))

        assert found["prompt_tokens"].to_pylist() == [10]
        assert found["error"].to_pylist() == ["ValueError: not what was asked for"]

    def test_a_wrong_key_ends_the_run(self) -> None:
        with pytest.raises(AuthenticationError):
            ApplyFunction(ChatOVHCloud(model="gpt-oss-120b", api_key="wrong").invoke, input_columns="input")(
                rows(input=["Hello"])
            )

    def test_it_gets_all_columns_by_default(self) -> None:
        found = ApplyFunction(lambda row: f"{row['a']}{row['b']}")(rows(a=[1, 2], b=["x", None]))

        assert found["output"].to_pylist() == ["1x", "2None"]

    def test_input_needs_a_column(self) -> None:
        with pytest.raises(ValueError, match="input_columns must name a column"):
            ApplyFunction(len, input_columns=[])(rows(a=[1]))

    def test_its_calls_are_made_as_elsewhere(self, server: LocalEndpoints) -> None:
        """Embeddings several at once, and streams as streams."""
        server.reply(until=lambda: len(server.requests) >= 4, times=4)
        embeddings, model = OVHCloudEmbeddings(), ChatOVHCloud(model="gpt-oss-120b")

        def work(_: object) -> str:
            embeddings.embed_documents([str(number) for number in range(100)])
            return str(len(list(model.stream("Hello"))) > 3)

        found = ApplyFunction(work)(rows(a=[1]))

        assert found["output"].to_pylist() == ["True"]
        assert server.requests[-1].json["stream"] is True

    @pytest.mark.parametrize("text", ["half \ud83d a pair", "whole"])
    def test_half_of_a_letter_ends_no_run(self, text: str) -> None:
        def fail(value: str) -> str:
            raise ValueError(text)

        found = ApplyFunction(lambda _: text)(rows(a=[1]))
        failed = ApplyFunction(fail)(rows(a=[1]))

        assert found["output"].to_pylist() == [text.replace("\ud83d", "?")]
        assert failed["error"].to_pylist() == [f"ValueError: {text}".replace("\ud83d", "?")]

    def test_what_it_returns_must_be_there(self) -> None:
        with pytest.raises(TypeError, match="function must return its output; got a generator"):
            ApplyFunction(lambda _: (one for one in "ab"))(rows(a=[1]))
        with pytest.raises(TypeError, match="function must return its output; got a coroutine"):
            ApplyFunction(lambda _: ChatOVHCloud(model="gpt-oss-120b").ainvoke("a"))(rows(a=[1]))

    @pytest.mark.parametrize("wrong", ["invoke", ChatOVHCloud(model="gpt-oss-120b").ainvoke])
    def test_it_must_be_a_function_that_blocks(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match=r"must be one that blocks, such as chain\.invoke"):
            ApplyFunction(wrong)

    def test_frames_may_come_without_columns_of_ours(self) -> None:
        found = ApplyFunction(len, input_columns="text")(pd.DataFrame({"text": ["ab", "c"]}))

        assert found["output"].to_pylist() == ["2", "1"]
