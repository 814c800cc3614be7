"""`python -m ovhcloud_ai_endpoints batches`: the batch jobs of a key, as the service knows them.

A driver. Key and URL are those of the environment.
"""

import argparse
from collections.abc import Iterator

from ovhcloud_ai_endpoints._batches.requests import MOST_PAGES, CancelJob, JobState, ListJobs, ReadFile, SeeJob
from ovhcloud_ai_endpoints._errors import AuthenticationError, NotFoundError, printable
from ovhcloud_ai_endpoints._http import Client, Settings, environment_base_url, environment_key


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command `batches` to a command line."""
    batches = commands.add_parser("batches", help="list, show, cancel or print batch jobs")
    actions = batches.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="id, state and counts of each job, newest first")
    for action, words in (("show", "state and counts"), ("cancel", "end it"), ("results", "print its lines")):
        actions.add_parser(action, help=words).add_argument("id", help="of a job, as list prints it")


def run_command(chosen: argparse.Namespace) -> Iterator[str]:
    """The lines to print for `add_command`'s arguments.

    Raises:
        OVHCloudError: the service can't be reached, or refuses.
        ValueError: the job has no results.
    """
    settings = Settings(api_key=environment_key(), base_url=environment_base_url())
    if not settings.key():
        raise AuthenticationError("Batch jobs need a key, and none is set: set OVHCLOUD_API_KEY")
    client = Client(settings)
    if chosen.action == "list":
        after = None
        for _ in range(MOST_PAGES):
            jobs, after = client.send(ListJobs(after))
            yield from map(_row, jobs)
            if after is None:
                break
        if not jobs:
            yield "There are no batch jobs with this key."
        return
    request = CancelJob(chosen.id) if chosen.action == "cancel" else SeeJob(chosen.id)
    try:
        job = client.send(request)
    except NotFoundError as error:
        problem = f"The service knows no batch job {printable(chosen.id)!r} of this key; `batches list` prints all"
        raise NotFoundError(problem, status=error.status) from error
    if chosen.action != "results":
        yield _row(job)
        yield from (f"  {printable(problem.message)}" for problem in job.problems)
        return
    if not job.results:
        raise ValueError(f"The job is {printable(job.status)}, and has no results.")
    for file in job.results:
        with client.stream(ReadFile(file)) as lines:
            yield from (line.decode("utf-8", "replace") for line in lines)


def _row(job: JobState) -> str:
    counts = f"{job.done:,} of {job.total:,} answered, {job.failed:,} failed"
    return f"{printable(job.id)}  {printable(job.status):<11}  {counts}"
