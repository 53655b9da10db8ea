"""Score any model on whole stacks: the frozen validation sequences, and folders of stacks with references.

The model comes in as a function that opens a session on an image, so this module knows no network and no files of
weights: ``functools.partial(napari_sam2.Session, axis=0, model="nano")`` is such a function.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from napari_sam2.core.errors import FileFormatError
from napari_sam2.evaluation.boundary import boundary_accuracy
from napari_sam2.evaluation.clicks import Click, first_click
from napari_sam2.evaluation.floors import otsu_prediction
from napari_sam2.evaluation.objects import (
    Predict,
    PromptFrame,
    from_labels,
    mean_over_objects,
    measure_objects,
    object_ids,
    prompt_frames,
)
from napari_sam2.evaluation.region import copy_prediction, region_similarity
from napari_sam2.evaluation.sequences import VALIDATION_SPECS, validation_sequence

Prompt = Literal["click", "mask"]
"""How an object is prompted: one click on its innermost pixel, or its reference mask."""

Progress = Callable[[int, int], None]
"""(done, total): called as a run advances."""


class Run(Protocol):
    """A propagation: iterate to drive it."""

    @property
    def total(self) -> int:
        """How many steps the whole run takes."""

    def __iter__(self) -> Iterator[object]:
        """Advance by one step an item."""


class TrackingSession(Protocol):
    """What scoring needs of a session; `napari_sam2.Session` has it."""

    def add_points(
        self, object: int, frame: int, points: list[tuple[float, float]], *, labels: list[int]
    ) -> object:
        """Click an object on a frame; 1 positive, 0 negative."""

    def add_mask(self, object: int, frame: int, mask: np.ndarray) -> object:
        """Give the mask of an object on a frame."""

    def propagate(self, direction: Literal["both"] = "both") -> Run:
        """Carry all objects through the stack."""

    @property
    def labels(self) -> np.ndarray:
        """Results, (T, Y, X); the label of an object is its id."""


OpenSession = Callable[[np.ndarray], TrackingSession]
"""Open a session on an image stack (T, Y, X)."""


@dataclass(frozen=True, slots=True)
class Stack:
    """An image stack with its reference. `image`, `labels`: (T, Y, X); `prompt_frame`: see `prompt_frames`."""

    name: str
    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    prompt_frame: PromptFrame = "first"

    def limited(self, frames: int | None = None, objects: int | None = None) -> Stack:
        """Return the first `frames` frames and, of the objects there, those with the lowest ids."""
        image, labels = self.image[:frames], self.labels[:frames]
        if objects is not None:
            labels = np.where(np.isin(labels, object_ids(labels)[:objects]), labels, 0)
        return replace(self, image=image, labels=labels)


@dataclass(frozen=True, slots=True)
class ObjectResult:
    """One object of a stack: where it was prompted, on how many frames it was scored, and its means."""

    object_id: int
    prompted_frame: int
    frames: int
    J: float
    F: float


@dataclass(frozen=True, slots=True)
class StackResult:
    """How a model did on one stack. `copy_J`, `otsu_J`: floors; Otsu's needs a click, so None for masks."""

    name: str
    prompt: Prompt
    mean_J: float
    mean_F: float
    copy_J: float
    otsu_J: float | None
    seconds_per_frame: float
    frames: int
    objects: tuple[ObjectResult, ...]


def validation_stacks(indices: Iterable[int] | None = None) -> Iterator[Stack]:
    """Yield the frozen validation sequences, all or those of `indices`."""
    for index in range(len(VALIDATION_SPECS)) if indices is None else indices:
        sequence = validation_sequence(index)
        yield Stack(f"generated_{index:02d}", sequence.image, sequence.labels)


def read_stacks(folder: Path) -> Iterator[Stack]:
    """Yield the stacks of a folder in order of their names.

    Parameters
    ----------
    folder : Path
        Holds ``NAME.npz`` with `image` (T or Z, Y, X) and `labels`, and ``NAME.json`` with `kind`.

    Yields
    ------
    Stack
        A time-lapse (`kind` ends in ``-time``) is prompted at first appearance, anything else on the largest section.

    Raises
    ------
    FileFormatError
        If an array or the description is missing, or the shapes differ.
    """
    for path in sorted(folder.glob("*.npz")):
        yield read_stack(path)


def read_stack(path: Path) -> Stack:
    """Read one ``NAME.npz`` and the ``NAME.json`` beside it; see `read_stacks`."""
    try:
        kind = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["kind"]
        with np.load(path, allow_pickle=False) as arrays:
            image, labels = arrays["image"], arrays["labels"]
    except (KeyError, FileNotFoundError, json.JSONDecodeError) as error:
        raise FileFormatError(
            f"{path.name} needs the arrays image and labels, and {path.stem}.json beside it with a kind",
            kept="no stack was read",
        ) from error
    if image.shape[:3] != labels.shape:
        raise FileFormatError(
            f"{path.name}: image {image.shape} and labels {labels.shape} differ in shape",
            kept="no stack was read",
        )
    return Stack(path.stem, image, labels, "first" if kind.endswith("-time") else "largest")


