"""ReferenceStack: an image stack with the masks that it is judged by."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

StackKind = Literal["time", "z"]
"""What the frames follow each other in: time, or depth."""


@dataclass(frozen=True, slots=True)
class ReferenceStack:
    """An image stack with its reference.

    Attributes
    ----------
    name : str
        What tables call it.
    image : ndarray of shape (T, Y, X) or (T, Y, X, 3)
        Frames, in their own data type.
    labels : ndarray of shape (T, Y, X), integer
        0 is background; an object keeps its id through all frames.
    kind : {"time", "z"}
        An object is prompted where it appears first in time, on its largest section in depth.
    group : str
        Stacks of one group are averaged.
    """

    name: str
    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    kind: StackKind = "time"
    group: str = ""

    @property
    def is_rgb(self) -> bool:
        """Whether the last axis of the image holds three colours."""
        return self.image.ndim == 4

    def limited(self, frames: int | None = None, objects: int | None = None) -> ReferenceStack:
        """Return at most `frames` frames, and of the objects on them the `objects` with the lowest ids.

        The frames are the first ones of a time-lapse and the middle ones of a z-stack.
        """
        chosen = self._few(len(self.labels) if frames is None else frames)
        image, labels = self.image[chosen], self.labels[chosen]
        if objects is not None:
            ids = np.unique(labels)
            labels = np.where(np.isin(labels, ids[ids > 0][:objects]), labels, 0)
        return replace(self, image=image, labels=labels)

    def _few(self, count: int) -> slice:
        start = 0 if self.kind == "time" else max(len(self.labels) - count, 0) // 2
        return slice(start, start + count)
