"""What one more interaction makes of the prompts of a frame: pure functions, after the checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from napari_sam2.core.errors import PromptError
from napari_sam2.core.geometry import PromptBox, nearest_index
from napari_sam2.core.ids import FrameIndex, is_whole
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.prompts import FramePrompts, PromptStep
from napari_sam2.core.validation import (
    Clicks,
    Point,
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
    steps = () if said is None else said.steps
    points = tuple(replace(step, candidate=0) for step in steps if step.points)
    return FramePrompts(frame, (PromptStep(box=box), *points))


def with_mask(frame: FrameIndex, mask: PackedMask) -> FramePrompts:
    """Return the prompts after a mask, which replaces all that was said before."""
    return FramePrompts(frame, (PromptStep(mask=mask),))


def with_candidate(said: FramePrompts, number: int) -> FramePrompts:
    """Return the prompts whose last step means another one of the possible answers."""
    return replace(said, steps=(*said.steps[:-1], replace(said.steps[-1], candidate=number)))


def without_point(said: FramePrompts, point: Point) -> FramePrompts | None:
    """Return the prompts without one point; None if nothing was said besides."""
    known = point_at(said, point)
    return _rebuilt(said, lambda at, positive: None if at == known else (at, positive))


def with_point_moved(said: FramePrompts, point: Point, to: Point) -> FramePrompts:
    """Return the prompts with one point somewhere else, in the same place of their order."""
    known = point_at(said, point)
    moved = _rebuilt(said, lambda at, positive: (to if at == known else at, positive))
    assert moved is not None  # as many points as before
    return moved


def with_point_flipped(said: FramePrompts, point: Point) -> FramePrompts:
    """Return the prompts with the other sign of one point."""
    known = point_at(said, point)
    flipped = _rebuilt(said, lambda at, positive: (at, positive != (at == known)))
    assert flipped is not None  # as many points as before
    return flipped


def without_box(said: FramePrompts) -> FramePrompts | None:
    """Return the prompts without their box; None if nothing was said besides."""
    steps = tuple(step for step in said.steps if step.box is None)
    if len(steps) == len(said.steps):
        raise PromptError(
            f"there is no box on frame {said.frame}", remedy="name a frame that has one"
        )
    return _checked(replace(said, steps=steps)) if steps else None


def point_at(said: FramePrompts, point: Point) -> Point:
    """Return the point that was set here: at exactly this position, or else on the same pixel."""
    points = clicks_of(said)
    if point in points:
        return point
    pixel = nearest_index(point[0]), nearest_index(point[1])
    near = [at for at in points if (nearest_index(at[0]), nearest_index(at[1])) == pixel]
    if len(near) == 1:
        return near[0]
    known = ", ".join(f"({y:g}, {x:g})" for y, x in points) or "none"
    raise PromptError(
        f"there {'are several points' if near else 'is no point'} at ({point[0]:g}, {point[1]:g}) "
        f"on frame {said.frame}; there are: {known}",
        remedy="give the exact position of one of them",
    )


def _rebuilt(
    said: FramePrompts, change: Callable[[Point, bool], tuple[Point, bool] | None]
) -> FramePrompts | None:
    """Return the prompts with every point changed or, for None, left out; steps that say nothing go with them."""
    steps = []
    for step in said.steps:
        changed = map(change, step.points, step.positives)
        kept = [item for item in changed if item is not None]
        points, positives = tuple(at for at, _ in kept), tuple(sign for _, sign in kept)
        if kept or step.box is not None or step.mask is not None:
            is_same = (points, positives) == (step.points, step.positives)
            steps.append(
                step if is_same else replace(step, points=points, positives=positives, candidate=0)
            )
    return _checked(replace(said, steps=tuple(steps))) if steps else None


def _checked(said: FramePrompts) -> FramePrompts:
    """Refuse what could not have been said from the start: a contradiction, or only what the object is not."""
    so_far: Clicks = {}
    for number, step in enumerate(said.steps):
        clicks = merge_clicks(so_far, zip(step.points, step.positives, strict=True))
        if len(clicks) < len(step.points):
            raise PromptError("there is a point already", remedy="remove one of the two")
        if number == 0 and clicks:
            check_positive(clicks, has_mask=said.refines is not None)
        so_far |= clicks
    return said


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
        if not is_whole(step.candidate) or step.candidate < 0:
            raise PromptError(
                f"candidates are counted from 0, got number {step.candidate!r}",
                remedy="take 0 for the model's own choice",
            )
        if step.mask is not None:
            said = with_mask(prompts.frame, check_mask(step.mask, shape, may_be_empty=True)[0])
        if step.box is not None:
            said = with_box(said, prompts.frame, check_box(step.box, shape)[0])
        if step.points:
            clicks = check_points(step.points, step.positives, shape)
            said = with_points(said, prompts.frame, clicks, refines)
        if step.candidate and said is not None:
            said = with_candidate(said, step.candidate)
    if said is None:
        raise PromptError(
            f"nothing was said about the object on frame {prompts.frame}",
            remedy="name a frame on which it was prompted",
        )
    return said


def _clicks(said: FramePrompts) -> Iterator[tuple[tuple[float, float], bool]]:
    for step in said.steps:
        yield from zip(step.points, step.positives, strict=True)
