"""What an evaluation asks of a session, so that this package knows no network and no files.

``functools.partial(napari_sam2.Session, axis=0, model="nano")`` is an `OpenSession`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol

import numpy as np

Direction = Literal["both", "forward", "backward"]

Progress = Callable[[float], None]
"""Told how much of the work is done, 0 to 1."""


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
    """A session on one stack; `napari_sam2.Session` is one."""

    def add_points(
        self, object: int, frame: int, points: list[tuple[int, int]], labels: list[int]
    ) -> object:
        """Click an object on a frame; 1 positive, 0 negative."""

    def add_box(self, object: int, frame: int, box: tuple[float, float, float, float]) -> object:
        """Draw a box (y0, x0, y1, x1) around an object on a frame."""

    def add_mask(self, object: int, frame: int, mask: np.ndarray) -> object:
        """Give the mask of an object on a frame."""

    def mask(self, object: int, frame: int) -> np.ndarray:
        """Return what is known of an object on a frame, (Y, X) bool."""

    def propagate(
        self,
        direction: Direction = "both",
        frames: tuple[int, int] | None = None,
        objects: Iterable[int] | None = None,
    ) -> Run:
        """Carry objects through the stack, or through the frames from the first to before the last."""

    @property
    def labels(self) -> np.ndarray:
        """Results, (T, Y, X); the label of an object is its id."""


OpenSession = Callable[[np.ndarray], TrackingSession]
"""Open a session on an image stack (T, Y, X) or (T, Y, X, 3)."""


class StopWatch:
    """Wall time by the frame. The first frame of a run is left out where there are others: it may load the model."""

    def __init__(self) -> None:
        self.seconds, self.frames = 0.0, 0

    @property
    def seconds_per_frame(self) -> float:
        """Mean over all frames so far, 0 without any."""
        return self.seconds / max(self.frames, 1)

    def drive(self, run: Run, progress: Progress | None = None) -> None:
        """Carry a propagation to its end."""
        started = first_done = time.perf_counter()
        frames: list[int] = []
        for done, tracked in enumerate(run, start=1):
            frames.append(tracked.frame)
            if done == 1:
                first_done = time.perf_counter()
            if progress is not None:
                progress(done / run.total)
        ended = time.perf_counter()
        others = set(frames[1:]) - set(frames[:1])
        self.seconds += ended - (first_done if others else started)
        self.frames += len(others) or len(set(frames))

    def time(self, act: Callable[[], object]) -> None:
        """Do something that answers one frame."""
        started = time.perf_counter()
        act()
        self.seconds += time.perf_counter() - started
        self.frames += 1
