"""What a batch has to do: the jobs of a table or a folder, cut into tasks, without those that are done."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from napari_sam2.batch import results
from napari_sam2.batch.job import JobSpec, check_names, is_file_name, read_jobs, stem_of
from napari_sam2.batch.tasks import Task
from napari_sam2.core.errors import FileFormatError, FrameReadError, NapariSam2Error
from napari_sam2.io.images import PICTURE_SUFFIXES, TIFF_SUFFIXES

Existing = Literal["refuse", "resume", "overwrite"]
"""What becomes of results that lie in the output folder."""

_ENDINGS = {"session": ".sam2.json", "prompts": ".json", "labels": "_labels.tif"}
"""What lies beside an image in a folder, the first one found is taken."""


_MORE_IMAGES = (
    ".npy",
    ".npz",
    ".nii",
    ".gz",
    ".nrrd",
    ".nhdr",
    ".avi",
    ".mov",
    ".mp4",
    ".mkv",
    ".webm",
)
_IMAGES = frozenset((*TIFF_SUFFIXES, *PICTURE_SUFFIXES, *_MORE_IMAGES))
"""Endings of files that may be an image; others beside them, such as tables, have the same names."""


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job and its tasks.

    `task`: makes the labels; `parts`: those before it that are not done yet; `error`: why it cannot be begun.
    """

    task: Task
    parts: tuple[Task, ...] = ()
    is_done: bool = False
    error: NapariSam2Error | None = None

    @property
    def num_tasks(self) -> int:
        """How many tasks are to be done."""
        return 0 if self.is_done or self.error else len(self.parts) + 1


@dataclass(frozen=True, slots=True)
class Plan:
    """All jobs of a batch, in order; `out`: the folder of the results."""

    out: Path
    jobs: tuple[PlannedJob, ...]

    @property
    def num_tasks(self) -> int:
        """How many tasks are to be done."""
        return sum(job.num_tasks for job in self.jobs)


def find_jobs(where: str | Path) -> tuple[JobSpec, ...]:
    """Return the jobs of a table, or of a folder: every image with prompts, a session or labels beside it.

    Beside `a.tif`, that is `a.sam2.json`, `a.json` or `a_labels.tif`.

    Raises
    ------
    FrameReadError
        There is no such file or folder.
    FileFormatError
        The table is wrong, or the folder has no such image.
    """
    path = Path(where).expanduser()
    if not path.exists():
        raise FrameReadError(f"there is no file or folder {path}", remedy="check the path")
    if path.is_file():
        return read_jobs(path)
    found = (_beside(image) for image in sorted(path.resolve().iterdir()))
    jobs = tuple(job for job in found if job is not None)
    if not jobs:
        raise FileFormatError(
            f"folder {path} has no image with prompts beside it",
            remedy="beside a.tif there is a.sam2.json, a.json or a_labels.tif; or write a job table",
        )
    check_names(jobs, path)
    return jobs


def make_plan(
    jobs: Iterable[JobSpec],
    out: str | Path,
    existing: Existing = "refuse",
    *,
    threads: int | None = None,
) -> Plan:
    """Make the output folder, look at what lies there, and return what is to be done.

    Raises
    ------
    FileFormatError
        Something lies there and `existing` is "refuse", or the folder cannot be made, or the inputs lie in it.
    """
    jobs = tuple(jobs)
    folder = Path(out).expanduser().absolute()
    _check_out(folder, jobs, existing)
    attempt = secrets.token_hex(8)
    tasks = (
        Task(spec, str(folder), results.job_key(spec), attempt, threads=threads) for spec in jobs
    )
    return Plan(folder, tuple(_planned(task, existing) for task in tasks))


def _check_out(folder: Path, jobs: tuple[JobSpec, ...], existing: Existing) -> None:
    inputs = {path.resolve() for spec in jobs for path in (Path(spec.image), spec.source)}
    inner = next((path for path in inputs if folder.resolve() in (path, path.parent)), None)
    if inner is not None:
        raise FileFormatError(
            f"{folder} holds {inner.name}, which is read from",
            remedy="give a folder for the results alone",
            kept="nothing was started",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if existing == "refuse" and next(folder.iterdir(), None) is not None:
            raise FileFormatError(
                f"{folder} is not empty",
                remedy="give --resume to do what is missing, --overwrite to do all anew, or another folder",
                kept="it was left alone",
            )
        (folder / results.WORK_FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        raise FileFormatError(
            f"results cannot be written to {folder}: {error.strerror}",
            kept="nothing was started",
            remedy="choose another folder, or make room there",
        ) from error


def _planned(task: Task, existing: Existing) -> PlannedJob:
    if existing == "overwrite":
        _forget(task)
    elif task.is_done():
        return PlannedJob(task, is_done=True)
    try:
        return _split(task)
    except (NapariSam2Error, OSError) as error:
        known = (
            error
            if isinstance(error, NapariSam2Error)
            else FrameReadError(str(error), remedy="check the files of the job")
        )
        return PlannedJob(task, error=known)


def _forget(task: Task) -> None:
    """Take away what says that a job is done; its labels stay until they are replaced."""
    results.report_path(Path(task.out), task.spec).unlink(missing_ok=True)
    results.remove_parts(Path(task.out), task.spec)


def _split(task: Task) -> PlannedJob:
    spec = task.spec
    if not spec.split_objects:
        return PlannedJob(task)
    from napari_sam2.batch.opening import check_can_be_split
    from napari_sam2.batch.prompts import object_ids, read_said

    said = read_said(spec)
    num_parts = -(-len(object_ids(said)) // spec.split_objects)
    if num_parts < 2:
        return PlannedJob(task)
    check_can_be_split(spec, said)
    parts = (replace(task, part=part, num_parts=num_parts) for part in range(num_parts))
    missing = tuple(part for part in parts if not part.is_done())
    return PlannedJob(replace(task, num_parts=num_parts), missing)


def _beside(image: Path) -> JobSpec | None:
    """Return the job of an image with prompts beside it, None for any other file."""
    stem = stem_of(image)
    may_be_image = image.is_dir() or image.suffix.lower() in _IMAGES
    if not may_be_image or stem.endswith("_labels") or not is_file_name(stem):
        return None
    for kind, ending in _ENDINGS.items():
        beside = image.with_name(stem + ending)
        if beside.is_file():
            return _job(stem, image, kind, str(beside))
    return None


def _job(name: str, image: Path, kind: str, source: str) -> JobSpec:
    if kind == "session":
        return JobSpec(name, str(image), session=source)
    if kind == "prompts":
        return JobSpec(name, str(image), prompts=source)
    return JobSpec(name, str(image), labels=source)
