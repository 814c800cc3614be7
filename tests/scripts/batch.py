"""Ten requests as a batch; this process kills itself before or after a request of its own."""

import os
import signal
import sys
from itertools import count

import httpx
from pydantic import SecretStr

from ovhcloud_ai_endpoints import Batch
from ovhcloud_ai_endpoints._batches import job
from ovhcloud_ai_endpoints._chat.request import ChatRequest
from ovhcloud_ai_endpoints._http import Client, Settings

job.LOOK_SECONDS = 0.02
path, moment, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
numbers = count(1)


def kill(_: object) -> None:
    if next(numbers) == last:
        os.kill(os.getpid(), signal.SIGKILL)


client = httpx.Client(event_hooks={moment: [kill]})
settings = Settings(
    api_key=SecretStr(os.environ["OVHCLOUD_API_KEY"]), base_url=os.environ["OVHCLOUD_API_BASE"], http_client=client
)


def ask(number: int) -> str:
    message = {"role": "user", "content": f"Say {number}"}
    return Client(settings).send(ChatRequest({"model": "gpt-oss-120b", "messages": [message]})).messages[0].text


with Batch(path, poll_seconds=(0.01, 0.05)) as batch:
    found = dict(batch.map(ask, range(10)))
is_right = all(text.endswith(f"Say {place}") for place, text in found.items())
sys.stdout.write(f"{len(found)} {'right' if is_right else found}\n")
