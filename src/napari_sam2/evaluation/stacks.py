"""Score any model on whole stacks: the frozen validation sequences, and folders of stacks with references.

The model comes in as a function that opens a session on an image, so this module knows no network and no files of
weights: ``functools.partial(napari_sam2.Session, axis=0, model="nano")`` is such a function.
"""

from __future__ import annotations

import json
import math
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


class Tracked(Protocol):
    """One step of a propagation."""

    @property
    def frame(self) -> int:
        """Which frame was tracked."""


class Run(Protocol):
    """A propagation: iterate to drive it."""

    total: int
    """How many steps the whole run takes."""

    def __iter__(self) -> Iterator[Tracked]:
        """Advance by one step an item."""


class TrackingSession(Protocol):
    """What scoring needs of a session; `napari_sam2.Session` has it."""

    def add_points(
        self, object: int, frame: int, points: list[tuple[int, int]], labels: list[int]
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
    """An image stack with its reference.

    `image`, `labels`: (T, Y, X); `group`: stacks of one group are averaged; `prompt_frame`: see `prompt_frames`.
    """

    name: str
    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    group: str
    prompt_frame: PromptFrame

    def limited(self, frames: slice | None = None, objects: int | None = None) -> Stack:
        """Return some `frames`, and of the objects on them the `objects` with the lowest ids."""
        chosen = frames or slice(None)
        image, labels = self.image[chosen], self.labels[chosen]
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
    group: str
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
        yield Stack(f"generated_{index:02d}", sequence.image, sequence.labels, "generated", "first")


def read_stacks(folder: Path) -> Iterator[Stack]:
    """Yield the stacks of a folder in order of their names.

    Parameters
    ----------
    folder : Path
        Holds ``NAME.npz`` with `image` (T or Z, Y, X) and `labels`, and ``NAME.json`` with `kind`.

    Yields
    ------
    Stack
        A time-lapse (`kind` ends in ``-time``) is prompted at first appearance, anything else on the largest section;
        the group is ``microscopy`` where `kind` begins so, else ``medical``.

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
    group = "microscopy" if kind.startswith("microscopy") else "medical"
    return Stack(path.stem, image, labels, group, "first" if kind.endswith("-time") else "largest")


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
    for object_id, frame in prompted.items():
        if prompt == "mask":
            session.add_mask(object_id, frame, stack.labels[frame] == object_id)
        else:
            click = clicks[object_id][1]
            session.add_points(object_id, frame, [(click.y, click.x)], labels=[1])
    seconds_per_frame = drive(session.propagate(), progress)
    objects = score_labels(np.asarray(session.labels), stack.labels, prompted)
    return StackResult(
        name=stack.name,
        group=stack.group,
        prompt=prompt,
        mean_J=_mean([row.J for row in objects]),
        mean_F=_mean([row.F for row in objects]),
        copy_J=floor_score(copy_prediction(stack.labels, prompted), stack.labels, prompted),
        otsu_J=_otsu_floor(stack, clicks, prompted) if prompt == "click" else None,
        seconds_per_frame=seconds_per_frame,
        frames=len(stack.image),
        objects=objects,
    )


def simulated_clicks(
    reference: np.ndarray, prompted: dict[int, int]
) -> dict[int, tuple[int, Click]]:
    """Click each object once, on the innermost pixel of its prompted frame."""
    return {i: (t, first_click(reference[t] == i)) for i, t in prompted.items()}


def drive(run: Run, progress: Progress | None = None) -> float:
    """Carry a propagation to its end and return its wall time, seconds a tracked frame."""
    started = time.perf_counter()
    frames = set()
    for done, tracked in enumerate(run, start=1):
        frames.add(tracked.frame)
        if progress is not None:
            progress(done, run.total)
    return (time.perf_counter() - started) / max(len(frames), 1)


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
    """Return a head, one line a stack, and the means over the stacks of each group."""
    results = list(results)
    return "\n".join(
        [SUMMARY_HEAD, *map(summary_line, results), *map(summary_line, group_means(results))]
    )


def group_means(results: Iterable[StackResult]) -> list[StackResult]:
    """Return the mean over stacks of each group and kind of prompt, in the order in which they come."""
    groups: dict[tuple[str, Prompt], list[StackResult]] = {}
    for result in results:
        groups.setdefault((result.group, result.prompt), []).append(result)
    return [_average(group) for group in groups.values()]


def _average(results: list[StackResult]) -> StackResult:
    otsu = [result.otsu_J for result in results if result.otsu_J is not None]
    return StackResult(
        name=f"mean: {results[0].group} ({len(results)})",
        group=results[0].group,
        prompt=results[0].prompt,
        mean_J=_mean([result.mean_J for result in results]),
        mean_F=_mean([result.mean_F for result in results]),
        copy_J=_mean([result.copy_J for result in results]),
        otsu_J=_mean(otsu) if otsu else None,
        seconds_per_frame=_mean([result.seconds_per_frame for result in results]),
        frames=sum(result.frames for result in results),
        objects=tuple(row for result in results for row in result.objects),
    )


SUMMARY_HEAD = f"{'stack':<22} {'prompt':<6} {'objects':>7} {'J':>6} {'F':>6} {'copy':>6} {'otsu':>6} {'s/frame':>8}"


def summary_line(result: StackResult) -> str:
    """Return one line under `SUMMARY_HEAD`."""
    otsu = "-" if result.otsu_J is None else f"{result.otsu_J:.3f}"
    return (
        f"{result.name:<22} {result.prompt:<6} {len(result.objects):>7} {result.mean_J:>6.3f} "
        f"{result.mean_F:>6.3f} {result.copy_J:>6.3f} {otsu:>6} {result.seconds_per_frame:>8.2f}"
    )


def results_json(model: str, version: str, results: Iterable[StackResult]) -> str:
    """Return all results as indented JSON: means of groups, and one entry a stack with one row an object."""
    results = list(results)
    means = [asdict(replace(mean, objects=())) for mean in group_means(results)]
    stacks = [asdict(result) for result in results]
    content = {"model": model, "version": version, "means": means, "stacks": stacks}
    return json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n"


def _without_nan(value: object) -> object:
    """JSON has no NaN: what could not be scored is null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
