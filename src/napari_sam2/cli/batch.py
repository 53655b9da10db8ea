"""``napari-sam2 batch``: many stacks without a window, on several processes or a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2.cli.console import counted, new_app, progress_bar
from napari_sam2.core.errors import OptionError

if TYPE_CHECKING:
    from napari_sam2.batch.driving import Crew
    from napari_sam2.batch.plan import Existing, Plan
    from napari_sam2.batch.summary import Summary

app = new_app()

INCOMPLETE, INTERRUPTED = 1, 130
"""Exit codes."""


@app.command()
def batch(
    jobs: Annotated[
        Path,
        typer.Argument(
            metavar="JOBS.toml|FOLDER", help="A job table, or a folder of images and prompts."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    workers: Annotated[
        int | None,
        typer.Option(help="Processes; 0 does all in this one. By default half the cores.", min=0),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Of torch in each process; by default the cores are shared out.", min=1),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="tls://HOST:PORT", help="A dask scheduler to send the work to."),
    ] = None,
    insecure_cluster: Annotated[
        bool,
        typer.Option("--insecure-cluster", help="Allow a scheduler that does not speak TLS."),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Do only what is missing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do everything anew.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="For all jobs, whatever they say.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary for a program.")
    ] = False,
) -> int:
    """Segment many stacks, each with its own prompts, and write labels and a report for each."""
    _check_options(resume, overwrite, workers, scheduler, insecure_cluster)
    from napari_sam2.batch import cluster
    from napari_sam2.batch.job import check_models, with_model
    from napari_sam2.batch.plan import find_jobs, make_plan

    specs = with_model(find_jobs(jobs), model)
    num_workers = cluster.default_workers(len(specs)) if workers is None else workers
    if scheduler is None:
        check_models(specs)
        threads = cluster.threads_of(num_workers) if threads is None else threads
    plan = make_plan(specs, out, _existing(resume, overwrite), threads=threads)
    return _drive(plan, num_workers, scheduler, insecure_cluster, as_json)


def _check_options(
    resume: bool, overwrite: bool, workers: int | None, scheduler: str | None, is_insecure: bool
) -> None:
    if resume and overwrite:
        raise OptionError("--resume and --overwrite exclude each other", remedy="give one of them")
    if scheduler is not None and workers is not None:
        raise OptionError(
            "--workers starts processes here, --scheduler has its own", remedy="give one of them"
        )
    if scheduler is not None:
        from napari_sam2.batch.cluster import check_scheduler

        check_scheduler(scheduler, is_insecure_allowed=is_insecure)


def _existing(resume: bool, overwrite: bool) -> Existing:
    return "resume" if resume else "overwrite" if overwrite else "refuse"


def _drive(
    plan: Plan, num_workers: int, scheduler: str | None, is_insecure: bool, as_json: bool
) -> int:
    """Do what is to be done, write the summary however it ends, and return the exit code."""
    from napari_sam2.batch.cluster import LostClusterError
    from napari_sam2.batch.driving import Drive

    drive, code = None, 0
    try:
        with (
            _crew(plan, num_workers, scheduler, is_insecure) as crew,
            progress_bar(plan.num_tasks, "tasks") as bar,
        ):
            drive = Drive(plan, crew, on_task=lambda: bar.update(1))
            drive.run()
    except LostClusterError as error:
        if drive is None:
            raise  # nothing was begun, so there is nothing to sum up
        typer.echo(f"napari-sam2: {error}", err=True)
        code = INCOMPLETE
    except KeyboardInterrupt:
        typer.echo("napari-sam2: to go on, run the same command with --resume", err=True)
        code = INTERRUPTED
    if drive is None:
        return code
    summary = drive.summary
    path = summary.write()
    _report(summary, path, as_json)
    return code or (0 if summary.is_complete else INCOMPLETE)


@contextmanager
def _crew(plan: Plan, num_workers: int, scheduler: str | None, is_insecure: bool) -> Iterator[Crew]:
    from napari_sam2.batch import cluster
    from napari_sam2.batch.driving import ThisProcess

    if plan.num_tasks == 0 or (scheduler is None and num_workers == 0):
        yield ThisProcess()
        return
    client = (
        cluster.local_client(min(num_workers, plan.num_tasks))
        if scheduler is None
        else cluster.remote_client(scheduler, is_insecure_allowed=is_insecure)
    )
    with client as connected:
        yield cluster.DaskCrew(connected)


def _report(summary: Summary, path: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary.to_json(), indent=2))
        return
    states = ("done", "already", "failed", "missing")
    words = {"already": "there already", "failed": "set aside", "missing": "not done"}
    counts = (f"{summary.count(state)} {words.get(state, state)}" for state in states)
    known = [text for text in counts if not text.startswith("0 ")]
    typer.echo(f"{counted(len(summary.states), 'job')}: {', '.join(known)}; {path}")
    for name, (task, outcome, tries) in summary.failures.items():
        what = name if task.part is None else task.name
        typer.echo(f"  {what}: {outcome.cause} ({'tried twice' if tries > 1 else 'not tried'})")
