"""How many stacks a second a batch does with 0, 1 and 2 processes, and what handing out one task costs.

    python benchmarks/batch.py [--stacks 8] [--frames 12] [--size 128] [--objects 2] [--workers 0 1 2] [--json OUT.json]

All are measured in one run on the same generated stacks, with torch on one thread each and every process warmed up:
other programs on the computer disturb them alike, so the ratios say more than the seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_sam2.batch import cluster
from napari_sam2.batch.driving import Crew, Drive, ThisProcess
from napari_sam2.batch.job import JobSpec
from napari_sam2.batch.plan import Plan, make_plan
from napari_sam2.io.masklets import write_labels
from napari_sam2.testing import moving_discs


def made_jobs(folder: Path, options: argparse.Namespace) -> list[JobSpec]:
    """Write stacks, and labels that give their prompts; return the jobs."""
    jobs = []
    for seed in range(options.stacks):
        video, labels = moving_discs(options.frames, options.size, options.objects, seed)
        image, truth = folder / f"{seed}.tif", folder / f"{seed}_truth.tif"
        write_labels(image, video)
        write_labels(truth, labels)
        jobs.append(JobSpec(str(seed), str(image), labels=str(truth), model=options.model))
    return jobs


@contextmanager
def crew_of(num_workers: int) -> Iterator[Crew]:
    if num_workers == 0:
        yield ThisProcess()
        return
    with cluster.local_client(num_workers) as client:
        client.wait_for_workers(num_workers)
        yield cluster.DaskCrew(client)


def seconds_of(plan: Plan, crew: Crew) -> float:
    start = time.perf_counter()
    assert Drive(plan, crew).run().is_complete
    return time.perf_counter() - start


def overhead(plan: Plan, crew: Crew, rounds: int) -> float:
    """Return what a task costs whose result is there: sending, finding the result, and its checksum; seconds."""
    start = time.perf_counter()
    for _ in range(rounds):
        for job in plan.jobs:
            crew.submit(job.task)
    for _ in range(rounds * len(plan.jobs)):
        task, outcome = crew.next_done()
        assert outcome is not None, task.name
        assert outcome.state == "already", task.name
    return (time.perf_counter() - start) / (rounds * len(plan.jobs))


def measured(num_workers: int, jobs: list[JobSpec], folder: Path, rounds: int) -> dict[str, float]:
    start = time.perf_counter()
    with crew_of(num_workers) as crew:
        start_seconds = time.perf_counter() - start
        # Twice as many as processes, so that none is left cold.
        warm = jobs[: max(1, 2 * num_workers)]
        warm_seconds = seconds_of(make_plan(warm, folder / f"warm-{num_workers}", threads=1), crew)
        plan = make_plan(jobs, folder / f"out-{num_workers}", threads=1)
        seconds = seconds_of(plan, crew)
        return {
            "workers": num_workers,
            "start_seconds": round(start_seconds, 3),
            "warm_up_seconds": round(warm_seconds, 3),
            "seconds": round(seconds, 3),
            "stacks_per_second": round(len(jobs) / seconds, 3),
            "overhead_seconds_per_task": round(overhead(plan, crew, rounds), 5),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stacks", type=int, default=8)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--size", type=int, default=128, help="side of the frames, pixels")
    parser.add_argument("--objects", type=int, default=2, help="in each stack")
    parser.add_argument("--rounds", type=int, default=10, help="of tasks that are done already")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = made_jobs(folder, options)
        rows = [measured(number, jobs, folder, options.rounds) for number in options.workers]
    for row in rows:
        row["ratio_to_first"] = round(row["stacks_per_second"] / rows[0]["stacks_per_second"], 3)
        row["frames_per_second"] = round(row["stacks_per_second"] * options.frames, 3)
        print(*(f"{key} {value:g}" for key, value in row.items()), sep=" · ", flush=True)
    settings = {key: value for key, value in vars(options).items() if key != "json"}
    if options.json:
        content = {"settings": settings, "cores": cluster.num_cores(), "rows": rows}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":  # processes of the cluster import this file
    main()
