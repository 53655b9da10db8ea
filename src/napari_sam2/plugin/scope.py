"""Scope: which objects and which frames a propagation is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_sam2.core.messages import Direction

ScopeObjects = Literal["changed", "active"]
ScopeFrames = Literal["all", "near", "range"]


@dataclass(frozen=True, slots=True)
class Scope:
    """What the propagate button is about.

    `objects`: all that have changed, or the active one; `frames`: all, `count` from the shown one on, or those from
    `first` to `last`, both included.
    """

    objects: ScopeObjects = "changed"
    frames: ScopeFrames = "all"
    count: int = 10
    first: int = 0
    last: int = 0

    def frames_asked(
        self, direction: Direction, here: int, num_frames: int
    ) -> tuple[int, int] | None:
        """Return (start, stop), or None for all frames.

        Parameters
        ----------
        direction : {"both", "forward", "backward"}
            `count` frames are meant each way.
        here : int
            The frame that is shown; it counts beside the others.
        num_frames : int
            Of the stack: nothing is asked for beyond its ends.
        """
        if self.frames == "all":
            return None
        if self.frames == "range":
            first, last = sorted((self.first, self.last))
            return min(first, num_frames - 1), min(last + 1, num_frames)
        before = 0 if direction == "forward" else self.count
        after = 0 if direction == "backward" else self.count
        return max(0, here - before), min(num_frames, here + after + 1)

    def in_words(self) -> str:
        """Return what is not usual about the scope, or nothing."""
        objects = "Active object" if self.objects == "active" else ""
        first, last = sorted((self.first, self.last))
        frames = {"all": "", "near": f"{self.count} frames", "range": f"frames {first} to {last}"}
        said = ", ".join(part for part in (objects, frames[self.frames]) if part)
        return said[:1].upper() + said[1:]


EVERYTHING = Scope()
"""All that has changed, on all frames."""
