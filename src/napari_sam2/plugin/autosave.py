"""Autosave: a session is written two seconds after a change, and when its image is left; nobody waits for it.

What a run finds is in the journal beside it, frame by frame, before it is shown (`journaling.py`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_sam2.core.errors import NapariSam2Error
from napari_sam2.core.failures import as_ours
from napari_sam2.io.atomic import sweep
from napari_sam2.io.autosaved import remove_session
from napari_sam2.io.failures import storing
from napari_sam2.io.folders import sessions_folder
from napari_sam2.io.generations import is_previous
from napari_sam2.io.holding import Hold, holder_of
from napari_sam2.io.private_folders import private_folder
from napari_sam2.plugin.journaling import RunJournal
from napari_sam2.plugin.saving import Key, Moment, Writer

if TYPE_CHECKING:
    from napari_sam2.core.run import Run
    from napari_sam2.core.session import Session
    from napari_sam2.plugin.binding import Binding
    from napari_sam2.plugin.settings import PluginSettings

logger = logging.getLogger(__name__)

DELAY = 2000
"""Milliseconds from the last change."""

RETRY = 20_000
"""Milliseconds until it is tried again what failed."""

NUM_KEPT = 3
"""Sessions of one image that are kept; older ones are removed."""

ENDING = ".sam2.json"

_STAMP = "%Y%m%d-%H%M%S-%f"
_NUM_STAMP = 22  # letters of a stamp


class Autosave:
    """Saves the session of one image by itself.

    Parameters
    ----------
    binding : Binding
        The image.
    settings : callable
        Returns the settings of the dock.
    failed : callable
        Told once, on the main thread, that saving does not work; and again after it did.
    path : Path, optional
        Where the session was saved before, if this is not the first time that its image is chosen.
    """

    def __init__(
        self,
        binding: Binding,
        settings: Callable[[], PluginSettings],
        failed: Callable[[NapariSam2Error], None],
        path: Path | None = None,
    ) -> None:
        self._binding, self._settings, self._failed = binding, settings, failed
        self._writer = Writer(binding.image, binding.frames)
        self.key = Key.of(binding.image)
        self.path = path or self._fresh_path()
        self._own = self.path if self.path.parent == sessions_folder() else self._fresh_path()
        self._hold: Hold | None = None
        self._journal = RunJournal(self.path)
        self._thread: threading.Thread | None = None
        self._error: NapariSam2Error | None = None
        self._is_dirty = self._has_told = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._begin)
        self._follow(binding.session)

    def _follow(self, session: Session) -> None:
        session.journal = self._journal
        session.history_changed.connect(self._note)
        session.frame_committed.connect(self._note_frame, max_args=0)
        session.run_started.connect(self._on_run)
        session.run_finished.connect(self._note, max_args=0)

    def _fresh_path(self) -> Path:
        stamp = datetime.now().strftime(_STAMP)
        return sessions_folder() / f"{self.key.name}-{self.key.digest}-{stamp}{ENDING}"

    @property
    def is_own(self) -> bool:
        """Whether it is saved among all others, and not where a person wants it."""
        return self.path == self._own

    @property
    def error(self) -> NapariSam2Error | None:
        """Why the session, or what a run finds, is not on the disk now; None if it is."""
        return self._error or self._journal.error

    # Qt may be gone before us when the program ends: then closing writes what is left.

    def _wait(self, milliseconds: int) -> None:
        with suppress(RuntimeError):
            self._timer.start(milliseconds)

    def _wait_no_more(self) -> None:
        with suppress(RuntimeError):
            self._timer.stop()

    @property
    def _is_waiting(self) -> bool:
        try:
            return bool(self._timer.isActive())
        except RuntimeError:
            return True

    def _note(self) -> None:
        self._is_dirty = True
        self._wait(DELAY)

    def _note_frame(self) -> None:
        """Write no masks again for a frame of a run: it is in the journal already."""
        if self._binding.session.run is None or self._journal.error is not None:
            self._tell()
            if not self._is_waiting:
                self._note()
        self._is_dirty = True

    def _on_run(self, run: Run) -> None:
        """Write what was said so far at once: the frames of the run add to it."""
        self._journal.begin(run, self._binding.session)
        self._wait_no_more()
        try:
            self._start(self._thread)
        except BaseException:
            self._journal.base_written()
            raise

    def _begin(self) -> None:
        """Write what there is now, on a thread of its own; if the last time is not over yet, a little later."""
        if self._thread is not None and self._thread.is_alive():
            self._wait(DELAY)
        else:
            self._tell()
            self._start(None)

    def _start(self, earlier: threading.Thread | None) -> None:
        moment, self._is_dirty = self._moment(), False
        self._thread = threading.Thread(
            target=self._write_after,
            args=(earlier, moment),
            name="napari-sam2 autosave",
            daemon=True,
        )
        self._thread.start()
        QTimer.singleShot(DELAY // 2, self._look)

    def _moment(self) -> Moment:
        mark = self._journal.mark(self._binding.session)
        return Moment.of(self._binding, self._settings(), mark)

    def _write_after(self, earlier: threading.Thread | None, moment: Moment) -> None:
        if earlier is not None:
            earlier.join()
        try:
            self._write(moment)
        finally:
            self._journal.base_written()

    def _look(self) -> None:
        """Say whether it worked, once it is over."""
        if self._thread is not None and self._thread.is_alive():
            QTimer.singleShot(DELAY // 2, self._look)
        else:
            self._tell()

    def _write(self, moment: Moment) -> None:
        """Write a moment; called on any thread, it tells nobody."""
        try:
            if moment.snapshot.is_empty and not moment.mark.run:
                self._let_go()
                remove_session(self.path)
            else:
                if self.is_own:
                    private_folder(self.path.parent)
                self._write_to(self.path, moment)
                self._remove_old()
            self._error = None
        except LookupError:  # masks were forgotten meanwhile: a change, so the next time comes
            logger.debug("the session changed while it was saved", exc_info=True)
            self._is_dirty = True
        except NapariSam2Error as error:
            self._error = error
        except Exception as error:
            logger.exception("the session could not be saved by itself")
            self._error = as_ours(error)

    def _write_to(self, path: Path, moment: Moment) -> None:
        with storing(path, "an earlier file was left as it was"):
            path.parent.mkdir(parents=True, exist_ok=True)
        if self._hold is None:
            self._hold = Hold(path)
        self._writer.write(path, moment, lambda sha256: self._journal.announce(sha256, moment.mark))
        self._journal.settle(moment.mark)

    def _let_go(self) -> None:
        """Hold the file no more."""
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.release()

    def _tell(self) -> None:
        """Say once that saving does not work, and try it again after a while."""
        error = self.error
        if error is None:
            self._has_told = False
            return
        self._is_dirty = True
        if not self._is_waiting:
            self._wait(RETRY)
        if not self._has_told:
            self._has_told = True
            self._failed(error)

    def flush(self) -> None:
        """Write at once what is not written yet, and wait for it."""
        self._wait_no_more()
        if self._thread is not None:
            self._thread.join()
        if self._is_dirty:
            self._is_dirty = False
            self._write(self._moment())
        self._tell()

    def save_as(self, path: Path) -> None:
        """Write the session where a person wants it; from now on it is saved there, and no more among the others.

        Raises
        ------
        NapariSam2Error
            If it cannot be written there, or another program works on that file; everything is as it was.
        """
        self._wait_no_more()
        if self._thread is not None:
            self._thread.join()
        before, path = self._hold, path.expanduser().absolute()
        if path != self.path:
            self._hold = Hold(path)
        try:
            self._write_elsewhere(path)
        except BaseException:
            if self._hold is not before:
                self._let_go()
                self._hold = before
            if self._is_dirty:
                self._wait(DELAY)
            raise
        if self._hold is not before and before is not None:
            before.release()
        self._is_dirty, self._error, self.path = False, None, path
        if path != self._own:
            with suppress(OSError):  # it may lie on the very disk that takes nothing any more
                remove_session(self._own)

    def _write_elsewhere(self, path: Path) -> None:
        if path != self.path:
            self._journal.move_to(path)
        try:
            self._write_to(path, self._moment())
        except BaseException:
            if path != self.path:
                self._journal.move_back(self.path)
            raise

    def close(self) -> None:
        """Write what is not written yet, and stop."""
        session = self._binding.session
        session.journal = None
        for signal, slot in (
            (session.history_changed, self._note),
            (session.frame_committed, self._note_frame),
            (session.run_started, self._on_run),
            (session.run_finished, self._note),
        ):
            signal.disconnect(slot, missing_ok=True)
        self.flush()
        self._wait_no_more()
        self._journal.close()
        self._let_go()

    def earlier(self) -> list[Path]:
        """Return the sessions of this image that were saved before this one began, newest first.

        Those that another program works on are none of our business.
        """
        found = sessions_folder().glob(f"*-{self.key.digest}-*{ENDING}")
        sessions = (item for item in found if not is_previous(item))
        before = (item for item in sessions if _stamp(item) < _stamp(self._own))
        return sorted((item for item in before if holder_of(item) is None), key=_stamp)[::-1]

    def _remove_old(self) -> None:
        if self.is_own:
            for path in self.earlier()[NUM_KEPT - 1 :]:
                remove_session(path)


def sweep_sessions() -> None:
    """Remove what programs that died left unfinished among the sessions."""
    sweep(sessions_folder())


def _stamp(path: Path) -> str:
    return path.name.removesuffix(ENDING)[-_NUM_STAMP:]


def moment_of(path: Path) -> datetime:
    """Return when a session was last saved."""
    return datetime.fromtimestamp(path.stat().st_mtime)


def in_words(then: datetime, now: datetime) -> str:
    """Return a moment as people say it: "today 14:02", "yesterday 14:02", or with the date."""
    clock = f"{then:%H:%M}"
    if then.date() == now.date():
        return f"today {clock}"
    if then.date() == (now - timedelta(days=1)).date():
        return f"yesterday {clock}"
    return f"{then:%Y-%m-%d} {clock}"
