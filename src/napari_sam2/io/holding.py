"""Hold: a session file is worked on by one program at a time, and whoever comes second is told by which.

The lock lies beside the session file and says host, process and when both began. The system lets go of it when the
program dies; where it knows no locks (some network shares), what the file says decides. A lock that nobody holds is
stale: its program ended without closing the session.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from napari_sam2.core.errors import HeldError
from napari_sam2.io.failures import storing
from napari_sam2.io.locks import try_lock
from napari_sam2.io.owners import Owner

SUFFIX = ".lock"
_MAX_BYTES = 4096
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Holder:
    """Who works, or worked, on a file. `since`: seconds since 1970."""

    owner: Owner
    since: float

    def __str__(self) -> str:
        return f"{self.owner}, since {datetime.fromtimestamp(self.since):%Y-%m-%d %H:%M}"


def lock_of(path: Path) -> Path:
    """Return where the lock of a file lies."""
    return path.with_name(f"{path.name.removesuffix('.json')}{SUFFIX}")


class Hold:
    """A file that this program works on; let go of it with `release`, or by dying.

    Parameters
    ----------
    path : Path
        The file; its folder must be there.

    Attributes
    ----------
    left_by : Holder or None
        A program that held the file before, and ended without letting go.

    Raises
    ------
    HeldError
        If another program works on it.
    StorageError
        If the lock cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._lock = lock_of(path)
        with storing(self._lock, "nothing was changed"):
            self._file = _locked(self._lock, path)
            try:
                self.left_by = _holder_in(self._lock)
                if self.left_by is not None and not _is_stale(self.left_by):
                    raise _held(path, self._lock, self.left_by)
                self._sign()
            except BaseException:
                self._file.close()
                raise

    def _sign(self) -> None:
        content = json.dumps({**asdict(Owner.me()), "since": time.time()}).encode("utf-8")
        self._file.seek(0)
        self._file.truncate()
        self._file.write(content)
        self._file.flush()

    def release(self) -> None:
        """Let others work on the file."""
        if self._file.closed:
            return
        # Removed while it is still locked: whoever opened it meanwhile sees that it has its name no more.
        with suppress(OSError):
            self._lock.unlink(missing_ok=True)
        if self._lock.exists():  # a system that removes no open file: an empty lock says nothing
            with suppress(OSError):
                self._file.truncate(0)
        self._file.close()


def holder_of(path: Path) -> Holder | None:
    """Return the program that works on a file now; None if there is none."""
    lock = lock_of(path)
    holder = _holder_in(lock)
    if holder is None:
        return None
    with suppress(OSError), lock.open("r+b") as file:
        if not try_lock(file):
            return holder
    return None if _is_stale(holder) else holder


def left_by(path: Path) -> Holder | None:
    """Return the program that worked on a file and ended without closing it; None if there is none."""
    holder = _holder_in(lock_of(path))
    return None if holder is None or holder_of(path) is not None else holder


def _locked(lock: Path, path: Path) -> BinaryIO:
    while True:
        file = lock.open("a+b")
        try:
            if not _lock_soon(file):
                raise _held(path, lock, _holder_in(lock))
            if _is_named(file, lock):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _lock_soon(file: BinaryIO) -> bool:
    """Lock a file; somebody who only looks whether it is held locks it for a moment, too."""
    for _ in range(_TRIES):
        if try_lock(file):
            return True
        time.sleep(0.02)
    return False


def _is_named(file: BinaryIO, lock: Path) -> bool:
    """Say whether an open file still has its name: the one who held it may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except FileNotFoundError:
        return False


def _holder_in(lock: Path) -> Holder | None:
    """Return who signed a lock; None if it is not there, or not (yet) signed."""
    try:
        with lock.open("rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
        owner = Owner(str(content["host"]), int(content["pid"]), float(content["started"]))
        return Holder(owner, float(content["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_stale(holder: Holder) -> bool:
    return holder.owner == Owner.me() or holder.owner.is_gone


def _held(path: Path, lock: Path, holder: Holder | None) -> HeldError:
    return HeldError(
        f"{path.name} is being worked on by {holder or 'another program'}",
        remedy=f"save under another name; if that program is gone for good, remove {lock.name}",
    )
