"""Runs both quickstarts: python docs/examples/demo.py [--live] [FOLDER [QUESTION]]

By default a local AI Endpoints answers. It has no model, but shows all that a model's answers go through.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from ovhcloud_ai_endpoints import OVHCloudError, list_models
from ovhcloud_ai_endpoints.testing import LocalEndpoints

HERE = Path(__file__).parent
STAND_IN = """\
A local stand-in for the service answers. It has no model: it quotes the sentence that fits a question best.
"make demo ENGINE=1" runs small real models on this machine, and "make demo LIVE=1" asks the service.
"""
WITH_KEY = "The service answers, with the key of your environment.\n"
ANONYMOUS = """\
The service answers. OVHCLOUD_API_KEY is not set, so it takes two requests a minute for each model, and most steps wait;
docs/getting-a-key.md says where a key comes from.
"""
NEXT = """
Next: docs/langchain.md and docs/llama-index.md take ten minutes each; docs/examples/ has the code of what ran here.
To ask about your own Markdown files: make demo FOLDER=~/notes QUESTION="Who wrote this?"
"""


def quickstarts(environ: dict[str, str], arguments: list[str]) -> int:
    for name in ("langchain_quickstart.py", "llama_index_quickstart.py"):
        done = subprocess.run([sys.executable, HERE / name, *arguments], env=os.environ | environ, check=False)
        if done.returncode:
            return done.returncode
        print("-" * 80, flush=True)
    print(NEXT)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--live", action="store_true", help="ask the service")
    parser.add_argument("arguments", nargs="*", help="FOLDER and QUESTION of the quickstarts")
    asked = parser.parse_args()
    if asked.live:
        has_key = os.environ.get("OVHCLOUD_API_KEY") or os.environ.get("OVH_AI_ENDPOINTS_ACCESS_TOKEN")
        try:
            list_models()
        except OVHCloudError as error:
            raise SystemExit(f"The service can't be asked: {error}") from None
        print(WITH_KEY if has_key else ANONYMOUS, flush=True)
        return quickstarts({}, asked.arguments)
    print(STAND_IN, flush=True)
    with LocalEndpoints() as server:
        return quickstarts(server.environ, asked.arguments)


if __name__ == "__main__":
    sys.exit(main())
