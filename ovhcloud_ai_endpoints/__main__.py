"""The command line.

python -m ovhcloud_ai_endpoints models              the models that the service lists
python -m ovhcloud_ai_endpoints models --offline    those of the bundled catalogue
python -m ovhcloud_ai_endpoints models --refresh    also with what OVHcloud's web site says about them
python -m ovhcloud_ai_endpoints models --refresh --json    as a new models.json
python -m ovhcloud_ai_endpoints batches list                id, state and counts of the key's batch jobs
python -m ovhcloud_ai_endpoints batches show|cancel|results ID

It ends with 0; with 1 if the service or the output failed; with 2 if the arguments are wrong.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from ovhcloud_ai_endpoints._batches import add_command, run_command
from ovhcloud_ai_endpoints._catalogue import Model, catalogue_date, retired_models
from ovhcloud_ai_endpoints._errors import OVHCloudError
from ovhcloud_ai_endpoints._model_list import aligned, document, list_models


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ovhcloud_ai_endpoints", description="OVHcloud AI Endpoints")
    commands = parser.add_subparsers(dest="command", required=True)
    models = commands.add_parser("models", help="print the models with their capabilities and prices")
    asked = models.add_mutually_exclusive_group()
    asked.add_argument("--offline", action="store_true", help="print the bundled catalogue, without a request")
    asked.add_argument("--refresh", action="store_true", help="also ask OVHcloud's web catalogue")
    models.add_argument("--json", action="store_true", help="as a new models.json instead of a table")
    add_command(commands)
    chosen = parser.parse_args(arguments)
    if chosen.command == "batches":
        return _batches(chosen)
    try:
        found = list_models(refresh=chosen.refresh, offline=chosen.offline)
    except (OVHCloudError, ValueError) as error:
        print(f"{error}\nUse --offline to print the bundled catalogue of {catalogue_date()}.", file=sys.stderr)
        return 1
    date = catalogue_date() if chosen.offline else _date(found)
    if chosen.json:
        retired = retired_models(served={model.id for model in found})
        print(json.dumps(document(found, retired, date=date), indent=1, ensure_ascii=False))
    else:
        print(f"{aligned(found)}\n\nAs of {date}.")
    return 0


def _batches(chosen: argparse.Namespace) -> int:
    try:
        for line in run_command(chosen):
            print(line)
    except (OVHCloudError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _date(models: Sequence[Model]) -> str:
    """The day of the list: that of its newest price."""
    return max((model.prices_as_of or "" for model in models), default="") or catalogue_date()


def run() -> int:
    """Like `main`, but an output that can't be written ends the program without a traceback."""
    try:
        code = main()
        if sys.stdout:  # which is None if it is closed
            sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # whose reader, such as `head`, has seen enough
            print(f"The output can't be written: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # since Python flushes once more at its end
        return 1
    return code


if __name__ == "__main__":
    sys.exit(run())
