"""ReadAhead: the next frame of a run is read while the current one is tracked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from napari_sam2.core.frames import ForwardedFrames, FrameSource


class ReadAhead(ForwardedFrames):
    """Implements `core.FrameSource` with another one, of which it reads one frame at a time.

    Within `run`, a frame that was announced by `expect` is read on a thread as soon as the one before it was read. At
    most one frame waits. If the one before is not read at all, because its embedding is known, the next one is not read
    either: most likely it is known, too.

    Parameters
    ----------
    frames : FrameSource
        Need not be safe to be used on two threads at once: all reads are under one lock.
    is_on : bool
        False: only the lock.
    """

    def __init__(self, frames: FrameSource, *, is_on: bool = True) -> None:
        super().__init__(frames)
        self._is_on = is_on
        self._lock = threading.Lock()
        self._is_running = False
        self._expected: tuple[int, int] | None = None  # a frame, and the one to be read after it
        self._ahead: _Reading | None = None

    def read(self, t: int) -> np.ndarray:
        """Return frame `t`, or raise what reading it raised."""
        ahead, expected = self._ahead, self._expected
        if ahead is not None and ahead.t == t:
            self._ahead = None
            frame = ahead.result()
        else:
            frame = self._read(t)
        if expected is not None and expected[0] == t:
            self._expected = None
            self._begin(expected[1])
        return frame

    def expect(self, t: int, following: int) -> None:
        """Announce that frame `t` will be read, and `following` after it."""
        self._expected = (t, following) if self._is_running and t != following else None

    @contextmanager
    def run(self) -> Iterator[None]:
        """Read ahead while the context is open; on leaving it, a reading that goes on is waited for and dropped."""
        self._is_running = self._is_on
        try:
            yield
        finally:
            self._is_running, self._expected = False, None
            self._drop()

    def _begin(self, t: int) -> None:
        self._drop()  # of another frame: the order was another one than announced
        self._ahead = _Reading(self._read, t)

    def _drop(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.join()

    def _read(self, t: int) -> np.ndarray:
        with self._lock:
            return self._frames.read(t)


class _Reading:
    """One frame that is read on a thread of its own: so there is none to be stopped between frames."""

    def __init__(self, read: Callable[[int], np.ndarray], t: int) -> None:
        self.t, self._read = t, read
        self._frame: np.ndarray | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"read frame {t}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._frame = self._read(self.t)
        except BaseException as error:  # noqa: BLE001  whoever asks for the frame gets it
            self._error = error

    def join(self) -> None:
        """Wait until the frame is there."""
        self._thread.join()

    def result(self) -> np.ndarray:
        """Return the frame once it is there, or raise what came instead."""
        self.join()
        if self._error is not None:
            raise self._error
        assert self._frame is not None
        return self._frame
