"""Encoding ahead: what the worker does while nobody asks anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from napari_sam2.core.ids import FrameIndex
from napari_sam2.core.masks import Box
from napari_sam2.plugin.recipe import Recipe

CALM = 0.3
"""Seconds without a question or a move of the sliders before anything is done ahead."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Where a person is: the shown frame, and which way it was reached.

    `direction`: 1 for later frames, -1 for earlier ones; `box`: what the active object fills there, frame pixels.
    """

    recipe: Recipe
    frame: int
    direction: int = 1
    box: Box | None = None

    def jobs(self) -> Iterator[AheadJob]:
        """Yield what is to be done: the shown frame comes first, whatever must be forgotten for it."""
        yield AheadJob(self, FrameIndex(self.frame), self.box, may_forget=True)
        for frame in outward(self.frame, self.direction, len(self.recipe.frames)):
            yield AheadJob(self, FrameIndex(frame))


@dataclass(frozen=True, slots=True)
class AheadJob:
    """Prepare one frame; see `Segmenter.prepare`."""

    outlook: Outlook
    frame: FrameIndex
    box: Box | None = None
    may_forget: bool = False


def outward(frame: int, direction: int, num_frames: int) -> Iterator[int]:
    """Yield all other frames, those first that are likely to be seen next: two onward, one back, and so on."""
    onward = (frame + direction * distance for distance in range(1, num_frames))
    back = (frame - direction * distance for distance in range(1, num_frames))
    for near in onward:
        there = near, next(onward, -1), next(back, -1)
        yield from (other for other in there if 0 <= other < num_frames)
    yield from (other for other in back if 0 <= other < num_frames)


class IdleWork:
    """What is left to be done ahead. Has no lock of its own: the worker, which two threads use, holds one.

    Parameters
    ----------
    clock : callable
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._outlook: Outlook | None = None
        self._jobs: Iterator[AheadJob] = iter(())
        self._not_before = 0.0

    def turn_to(self, outlook: Outlook | None) -> None:
        """Begin anew from where a person is now; with None, do nothing any more."""
        self._outlook = outlook
        self._jobs = iter(()) if outlook is None else outlook.jobs()
        self.rest()

    def rest(self) -> None:
        """Wait a little before going on: somebody is at work."""
        self._not_before = self._clock() + CALM

    def end(self, outlook: Outlook) -> None:
        """Do no more for an outlook, unless a person has moved on already."""
        if self._outlook is outlook:
            self.turn_to(None)

    def pause(self, recipe: Recipe | None) -> float | None:
        """Return in how many seconds the model of a recipe has something to do, None if there is nothing."""
        if self._outlook is None or recipe != self._outlook.recipe:
            return None
        return max(0.0, self._not_before - self._clock())

    def next_job(self) -> AheadJob | None:
        """Return what to do now, None if all is done."""
        job = next(self._jobs, None)
        if job is None:
            self._outlook = None
        return job
