"""What one more interaction makes of the prompts of a frame: pure functions, after the checks."""

from __future__ import annotations

from collections.abc import Iterator

from napari_sam2.core.errors import PromptError
from napari_sam2.core.geometry import PromptBox
from napari_sam2.core.ids import FrameIndex
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.prompts import FramePrompts, PromptStep
from napari_sam2.core.validation import (
    Clicks,
    check_box,
    check_mask,
    check_points,
    check_positive,
    merge_clicks,
)


def with_points(
    said: FramePrompts | None, frame: FrameIndex, clicks: Clicks, tracked: PackedMask | None
) -> FramePrompts | None:
    """Return the prompts after new points; `said` itself if all of them had been given before.

    `tracked`: the mask that tracking shows on the frame. The first click there refines it.
    """
    fresh = merge_clicks(clicks_of(said), clicks.items())
    if not fresh:
        return said
    check_positive(fresh, has_mask=said is not None or tracked is not None)
    step = PromptStep(points=tuple(fresh), positives=tuple(fresh.values()))
    if said is None:
        return FramePrompts(frame, (step,), refines=tracked)
    return FramePrompts(frame, (*said.steps, step), said.refines)


def with_box(said: FramePrompts | None, frame: FrameIndex, box: PromptBox) -> FramePrompts:
    """Return the prompts after a box: it comes before the points, and replaces an earlier box, a mask or a refinement.

    The network takes a box before any point, so a box drawn after clicks counts as drawn before them.
    """
    points = () if said is None else tuple(step for step in said.steps if step.points)
    return FramePrompts(frame, (PromptStep(box=box), *points))


def with_mask(frame: FrameIndex, mask: PackedMask) -> FramePrompts:
    """Return the prompts after a mask, which replaces all that was said before."""
    return FramePrompts(frame, (PromptStep(mask=mask),))


def clicks_of(said: FramePrompts | None) -> Clicks:
    """Return all points of a frame with their signs."""
    return {} if said is None else dict(_clicks(said))


def person_mask(prompts: FramePrompts) -> PackedMask | None:
    """Return the mask that a person gave as the last word on a frame, if so: no model is asked then."""
    return prompts.steps[-1].mask


def check_frame_prompts(prompts: FramePrompts, shape: tuple[int, int]) -> FramePrompts:
    """Return prompts that come from outside, for example from a file, after all checks that they would have met.

    Raises
    ------
    PromptError
        If one of the steps would have been refused.
    """
    refines = None if prompts.refines is None else check_mask(prompts.refines, shape)[0]
    said: FramePrompts | None = None
    for step in prompts.steps:
        if step.mask is not None:
            said = with_mask(prompts.frame, check_mask(step.mask, shape)[0])
        if step.box is not None:
            said = with_box(said, prompts.frame, check_box(step.box, shape)[0])
        if step.points:
            clicks = check_points(step.points, step.positives, shape)
            said = with_points(said, prompts.frame, clicks, refines)
    if said is None:
        raise PromptError(f"nothing was said about the object on frame {prompts.frame}")
    return said


def _clicks(said: FramePrompts) -> Iterator[tuple[tuple[float, float], bool]]:
    for step in said.steps:
        yield from zip(step.points, step.positives, strict=True)
