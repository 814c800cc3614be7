"""A local AI Endpoints: a real HTTP server on loopback that behaves as the service is documented to.

    with LocalEndpoints() as server:
        model = ChatOVHCloud(model="gpt-oss-120b", base_url=server.base_url, api_key=server.api_key)
        server.reply("Hello.")              # the next answer; without a script a few rules answer
        model.invoke("Hi")
        server.requests[-1].json            # what was sent
        server.fail("stream-cut")           # one of `FAULTS`, which says what each one causes

It refuses what the gateway refuses. It has no model: it quotes the sentence of the context that fits the question best,
fills arguments and objects from the text, and hashes letters into vectors.
"""

from ovhcloud_ai_endpoints.testing._batches import Ending
from ovhcloud_ai_endpoints.testing._faults import FAULTS, Fault
from ovhcloud_ai_endpoints.testing._requests import Request
from ovhcloud_ai_endpoints.testing._script import CUT, RESET, Pause
from ovhcloud_ai_endpoints.testing._server import LocalEndpoints

__all__ = ["CUT", "FAULTS", "RESET", "Ending", "Fault", "LocalEndpoints", "Pause", "Request"]
