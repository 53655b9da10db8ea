"""Judge a model, or what needs none, on a stack with reference masks.

The model comes in as a function that opens a session on an image, so this module knows no network and no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from napari_sam2.core.errors import LabelsError, OptionError
from napari_sam2.core.references import ReferenceStack
from napari_sam2.evaluation.clicks import Annotator, Click, first_click
from napari_sam2.evaluation.floors import otsu_prediction
from napari_sam2.evaluation.objects import (
    Predict,
    mean_over_objects,
    measure_objects,
    prompt_choice,
    prompt_frames,
)
from napari_sam2.evaluation.protocols import Annotation, Effort, Protocol
from napari_sam2.evaluation.region import copy_prediction, region_similarity
from napari_sam2.evaluation.results import StackResult, Step, curve_of, target_of
from napari_sam2.evaluation.scores import mean_score, score_frames
from napari_sam2.evaluation.sequences import VALIDATION_SPECS, validation_sequence
from napari_sam2.evaluation.sessions import NamedProgress, OpenSession, Progress
from napari_sam2.evaluation.tracks import ctc_seg, identity_switches

Floor = Literal["copy", "otsu"]
"""What needs no model: the prompted mask everywhere; thresholding and connected components."""


def validation_stacks(indices: Iterable[int] | None = None) -> Iterator[ReferenceStack]:
    """Yield the frozen validation sequences, all or those of `indices`."""
    for index in range(len(VALIDATION_SPECS)) if indices is None else indices:
        sequence = validation_sequence(index)
        name = f"generated_{index:02d}"
        yield ReferenceStack(name, sequence.image, sequence.labels, "time", "generated")


def evaluate_stack(
    stack: ReferenceStack,
    open_session: OpenSession,
    protocol: Protocol | None = None,
    annotator: Annotator | None = None,
    *,
    target: float = 0.75,
    progress: Progress | None = None,
) -> StackResult:
    """Let a simulated person work on a stack with a model, and score what comes of it.

    Parameters
    ----------
    stack : ReferenceStack
        What to work on.
    open_session : callable
        Opens a session of the model on an image.
    protocol : Protocol, optional
        What is prompted when; the reference mask on one frame by default.
    annotator : Annotator, optional
        Who clicks; an exact one by default.
    target : float
        J&F, or IoU on a single frame, of an object that is good enough.
    progress : callable, optional
        Told how much is done, 0 to 1.

    Returns
    -------
    StackResult
        Scores, floors, effort and time.

    Raises
    ------
    LabelsError
        If the reference shows no object.
    """
    protocol, prompted = protocol or Protocol(), first_prompts(stack)
    work = Annotation(
        open_session(stack.image), stack.labels, prompted, protocol, annotator or Annotator()
    )
    if progress is not None:
        work.progress = progress
    is_image = protocol.name == "image"
    steps = [
        (done.efforts, score_frames(done.predict, stack.labels, prompted, on_prompted=is_image))
        for done in work.rounds()
    ]
    tracked = None if is_image else np.asarray(work.session.labels)
    return StackResult(
        **_about(stack, prompted, protocol.prompt),
        **_scores(steps),
        **_floors(stack, prompted, protocol),
        ctc_seg=None if tracked is None else ctc_seg(tracked, stack.labels, prompted.items()),
        switches=None if tracked is None else identity_switches(tracked, stack.labels),
        seconds_per_frame=work.watch.seconds_per_frame,
        target=target_of(steps, target, is_image=is_image),
    )


def evaluate_stacks(
    jobs: Iterable[tuple[ReferenceStack, Protocol]],
    open_session: OpenSession,
    *,
    target: float = 0.75,
    progress: NamedProgress | None = None,
) -> Iterator[StackResult]:
    """Let an exact person work on stack after stack, each by its protocol; yield each result as it is there.

    Parameters
    ----------
    jobs : iterable of (ReferenceStack, Protocol)
        What to work on and how; the next stack is asked for when it is needed.
    open_session, target
        See `evaluate_stack`.
    progress : callable (name, done), optional
        Told the name of the stack and how much of it is done, 0 to 1.
    """
    for stack, protocol in jobs:
        told = None if progress is None else partial(progress, stack.name)
        yield evaluate_stack(stack, open_session, protocol, target=target, progress=told)


def evaluate_floor(stack: ReferenceStack, floor: Floor) -> StackResult:
    """Score what needs no model: prompted by the reference mask (copy) or by one click (otsu) on one frame."""
    prompted = first_prompts(stack)
    if floor == "otsu" and stack.is_rgb:
        raise OptionError(
            f"Otsu's threshold needs grey values, and {stack.name} has colours",
            remedy="take the method copy",
        )
    if floor == "copy":
        predict, effort = copy_prediction(stack.labels, prompted), Effort(1, 0, is_timed=False)
    else:
        clicks = simulated_clicks(stack.labels, prompted)
        predict, effort = otsu_prediction(stack.image, clicks), Effort(1, 1)
    rows = score_frames(predict, stack.labels, prompted)
    prompt = "mask" if floor == "copy" else "click"
    return StackResult(
        **_about(stack, prompted, prompt), **_scores([(dict.fromkeys(prompted, effort), rows)])
    )


def first_prompts(stack: ReferenceStack) -> dict[int, int]:
    """Return on which frame each object is prompted first; `LabelsError` if there is no object."""
    if not stack.labels.any():
        raise LabelsError(
            f"the labels of {stack.name} show no object",
            remedy="give labels with at least one id above 0, or more frames",
        )
    return prompt_frames(stack.labels, prompt_choice(stack.kind))


def simulated_clicks(
    reference: np.ndarray, prompted: dict[int, int]
) -> dict[int, tuple[int, Click]]:
    """Click each object once, on the innermost pixel of its prompted frame."""
    return {i: (t, first_click(reference[t] == i)) for i, t in prompted.items()}


def floor_score(predict: Predict, reference: np.ndarray, prompted: dict[int, int]) -> float:
    """Return the mean J of a prediction that needs no model."""
    return mean_over_objects(measure_objects(predict, reference, prompted, region_similarity))


def _about(stack: ReferenceStack, prompted: dict[int, int], prompt: str) -> dict[str, Any]:
    return {
        "name": stack.name,
        "group": stack.group,
        "kind": stack.kind,
        "num_objects": len(prompted),
        "num_frames": len(stack.labels),
        "prompt": prompt,
    }


def _scores(steps: Sequence[Step]) -> dict[str, Any]:
    rows = steps[-1][1]
    return {"mean": mean_score(rows), "rows": rows, "curve": curve_of(steps)}


def _floors(
    stack: ReferenceStack, prompted: dict[int, int], protocol: Protocol
) -> dict[str, float]:
    """Return what copying gives, unless nothing is propagated, and Otsu's floor of one click on a grey stack."""
    if protocol.name == "image":
        return {}
    copied = copy_prediction(stack.labels, prompted)
    floors = {"copy_J": floor_score(copied, stack.labels, prompted)}
    if protocol.name == "vos" and protocol.prompt == "click" and not stack.is_rgb:
        otsu = otsu_prediction(stack.image, simulated_clicks(stack.labels, prompted))
        floors["otsu_J"] = floor_score(otsu, stack.labels, prompted)
    return floors
