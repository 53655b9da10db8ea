"""RunJournal: what runs find is on the disk before anybody sees it, and a disk that fails stops nobody."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2.core.errors import NapariSam2Error
from napari_sam2.core.failures import as_ours
from napari_sam2.core.run import Run
from napari_sam2.io.journal import Mark, SessionJournal, pack_frame

if TYPE_CHECKING:
    from napari_sam2.core.ids import ObjectId
    from napari_sam2.core.messages import FrameResult
    from napari_sam2.core.session import Session
    from napari_sam2.core.store import MaskRecord

logger = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that the first frame of a run waits for the session file that it adds to."""

MAX_WAITING = 64 << 20
"""Bytes of frames that wait for a disk which takes nothing; beyond it, the oldest are only in memory."""


class RunJournal:
    """Implements `core.run.Journal` for a session that is saved by itself.

    A frame that the disk does not take waits, and is tried again with the next one; it is in memory all the same.

    Parameters
    ----------
    path : Path
        The session file.
    """

    def __init__(self, path: Path) -> None:
        self._journal = SessionJournal(path)
        self._waiting: deque[bytes] = deque()
        self._num_bytes = 0
        self._lock = threading.Lock()
        self._is_based = threading.Event()
        self._is_based.set()
        self._run = self._first = 0
        self._keeping: frozenset[ObjectId] = frozenset()
        self._joining: tuple[int, ...] = ()
        self._is_closed = False
        self.error: NapariSam2Error | None = None

    # On the session's thread

    def begin(self, run: Run, session: Session) -> None:
        """Let a run begin; its frames wait until `base_written` says that the session file is there."""
        self._is_based.clear()
        objects = session.state.objects
        self._keeping = frozenset(
            key for key in run.standing if run.is_repair and key in objects and objects[key].tracks
        )
        self._joining = tuple(sorted(int(key) for key in run.standing if key not in self._keeping))
        self._run, self._first = run.number, self._next_key()

    def base_written(self) -> None:
        """Let the frames of the run come: the session file that they add to was written, or cannot be."""
        self._is_based.set()

    def mark(self, session: Session) -> Mark:
        """Return how far the session, as it is now, has what the journal has."""
        has_mapping = session.state.mapping is not None
        if session.run is None or session.run.number != self._run:
            return Mark(self._next_key(), 0, has_mapping)
        # All of the run is in the journal, so what is read is one run, whatever was saved of it meanwhile.
        standings = ((key, known.standing) for key, known in session.state.objects.items())
        member = next((int(key) for key, standing in standings if standing == self._run), 0)
        return Mark(self._first, self._run, has_mapping, self._joining, member)

    def _next_key(self) -> int:
        try:
            return self._journal.next_key
        except NapariSam2Error as error:
            self.error = error
            return 0

    # On any thread

    def write(self, run: Run, result: FrameResult, records: Sequence[MaskRecord]) -> None:
        """Write a frame; see `core.run.Journal`. What goes wrong is noted in `error`."""
        keeping = self._keeping if run.number == self._run else frozenset()
        content = pack_frame(run, result, records, keeping)
        if not self._is_based.wait(PATIENCE):
            logger.warning("the session file takes long to write; frames do not wait any more")
            self._is_based.set()
        with self._lock:
            if self._is_closed:
                return
            self._waiting.append(content)
            self._num_bytes += len(content)
            while self._num_bytes > MAX_WAITING:
                self._forget_oldest()
            self._write_waiting()

    def _write_waiting(self) -> None:
        try:
            while self._waiting:
                self._journal.append(self._waiting[0])
                self._forget_oldest()
            self.error = None
        except Exception as error:
            if self.error is None:
                logger.warning("frames cannot be written to the disk", exc_info=True)
            self.error = as_ours(error)

    def _forget_oldest(self) -> None:
        self._num_bytes -= len(self._waiting.popleft())

    def announce(self, sha256: str, mark: Mark) -> None:
        """Say which session file is about to be put in its place; one that cannot be said is written all the same."""
        with self._lock:
            try:
                self._journal.announce(sha256, mark)
            except NapariSam2Error as error:
                logger.info("the journal has no base", exc_info=True)
                self.error = error

    def settle(self, mark: Mark) -> None:
        """Forget what the session file has now."""
        with self._lock:
            if not mark.run:
                self._waiting.clear()
                self._num_bytes = 0
                self.error = None
            self._journal.settle(mark)

    def move_to(self, path: Path) -> None:
        """Go on beside another session file."""
        with self._lock:
            self._first += self._journal.move_to(path)

    def move_back(self, path: Path) -> None:
        """Go on where it was, after all; what goes wrong is noted in `error`."""
        try:
            self.move_to(path)
        except NapariSam2Error as error:
            self.error = error

    def close(self) -> None:
        """Take nothing more; the journal stays if there is something in it."""
        with self._lock:
            self._is_closed = True
            self._is_based.set()
            self._journal.close()
