"""Autosave: a session is written two seconds after a change, and when its image is left; nobody waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_sam2.core.errors import NapariSam2Error
from napari_sam2.core.failures import as_ours
from napari_sam2.io.folders import sessions_folder
from napari_sam2.io.generations import is_previous, remove_previous
from napari_sam2.io.private_folders import private_folder
from napari_sam2.io.session_parts import remove_older_masks
from napari_sam2.plugin.saving import Key, Moment, Writer

if TYPE_CHECKING:
    from napari_sam2.plugin.binding import Binding
    from napari_sam2.plugin.settings import PluginSettings

logger = logging.getLogger(__name__)

DELAY = 2000
"""Milliseconds from the last change."""

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
        self._thread: threading.Thread | None = None
        self._error: NapariSam2Error | None = None
        self._is_dirty = self._has_told = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY)
        self._timer.timeout.connect(self._begin)
        binding.session.history_changed.connect(self._note)
        binding.session.frame_committed.connect(self._note, max_args=0)

    def _fresh_path(self) -> Path:
        stamp = datetime.now().strftime(_STAMP)
        return sessions_folder() / f"{self.key.name}-{self.key.digest}-{stamp}{ENDING}"

    @property
    def is_own(self) -> bool:
        """Whether it is saved among all others, and not where a person wants it."""
        return self.path == self._own

    def _note(self) -> None:
        self._is_dirty = True
        self._timer.start()

    def _begin(self) -> None:
        """Write what there is now, on a thread of its own; if the last time is not over yet, a little later."""
        if self._thread is not None and self._thread.is_alive():
            self._timer.start()
            return
        self._tell()
        moment, self._is_dirty = Moment.of(self._binding, self._settings()), False
        self._thread = threading.Thread(
            target=self._write, args=(moment,), name="napari-sam2 autosave", daemon=True
        )
        self._thread.start()
        QTimer.singleShot(DELAY // 2, self._look)

    def _look(self) -> None:
        """Say whether it worked, once it is over."""
        if self._thread is not None and self._thread.is_alive():
            QTimer.singleShot(DELAY // 2, self._look)
        else:
            self._tell()

    def _write(self, moment: Moment) -> None:
        """Write a moment; called on any thread, it tells nobody."""
        try:
            if moment.snapshot.is_empty:
                remove_session(self.path)
            else:
                if self.is_own:
                    private_folder(self.path.parent)
                self._writer.write(self.path, moment)
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

    def _tell(self) -> None:
        error = self._error
        if error is None:
            self._has_told = False
        elif not self._has_told:
            self._has_told = True
            self._failed(error)

    def flush(self) -> None:
        """Write at once what is not written yet, and wait for it."""
        self._timer.stop()
        if self._thread is not None:
            self._thread.join()
        if self._is_dirty:
            self._is_dirty = False
            self._write(Moment.of(self._binding, self._settings()))
        self._tell()

    def save_as(self, path: Path) -> None:
        """Write the session where a person wants it; from now on it is saved there, and no more among the others.

        Raises
        ------
        NapariSam2Error
            If it cannot be written there; everything is as it was.
        """
        self._timer.stop()
        if self._thread is not None:
            self._thread.join()
        self._writer.write(path, Moment.of(self._binding, self._settings()))
        self._is_dirty, self.path = False, path
        remove_session(self._own)

    def close(self) -> None:
        """Write what is not written yet, and stop."""
        session = self._binding.session
        session.history_changed.disconnect(self._note, missing_ok=True)
        session.frame_committed.disconnect(self._note, missing_ok=True)
        self.flush()

    def earlier(self) -> list[Path]:
        """Return the sessions of this image that were saved before this one began, newest first."""
        found = sessions_folder().glob(f"*-{self.key.digest}-*{ENDING}")
        sessions = [item for item in found if not is_previous(item)]
        return sorted((item for item in sessions if _stamp(item) < _stamp(self._own)), key=_stamp)[
            ::-1
        ]

    def _remove_old(self) -> None:
        if self.is_own:
            for path in self.earlier()[NUM_KEPT - 1 :]:
                remove_session(path)


def _stamp(path: Path) -> str:
    return path.name.removesuffix(ENDING)[-_NUM_STAMP:]


def remove_session(path: Path) -> None:
    """Remove a session that was saved by itself, with its masks; nothing happens if there is none."""
    if path.exists():
        path.unlink()
        remove_previous(path)
        remove_older_masks(path, None)


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
