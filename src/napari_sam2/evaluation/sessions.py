"""What an evaluation asks of a session, so that this package knows no network and no files.

``functools.partial(napari_sam2.Session, axis=0, model="nano")`` is an `OpenSession`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, Protocol

import numpy as np

Direction = Literal["both", "forward", "backward"]

Progress = Callable[[float], None]
"""Told how much of the work is done, 0 to 1."""

NamedProgress = Callable[[str, float], None]
"""Told what is worked on and how much of it is done, 0 to 1."""


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


class OpenWithLimits(Protocol):
    """Opens a session and may be told what becomes black and white."""

    def __call__(self, image: Any, *, limits: tuple[float, float] | None = None) -> TrackingSession:
        """Open a session on an image stack (T, Y, X), also on one that is made frame by frame."""


class StopWatch:
    """Wall time by the frame. The first answer of all is left out: it may have loaded the model."""

    def __init__(self) -> None:
        self.seconds, self.frames = 0.0, 0
        self._first: float | None = None

    @property
    def seconds_per_frame(self) -> float:
        """Mean over all frames but the first; that of the first if there is no other, and 0 without any."""
        return self.seconds / self.frames if self.frames else self._first or 0.0

    def drive(self, run: Run, progress: Progress | None = None) -> None:
        """Carry a propagation to its end. A frame that it passes in both directions counts once."""
        started, frames = time.perf_counter(), set()
        for done, tracked in enumerate(run, start=1):
            if self._first is None:
                self._first = time.perf_counter() - started
                started = time.perf_counter()
            else:
                frames.add(tracked.frame)
            if progress is not None:
                progress(done / run.total)
        self.seconds += time.perf_counter() - started
        self.frames += len(frames)

    def time(self, act: Callable[[], object]) -> None:
        """Do something that answers one frame."""
        started = time.perf_counter()
        act()
        taken = time.perf_counter() - started
        if self._first is None:
            self._first = taken
        else:
            self.seconds += taken
            self.frames += 1
