"""Checks on the real service what we take it to do: python tests/live/run.py [--url URL] [--dollars MOST]

A rehearsal on a local AI Endpoints counts the requests first; from that come the minutes that the limits ask for, and
about how much it costs. Nothing is sent if that exceeds the bound that is given, or typed when it is asked for; what it
costs in the end, the service knows: models may think for longer, and failed requests are repeated. Without a key
(OVHCLOUD_API_KEY) all calls are anonymous, and what needs a key is left out. The report names each constant that the
service has settled otherwise.
"""

import argparse
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from ovhcloud_ai_endpoints import (
    APIConnectionError,
    AuthenticationError,
    OVHCloudError,
    PermissionDeniedError,
    model,
)
from ovhcloud_ai_endpoints._chat import ChatRequest
from ovhcloud_ai_endpoints._http import Client, Retry, Settings
from ovhcloud_ai_endpoints._http.settings import BASE_URL, KEY_VARIABLES
from ovhcloud_ai_endpoints.testing import LocalEndpoints

TESTS = Path(__file__).parents[1]
WITH_KEY, WITHOUT = 400, 2  # requests a minute for each model
CHEAP = "gpt-oss-20b"
THOUGHT = 1_000  # tokens of an answer that no max_tokens bounds, about
LETTERS_PER_TOKEN = 4
PRICED = frozenset({"/v1/chat/completions", "/v1/embeddings"})


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Attributes:
        requests: how many, by model.
    """

    requests: Counter[str]
    dollars: float
    per_minute: int

    @property
    def minutes(self) -> int:
        return math.ceil(max(self.requests.values(), default=0) / self.per_minute)

    def __str__(self) -> str:
        models = len(self.requests)
        return (
            f"{self.requests.total()} requests to {models} models: about {self.minutes} min and {self.dollars:.2f} $."
        )


def rehearsed(key: str | None) -> Plan:
    """The plan, from a run on a local AI Endpoints whose limits nobody reaches."""
    with LocalEndpoints(requests_per_minute=10**9, anonymous_requests_per_minute=10**9) as server:
        code = run_tests(server.base_url, server.api_key if key else None, dollars=1.0, report=None)
        sent = [request.json for request in server.requests if request.path in PRICED]
    if code > pytest.ExitCode.TESTS_FAILED:  # some fail here, as no limit is reached
        raise SystemExit("The rehearsal on the local AI Endpoints did not run, so the real one is left alone.")
    known = [body for body in sent if isinstance(body, dict) and isinstance(body.get("model"), str)]
    requests = Counter(str(body["model"]) for body in known)
    return Plan(requests, sum(map(dollars_of, known)), WITH_KEY if key else WITHOUT)


def dollars_of(body: dict[str, object]) -> float:
    """About what an answer costs; nothing if the model is unknown, or the request too long for it."""
    try:
        facts = model(str(body["model"]))
    except ValueError:
        return 0.0
    asked, window = len(str(body.get("messages") or body.get("input"))) // LETTERS_PER_TOKEN, facts.context_length or 0
    if asked > window:
        return 0.0
    most = int(str(body.get("max_tokens") or THOUGHT)) if "messages" in body else 0
    return float(facts.cost(input_tokens=asked, output_tokens=most if most < window else THOUGHT) or 0)


def run_tests(url: str, key: str | None, *, dollars: float, report: Path | None) -> int:
    """Runs what is marked `live` on a server; returns pytest's exit code."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("LIVE_", "OVH"))}
    environ = {**others, "LIVE_URL": url, "LIVE_DOLLARS": str(dollars)} | ({"LIVE_KEY": key} if key else {})
    options = [
        "-m",
        "live",
        "--live",
        "--timeout=1200",
        f"--allow-hosts={urlsplit(url).hostname}",
        "-q",
        "-p",
        "no:xdist",
    ]
    options += [f"--report={report}"] if report else ["--no-header", "--tb=no"]
    command = [sys.executable, "-m", "pytest", *options, TESTS / "testing/test_service.py", TESTS / "live"]
    return subprocess.run(command, env=environ, check=False, stdout=None if report else subprocess.DEVNULL).returncode


def bound_of(typed: str | None) -> float:
    """How many dollars may be spent; asked for on a terminal."""
    if typed is None and (sys.stdin is None or not sys.stdin.isatty()):
        raise SystemExit("Say how much the run may cost: make live DOLLARS=1")
    try:
        bound = float(typed if typed is not None else input("How many dollars may it cost at most? "))
    except (ValueError, EOFError):
        bound = math.nan
    if not math.isfinite(bound):
        raise SystemExit("Give a number of dollars, such as 1. Nothing was sent.")
    return bound


def check_key(url: str, key: str | None) -> None:
    """Ends the program if the server can't be reached, or refuses the key; one question of one token tells."""
    chat = ChatRequest({"model": CHEAP, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1})
    settings = Settings(base_url=url, api_key=SecretStr(key or ""), retry=Retry(max_retries=0))
    try:
        Client(settings).send(chat)
    except (AuthenticationError, PermissionDeniedError, APIConnectionError) as error:
        raise SystemExit(f"{error} Nothing else was sent.") from error
    except OVHCloudError:
        pass  # the tests will say more


def main(arguments: Iterable[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=BASE_URL, help="another server, such as a local one or LiteLLM's proxy")
    parser.add_argument("--dollars", help="what the run may cost at most")
    parser.add_argument("--report", type=Path, default=Path("live-report.md"))
    asked = parser.parse_args(list(arguments))
    key = next((value for name in KEY_VARIABLES if (value := os.environ.get(name))), None)
    print("Rehearsing on a local AI Endpoints …", flush=True)
    bound = bound_of(asked.dollars) if asked.dollars is not None else None
    plan = rehearsed(key)
    who = "With a key." if key else "Without a key, at two requests a minute for each model."
    print(f"{asked.url}: {plan} {who}", flush=True)
    bound = bound_of(None) if bound is None else bound
    if plan.dollars > bound:
        raise SystemExit(f"That is more than {bound:g} $, so nothing was sent.")
    check_key(asked.url, key)
    code = run_tests(asked.url, key, dollars=bound, report=asked.report)
    print(f"The report is {asked.report}; paste it into an issue if something differs.")
    raise SystemExit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
