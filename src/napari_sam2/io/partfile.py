"""The unfinished part of a download: resumable, and never written by two processes."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from pathlib import Path
from types import TracebackType

STALE_AFTER = 120.0
"""Seconds without a write after which the process that wrote a part is taken for dead."""


class PartFile:
    """What has arrived of `target` so far, with its running SHA-256.

    It is written under a name of its own, so that two processes never share one, even where locks do not work.
    On leaving without `move_to` it gets the name ``target.part``, from which the next attempt takes it by renaming.
    """

    def __init__(self, target: Path) -> None:
        self._waiting = target.with_name(f"{target.name}.part")
        self._path = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
        self._take_over(target)
        self._file = self._path.open("a+b")
        self._file.seek(0)
        self._hash = hashlib.sha256()
        self.size = 0
        while chunk := self._file.read(1 << 20):
            self._count(chunk)

    def _take_over(self, target: Path) -> None:
        """Rename the largest part that nobody is writing to our name; remove the others."""
        for path in sorted(target.parent.glob(f"{target.name}*.part"), key=_size, reverse=True):
            try:
                if path != self._waiting and time.time() - path.stat().st_mtime < STALE_AFTER:
                    continue
                if self._path.exists():
                    path.unlink()
                else:
                    path.rename(self._path)
            except (
                FileNotFoundError,
                PermissionError,
            ):  # another process was faster, or has it open
                continue

    def _count(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.size += len(chunk)

    @property
    def sha256(self) -> str:
        """Hash of all that has arrived, hexadecimal."""
        return self._hash.hexdigest()

    def append(self, chunk: bytes) -> None:
        """Add what arrived next."""
        self._file.write(chunk)
        self._count(chunk)

    def restart(self) -> None:
        """Forget what has arrived."""
        self._file.truncate(0)
        self._hash = hashlib.sha256()
        self.size = 0

    def move_to(self, target: Path) -> None:
        """Give the finished file its name, in one step and only once it is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._path, target)

    def __enter__(self) -> PartFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
        finally:  # a full disk may fail the last flush
            if self._path.exists():
                self._let_go()

    def _let_go(self) -> None:
        if self._path.stat().st_size:
            os.replace(self._path, self._waiting)
        else:
            self._path.unlink()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
