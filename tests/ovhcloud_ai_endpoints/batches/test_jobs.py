"""What becomes of jobs: every state, every doubt, and never paid twice."""

import gzip
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from batching import MODEL, Caller, batch_on, jobs_made, texts_asked

from ovhcloud_ai_endpoints import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    OVHCloudError,
)
from ovhcloud_ai_endpoints._batches import job, job_table
from ovhcloud_ai_endpoints.testing import LocalEndpoints, _guesses
from ovhcloud_ai_endpoints.testing._batches import Ending

Process = subprocess.CompletedProcess[str]
INPUTS = [f"Say {number}" for number in range(10)]
SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def call(server: LocalEndpoints) -> Caller:
    return Caller(server)


def asked_once(server: LocalEndpoints) -> bool:
    return set(Counter(texts_asked(server)).values()) == {1}


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "LOOK_SECONDS", 0.02)


def answered(path: Path, call: Caller, inputs: Any = INPUTS, **options: Any) -> dict[int, Any]:
    with batch_on(path, **options) as batch:
        return dict(batch.map(call.ask, inputs))


class TestStates:
    def test_completed(self, server: LocalEndpoints, tmp_path: Path, call: Caller) -> None:
        found = answered(tmp_path, call)

        assert sorted(found) == list(range(10))
        assert all(text.endswith(f"Say {place}") for place, text in found.items())
        assert (jobs_made(server), len(server.batches.lines)) == (1, 10)

    @pytest.mark.parametrize("are_errors", [True, False])
    @pytest.mark.parametrize("fate", ["expired", "cancelled"])
    def test_with_a_part_done(
        self,
        server: LocalEndpoints,
        tmp_path: Path,
        call: Caller,
        fate: Any,
        are_errors: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(_guesses, "EXPIRED_LINES_ARE_ERRORS", are_errors)
        server.batches.endings = [Ending(fate, 0.4), Ending(fate, 0.5)]
        found = answered(tmp_path, call)

        assert sorted(found) == list(range(10))
        assert asked_once(server)
        assert jobs_made(server) == 3

    @pytest.mark.parametrize("line", [1, 4, 10])
    def test_a_line_that_the_service_names_is_taken_out(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller, line: int
    ) -> None:
        server.batches.endings = [Ending("failed", line=line)]
        found = answered(tmp_path, call)

        (bad,) = [place for place, answer in found.items() if isinstance(answer, Exception)]
        assert bad == line - 1
        assert isinstance(found[bad], BadRequestError)
        assert "This line is not valid" in str(found[bad])
        assert len(server.batches.lines) == 9

    def test_a_line_that_it_does_not_name_is_found(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_guesses, "NAMES_BAD_LINE", False)
        server.batches.refused_line = b"Say 7"
        found = answered(tmp_path, call)

        (bad,) = [place for place, answer in found.items() if isinstance(answer, Exception)]
        assert (bad, type(found[bad])) == (7, BadRequestError)
        assert asked_once(server)

    def test_a_file_of_which_every_line_is_refused_ends(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(job, "MOST_DIVISIONS", 3)
        server.batches.endings = [Ending("failed")] * 100
        found = answered(tmp_path, call)

        assert all(isinstance(answer, BadRequestError) for answer in found.values())
        assert jobs_made(server) <= 7

    @pytest.mark.parametrize("times", [1, 2, 9])
    @pytest.mark.parametrize("change", [gzip.compress, lambda _: b"", lambda text: text[: len(text) // 2], None])
    def test_results_that_cannot_be_read_are_not_paid_again(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller, change: Any, times: int
    ) -> None:
        if change is None:
            server.batches.fail("/v1/files/", 404, times=times)
        else:
            server.batches.change("/v1/files/", change, times=times)
        found = answered(tmp_path, call)
        again = answered(tmp_path, call)

        assert asked_once(server)
        assert any(isinstance(answer, InternalServerError) for answer in found.values()) == (times > 2)
        assert [str(again[place]) for place in range(10)] == [str(found[place]) for place in range(10)]

    def test_a_job_that_failed_after_it_had_answered_pays_for_the_rest_only(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller
    ) -> None:
        server.batches.endings = [Ending("failed after all", 0.4)]
        found = answered(tmp_path, call)

        assert all(isinstance(answer, str) for answer in found.values())
        assert asked_once(server)

    def test_what_repeats_the_key_does_not_hold_it(self, tmp_path: Path) -> None:
        with LocalEndpoints(api_keys=["sk-secret-0123456789"]) as server:
            server.reply(status=401, body={"message": "The key sk-secret-0123456789 may not do this"})
            found = answered(tmp_path, Caller(server), ["Hi"])
        held = b"".join(path.read_bytes() for path in tmp_path.iterdir())

        assert isinstance(found[0], AuthenticationError)
        assert "sk-secret" not in str(found[0])
        assert b"sk-secret" not in held


def script(server: LocalEndpoints, path: Path, moment: str, last: int) -> Process:
    """Runs `INPUTS` in a process of its own, which kills itself before or after a request; with 0 it doesn't."""
    return subprocess.run(
        [sys.executable, str(SCRIPTS / "batch.py"), str(path / "ledger.sqlite"), moment, str(last)],
        env={**os.environ, **server.environ},
        capture_output=True,
        text=True,
        check=False,
    )


class TestLines:
    def test_an_error_is_that_of_a_call(self, server: LocalEndpoints, tmp_path: Path, call: Caller) -> None:
        with batch_on(tmp_path) as batch:
            found = dict(batch.map(lambda text: call.ask(text, model="no-such-model"), ["Hi"]))

        assert type(found[0]) is NotFoundError
        assert "no-such-model" in str(found[0])

    @pytest.mark.parametrize(("times", "requests"), [(1, 2), (2, 3), (3, 3), (9, 3)])
    def test_an_error_that_may_pass_goes_out_again_twice(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller, times: int, requests: int
    ) -> None:
        server.reply(status=503, times=times)
        found = answered(tmp_path, call, ["Hi"])

        assert len(server.batches.lines) == requests
        assert isinstance(found[0], InternalServerError) == (times > 2)

    def test_an_error_is_kept_until_it_is_forgotten(self, server: LocalEndpoints, tmp_path: Path, call: Caller) -> None:
        server.reply(status=400, body={"message": "not today"})
        first = answered(tmp_path, call, ["Hi"])
        again = answered(tmp_path, call, ["Hi"])
        with batch_on(tmp_path) as batch:
            assert batch.counts.failed == 1
            assert batch.forget_errors() == 1
            third = dict(batch.map(call.ask, ["Hi"]))

        assert isinstance(first[0], BadRequestError)
        assert str(first[0]) == str(again[0])
        assert isinstance(third[0], str)
        assert len(server.batches.lines) == 2


class TestDoubts:
    @pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
    @pytest.mark.parametrize("hidden", [0, 1])
    def test_a_lost_answer_is_not_paid_twice(
        self, server: LocalEndpoints, tmp_path: Path, path: str, hidden: int
    ) -> None:
        server.batches.lose_answer(path, times=2)
        server.batches.hidden_lists = hidden
        found = answered(tmp_path, Caller(server))

        assert len(found) == 10
        assert asked_once(server)

    @pytest.mark.parametrize("share", [0.0, 0.6])
    @pytest.mark.parametrize("path", ["/v1/batches/", "/v1/files/"])
    def test_an_answer_that_breaks_off(self, server: LocalEndpoints, tmp_path: Path, path: str, share: float) -> None:
        server.batches.lose_answer(path, times=3, share=share)
        found = answered(tmp_path, Caller(server))

        assert len(found) == 10
        assert asked_once(server)
        assert jobs_made(server) == 1

    def test_what_nobody_wants_any_more_is_not_sent(self, server: LocalEndpoints, tmp_path: Path, call: Caller) -> None:
        assert script(server, tmp_path, "response", 1).returncode == -signal.SIGKILL  # its file is stored
        found = answered(tmp_path, call, ["New"])

        assert found.keys() == {0}
        assert texts_asked(server) == ["New"]

    def test_a_doubt_about_one_of_many_jobs(self, server: LocalEndpoints, tmp_path: Path, call: Caller) -> None:
        for number in range(4):
            answered(tmp_path, call, [f"Before {number}"])
        server.batches.page = 2
        server.batches.lose_answer("/v1/batches")
        found = answered(tmp_path, call, ["Now"])

        assert found.keys() == {0}
        assert asked_once(server)
        assert jobs_made(server) == 5

    @pytest.mark.parametrize("status", [400, 401, 403, 404])
    def test_a_list_that_is_refused_leaves_the_doubt(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller, status: int
    ) -> None:
        server.batches.lose_answer("/v1/batches")
        server.batches.fail("/v1/batches?", status)
        first = answered(tmp_path, call, ["Hi"])
        found = answered(tmp_path, call, ["Hi"])

        assert isinstance(first[0], OVHCloudError)
        assert found[0].endswith("Hi")
        assert asked_once(server)

    def test_a_doubt_is_not_settled_with_another_key(self, tmp_path: Path) -> None:
        with LocalEndpoints(api_keys=["key-one", "key-two"]) as server:
            process = script(server, tmp_path, "response", 2)  # before it hears of the job
            assert process.returncode == -signal.SIGKILL
            found = answered(tmp_path, Caller(server, api_key="key-two"))
            assert all("with another key" in str(answer) for answer in found.values())
            assert len(answered(tmp_path, Caller(server, api_key="key-one"))) == 10
            assert asked_once(server)
            assert jobs_made(server) == 1

    def test_a_list_without_end_ends(self, server: LocalEndpoints, tmp_path: Path, call: Caller) -> None:
        endless = {"data": [{"id": "x", "status": "completed"}, {"id": None}, None], "has_more": True}
        server.batches.lose_answer("/v1/batches")
        server.batches.change("/v1/batches?", lambda _: json.dumps(endless).encode(), times=6)
        found = answered(tmp_path, call, ["Hi"])

        assert found[0].endswith("Hi")
        assert asked_once(server)

    @pytest.mark.parametrize("status", [429, 500, 503])
    @pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
    def test_a_refusal_that_passes(self, server: LocalEndpoints, tmp_path: Path, status: int, path: str) -> None:
        server.batches.fail(path, status, times=4)
        found = answered(tmp_path, Caller(server))

        assert len(found) == 10
        assert asked_once(server)

    @pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
    def test_a_refusal_that_stays(self, server: LocalEndpoints, tmp_path: Path, call: Caller, path: str) -> None:
        server.batches.fail(path, 400, times=1)
        found = answered(tmp_path, call)

        assert all(type(answer) is BadRequestError for answer in found.values())
        assert len({id(answer) for answer in found.values()}) == 10
        assert answered(tmp_path, call)[3].endswith("Say 3")

    def test_no_server(self, server: LocalEndpoints, tmp_path: Path) -> None:
        with server.down(), pytest.raises(APIConnectionError):
            answered(tmp_path, Caller(server))
        assert len(answered(tmp_path, Caller(server))) == 10

    def test_a_server_that_is_down_for_a_while(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.batches.fail("/v1/batches/", 503, times=9)
        found = answered(tmp_path, call)

        assert all(found[place].endswith(f"Say {place}") for place in range(10))
        assert "will be later" in caplog.text


class TestKeys:
    def test_without_one_nothing_is_sent(self, server: LocalEndpoints, tmp_path: Path) -> None:
        found = answered(tmp_path, Caller(server, api_key=""))

        assert all(type(answer) is AuthenticationError for answer in found.values())
        assert server.requests == []

    def test_a_wrong_one_is_each_places_error(self, server: LocalEndpoints, tmp_path: Path, call: Caller) -> None:
        found = answered(tmp_path, Caller(server, api_key="wrong"))

        assert all(type(answer) is AuthenticationError for answer in found.values())
        assert len(answered(tmp_path, call)) == 10
        assert asked_once(server)

    def test_each_object_pays_with_its_own(self, tmp_path: Path) -> None:
        with LocalEndpoints(api_keys=["key-one", "key-two"]) as server, batch_on(tmp_path) as batch:
            one, two = Caller(server, api_key="key-one"), Caller(server, api_key="key-two")
            found = dict(batch.map(lambda text: (one if text < "Say 5" else two).ask(text), INPUTS))
            keys = {line.json["messages"][0]["content"]: line.api_key for line in server.batches.lines}

        assert len(found) == 10
        assert keys == {text: "key-one" if text < "Say 5" else "key-two" for text in INPUTS}

    def test_a_new_key_reads_the_jobs_of_the_old_one(self, tmp_path: Path) -> None:
        with LocalEndpoints(api_keys=["key-one", "key-two"]) as server:
            server.batches.projects = {"key-two": "key-one"}
            with batch_on(tmp_path, api_key="key-one", base_url=server.base_url) as batch:
                batch.submit([_body("Hi")])
                batch.poll()
            with batch_on(tmp_path, api_key="key-two", base_url=server.base_url) as batch:
                while batch.poll().open:
                    pass
                results = [answer for _, answer in batch.results()]

            assert len(results) == 1
            assert jobs_made(server) == 1


def _body(text: str) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}]}


class TestOfOtherProjects:
    def test_an_unknown_job_is_named_and_may_be_forgotten(self, tmp_path: Path) -> None:
        with LocalEndpoints(api_keys=["key-one", "key-two"], batch_seconds=60) as server:
            with batch_on(tmp_path, api_key="key-one", base_url=server.base_url) as batch:
                batch.submit([_body("Hi")])
                batch.poll()
            server.batches.seconds = 0.01
            call = Caller(server, api_key="key-two")
            found = answered(tmp_path, call, ["Hi"])
            with batch_on(tmp_path, api_key="key-two", base_url=server.base_url) as batch:
                assert batch.forget_jobs() == 1
                again = dict(batch.map(call.ask, ["Hi"]))

        assert type(found[0]) is NotFoundError
        assert "does not know batch job batch-" in str(found[0])
        assert again[0].endswith("Hi")

    def test_one_that_is_too_old_is_asked_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with LocalEndpoints(batch_seconds=60) as server:
            with batch_on(tmp_path, api_key=server.api_key, base_url=server.base_url) as batch:
                batch.submit([_body("Hi")])
                batch.poll()
            server.batches.reset()
            server.batches.seconds = 0.01
            monkeypatch.setattr(job, "KEPT_DAYS", 0)
            found = answered(tmp_path, Caller(server), ["Hi"])

        assert found[0].endswith("Hi")


def test_a_line_that_is_refused_goes_out_once(
    server: LocalEndpoints, tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_guesses, "EMBEDDINGS_IN_BATCHES", False)

    def work(text: str) -> str:
        with suppress(BadRequestError):
            call.embed(text)
        return call.ask(f"then: {call.ask(text)}")

    with batch_on(tmp_path) as batch:
        found = dict(batch.map(work, ["Hi"]))

    assert found[0].endswith("Hi")
    assert jobs_made(server) == 3


class TestSizes:
    def test_a_file_says_how_long_it_is(self, server: LocalEndpoints, tmp_path: Path, call: Caller) -> None:
        answered(tmp_path, call)
        (stored,) = [one for one in server.requests if one.path == "/v1/files"]

        assert int(stored.headers["content-length"]) == len(stored.body)
        assert "transfer-encoding" not in stored.headers

    def test_files_are_divided(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(job_table, "MOST_BYTES", 800)
        monkeypatch.setattr(job, "MOST_LINES", 4)
        found = answered(tmp_path, call)
        sizes = [one.body.count(b'"custom_id"') for one in server.requests if one.path == "/v1/files"]

        assert len(found) == 10
        assert sum(sizes) == 10
        assert max(sizes) <= 4
        assert all(len(one.body) < 800 + 500 for one in server.requests)

    def test_five_are_in_progress_at_most(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(job, "MOST_LINES", 1)
        found = answered(tmp_path, call, [f"Say {number}" for number in range(12)])

        assert len(found) == 12
        assert server.batches.most_at_once == 5

    def test_models_and_endpoints_have_jobs_of_their_own(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller
    ) -> None:
        def work(number: int) -> Any:
            if number == 0:
                return call.embed("Hi")
            return call.ask("Hi", model="gpt-oss-20b" if number == 1 else MODEL)

        with batch_on(tmp_path) as batch:
            found = dict(batch.map(work, range(3)))

        assert len(found[0]) == 1024
        assert jobs_made(server) == 3

    def test_a_lot_of_vectors_is_preceded_by_one(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(job, "PROVED_BEFORE", 5)
        with batch_on(tmp_path) as batch:
            found = dict(batch.map(call.embed, INPUTS))
        sizes = [one.body.count(b'"custom_id"') for one in server.requests if one.path == "/v1/files"]

        assert len(found) == 10
        assert sizes == [1, 9]

    def test_an_endpoint_that_batches_refuse_is_each_places_error(
        self, server: LocalEndpoints, tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_guesses, "EMBEDDINGS_IN_BATCHES", False)
        with batch_on(tmp_path) as batch:
            found = dict(batch.map(call.embed, INPUTS))

        assert all(type(answer) is BadRequestError for answer in found.values())


class TestByHand:
    def test_submit_poll_and_results(self, server: LocalEndpoints, tmp_path: Path) -> None:
        with batch_on(tmp_path, api_key=server.api_key, base_url=server.base_url) as batch:
            keys = batch.submit([_body("Hi"), _body("Hi"), {**_body("Ho"), "nonsense": 1}])
            while batch.poll().open:
                pass
            results = dict(batch.results())

        assert list(results) == keys
        assert results[keys[0]]["choices"][0]["message"]["content"].endswith("Hi")
        assert isinstance(results[keys[2]], BadRequestError)
        assert len(server.batches.lines) == 3

    def test_submit_takes_any_iterable_of_bodies(self, server: LocalEndpoints, tmp_path: Path) -> None:
        with batch_on(tmp_path) as batch:
            keys = batch.submit(_body(text) for text in ("Hi", "Ho"))

            assert keys == batch.submit([_body("Hi"), {**_body("Ho"), "stream": True}])
            assert batch.counts.unsent == 2

    @pytest.mark.parametrize(
        ("requests", "words"),
        [
            ({"model": "m"}, "pass \\[request\\]"),
            (["text"], "must be a mapping"),
            ([{"custom_id": "a", "body": {}}], "no field 'model'"),
        ],
    )
    def test_what_is_no_body_is_refused(self, tmp_path: Path, requests: Any, words: str) -> None:
        with batch_on(tmp_path) as batch, pytest.raises((TypeError, ValueError), match=words):
            batch.submit(requests)

    @pytest.mark.parametrize("key", ["", "wrong"])
    def test_a_refusal_is_raised_by_poll(self, server: LocalEndpoints, tmp_path: Path, key: str) -> None:
        with batch_on(tmp_path, api_key=key, base_url=server.base_url) as batch:
            batch.submit([_body("Hi")])
            with pytest.raises(AuthenticationError):
                batch.poll()
        with batch_on(tmp_path, api_key=server.api_key, base_url=server.base_url) as batch:
            while batch.poll().open:
                pass
            assert len(dict(batch.results())) == 1

    def test_jobs_that_have_ended_do_not_stop_a_cancel(self, tmp_path: Path) -> None:
        with LocalEndpoints(batch_seconds=60) as server:
            with batch_on(tmp_path, api_key=server.api_key, base_url=server.base_url) as batch:
                batch.submit([_body("Hi"), {**_body("Hi"), "model": "gpt-oss-20b"}])
                batch.poll()
                first, second = server.batches.jobs()
                server.batches.end(first)
                assert batch.cancel() == 1
            assert server.requests[-1].path == f"/v1/batches/{second}/cancel"

    def test_what_is_cancelled_is_given_up(self, server: LocalEndpoints, tmp_path: Path) -> None:
        with batch_on(tmp_path, api_key=server.api_key, base_url=server.base_url) as batch:
            batch.submit([_body("Hi")])
            batch.cancel()
            batch.poll()

        assert jobs_made(server) == 0

    def test_cancel(self, tmp_path: Path) -> None:
        with LocalEndpoints(batch_seconds=60) as server:
            with batch_on(tmp_path, api_key=server.api_key, base_url=server.base_url) as batch:
                batch.submit([_body("Hi")])
                batch.poll()
                assert batch.cancel() == 1
                assert batch.cancel() == 0
                assert batch.counts.open == 1  # until it is seen that the job has ended
            assert sum(one.path.endswith("/cancel") for one in server.requests) == 1

    def test_a_command_lists_shows_and_prints(
        self, environ: LocalEndpoints, tmp_path: Path, call: Caller, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from ovhcloud_ai_endpoints.__main__ import main

        assert main(["batches", "list"]) == 0
        assert "no batch jobs" in capsys.readouterr().out
        answered(tmp_path, call)
        assert main(["batches", "list"]) == 0
        listed = capsys.readouterr().out.split()
        assert listed[1:5] == ["completed", "10", "of", "10"]
        assert main(["batches", "results", listed[0]]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 10
        assert main(["batches", "show", "no-such"]) == 1
        assert "The service knows no batch job 'no-such' of this key" in capsys.readouterr().err
        assert main(["batches", "cancel", listed[0]]) == 1
        assert "cancelled" in capsys.readouterr().err

    def test_costs_are_halved(self, server: LocalEndpoints, tmp_path: Path, call: Caller) -> None:
        server.reply("Hello", usage={"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000})
        with batch_on(tmp_path) as batch:
            list(batch.map(call.ask, ["Hi"]))
            from ovhcloud_ai_endpoints import model

            assert batch.cost == pytest.approx(model(MODEL).cost(input_tokens=1_000_000) / 2)


@pytest.mark.parametrize(
    ("moment", "last"), [("request", 2), ("response", 1), ("response", 2), ("response", 3), ("response", 4)]
)
def test_a_process_that_is_killed_at_any_request_pays_once(
    server: LocalEndpoints, tmp_path: Path, moment: str, last: int
) -> None:
    """Before a request of its own is sent, or once it is answered; `make soak` does this at any time."""
    killed, ended = script(server, tmp_path, moment, last), script(server, tmp_path, moment, 0)

    assert killed.returncode == -signal.SIGKILL
    assert ended.stdout.split() == ["10", "right"], ended.stderr
    assert asked_once(server)
    assert len(server.batches.lines) == 10
    assert jobs_made(server) == 1