def evaluate_stack(
    stack: Stack, open_session: OpenSession, prompt: Prompt, progress: Progress | None = None
) -> StackResult:
    """Prompt every object of a stack on one frame, propagate both ways and score the result.

    Parameters
    ----------
    stack : Stack
        What to run on.
    open_session : callable
        Opens a session of the model on an image.
    prompt : {"click", "mask"}
        One click on the innermost pixel of the reference, or the reference mask itself.
    progress : callable, optional
        Told (done, total) after every step.

    Returns
    -------
    StackResult
        Scores, floors and time.
    """
    prompted = prompt_frames(stack.labels, stack.prompt_frame)
    clicks = simulated_clicks(stack.labels, prompted)
    session = open_session(stack.image)
    started = time.perf_counter()
    for object_id, frame in prompted.items():
        if prompt == "mask":
            session.add_mask(object_id, frame, stack.labels[frame] == object_id)
        else:
            click = clicks[object_id][1]
            session.add_points(object_id, frame, [(click.y, click.x)], labels=[1])
    drive(session.propagate(), progress)
    seconds = time.perf_counter() - started
    objects = score_labels(np.asarray(session.labels), stack.labels, prompted)
    return StackResult(
        name=stack.name,
        prompt=prompt,
        mean_J=_mean([row.J for row in objects]),
        mean_F=_mean([row.F for row in objects]),
        copy_J=floor_score(copy_prediction(stack.labels, prompted), stack.labels, prompted),
        otsu_J=_otsu_floor(stack, clicks, prompted) if prompt == "click" else None,
        seconds_per_frame=seconds / len(stack.image),
        frames=len(stack.image),
        objects=objects,
    )


def simulated_clicks(
    reference: np.ndarray, prompted: dict[int, int]
) -> dict[int, tuple[int, Click]]:
    """Click each object once, on the innermost pixel of its prompted frame."""
    return {i: (t, first_click(reference[t] == i)) for i, t in prompted.items()}


def drive(run: Run, progress: Progress | None = None) -> None:
    """Carry a propagation to its end."""
    total = run.total
    for done, _ in enumerate(run, start=1):
        if progress is not None:
            progress(done, total)


def score_labels(
    labels: np.ndarray, reference: np.ndarray, prompted: dict[int, int]
) -> tuple[ObjectResult, ...]:
    """Return J and F of each object that the reference shows on more than its prompted frame."""
    predict = from_labels(labels)
    regions = measure_objects(predict, reference, prompted, region_similarity)
    outlines = measure_objects(predict, reference, prompted, boundary_accuracy)
    return tuple(
        ObjectResult(j.object_id, j.prompted_frame, len(j.frames), j.mean, f.mean)
        for j, f in zip(regions, outlines, strict=True)
    )


def floor_score(predict: Predict, reference: np.ndarray, prompted: dict[int, int]) -> float:
    """Return the mean J of a prediction that needs no model."""
    return mean_over_objects(measure_objects(predict, reference, prompted, region_similarity))


def _otsu_floor(
    stack: Stack, clicks: dict[int, tuple[int, Click]], prompted: dict[int, int]
) -> float | None:
    if stack.image.ndim != 3:
        return None
    return floor_score(otsu_prediction(stack.image, clicks), stack.labels, prompted)


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def summary_table(results: Iterable[StackResult]) -> str:
    """Return one line a stack, and the means over stacks of each kind of prompt."""
    results = list(results)
    lines = [
        f"{'stack':<20} {'prompt':<6} {'objects':>7} {'J':>6} {'F':>6} {'copy':>6} {'otsu':>6} {'s/frame':>8}"
    ]
    lines += [_row(result) for result in results]
    for prompt in ("click", "mask"):
        of_kind = [result for result in results if result.prompt == prompt]
        if len(of_kind) > 1:
            lines.append(_row(_average(of_kind)))
    return "\n".join(lines)


def _average(results: list[StackResult]) -> StackResult:
    otsu = [result.otsu_J for result in results if result.otsu_J is not None]
    return StackResult(
        name=f"mean of {len(results)}",
        prompt=results[0].prompt,
        mean_J=_mean([result.mean_J for result in results]),
        mean_F=_mean([result.mean_F for result in results]),
        copy_J=_mean([result.copy_J for result in results]),
        otsu_J=_mean(otsu) if otsu else None,
        seconds_per_frame=_mean([result.seconds_per_frame for result in results]),
        frames=sum(result.frames for result in results),
        objects=tuple(row for result in results for row in result.objects),
    )


def _row(result: StackResult) -> str:
    otsu = "-" if result.otsu_J is None else f"{result.otsu_J:.3f}"
    return (
        f"{result.name:<20} {result.prompt:<6} {len(result.objects):>7} {result.mean_J:>6.3f} "
        f"{result.mean_F:>6.3f} {result.copy_J:>6.3f} {otsu:>6} {result.seconds_per_frame:>8.2f}"
    )


def results_json(model: str, version: str, results: Iterable[StackResult]) -> str:
    """Return all results as indented JSON, one entry a stack with one row an object."""
    stacks = [asdict(result) for result in results]
    return json.dumps({"model": model, "version": version, "stacks": stacks}, indent=2) + "\n"
