"""Starts vLLM, which serves the models that `models.py` makes, and waits until it answers."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from processes import bare_environ, free_port
from waiting import eventually

HERE = Path(__file__).parent
HOME = HERE.parents[1] / ".venv-engine"
START_SECONDS = 600.0  # on two cores that others use too; alone it takes one or two minutes
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
}
TOOL_CALLS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
TOOLS = (
    *TOOL_CALLS,
    *("--reasoning-parser", "qwen3"),
    *("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}'),
    "--trust-request-chat-template",
    "--no-enable-prefix-caching",  # so that equal requests have equal answers
)
VECTORS = ("--runner", "pooling", "--convert", "embed", "--hf-overrides", '{"is_matryoshka": true}')


@dataclass(frozen=True)
class Engine:
    """An engine that answers.

    Attributes:
        root: its URL, without `/v1`.
        model: the name of its one model.
    """

    root: str
    model: str

    @property
    def base_url(self) -> str:
        return f"{self.root}/v1"

    def post(self, path: str = "/v1/chat/completions", **body: object) -> httpx.Response:
        return httpx.post(self.root + path, json={"model": self.model, **body}, timeout=120, trust_env=False)

    def running(self) -> float:
        """How many requests the engine works on."""
        text = httpx.get(f"{self.root}/metrics", timeout=60, trust_env=False).text
        counts = re.findall(r"^vllm:num_requests_(?:running|waiting){.*} (\S+)$", text, re.MULTILINE)
        return sum(map(float, counts))


@contextmanager
def engine(model: str, *options: str, length: int = 2048) -> Iterator[Engine]:
    python = HOME / "bin/python"
    if not python.exists():
        raise FileNotFoundError(f"There is no engine in {HOME}; `make engine` installs it.")
    port = free_port()
    served = HOME / "models" / model
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", served, "--served-model-name", model]
    more = ["--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(length), "--enforce-eager", *options]
    log = HOME / f"{model}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, *more],
            env=bare_environ(**ENVIRONMENT),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        found = Engine(f"http://127.0.0.1:{port}", model)
        eventually(lambda: answers(found) or process.poll() is not None, START_SECONDS)
        assert answers(found), log.read_text()[-3000:]
        yield found
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(found: Engine) -> bool:
    try:
        return httpx.get(f"{found.root}/health", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
