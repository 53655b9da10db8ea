"""Encoded frames kept on disk: a second pass, another object or tomorrow's session need not encode them again."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_sam2.core.errors import FileFormatError
from napari_sam2.io.embedding_file import Arrays, from_bytes, to_parts

logger = logging.getLogger(__name__)

STALE_AFTER = 600.0
"""Seconds without a write after which the process that wrote a temporary file is taken for dead."""

MAX_FILE = 1 << 30
"""Bytes; a larger file is none of ours and is not read."""

_SHRUNK_TO = 0.9
"""Part of the quota that is left when it was exceeded, so that not every further file is a reason to look again."""

_LOOK_AGAIN = 0.1
"""Part of the quota after which the folder is listed again: other processes write to it, too."""

_NAME = re.compile(r"[0-9a-f]{40}\.emb")
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the cache. `size`: bytes; `used`: when it was last written or read, seconds since the epoch."""

    path: Path
    size: int
    used: float


class DiskEmbeddings:
    """Implements `core.EmbeddingStore` with a folder of one file an embedding.

    A file appears whole, by renaming, and goes by one unlink, so several processes may use the folder at once. What
    does not verify is a miss, and is removed. What goes wrong in writing ends the writing, and in reading the reading,
    for this process, with one warning: no run depends on it.

    Parameters
    ----------
    folder : Path
        Made with access for its owner only. One that others may write to is not used: whoever can put embeddings there
        can change masks.
    quota_bytes : int
        What was not used for longest is removed beyond that.
    """

    def __init__(self, folder: Path, quota_bytes: int) -> None:
        self.folder, self.quota = folder, quota_bytes
        self._lock = threading.Lock()
        self._reads = self._writes = True
        self._total: int | None = None  # None: never counted
        self._uncounted = 0  # bytes written since the folder was listed

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """Return what was kept under `key`, if it is there and whole; see `core.EmbeddingStore`."""
        if not self._reads or not self._is_usable():
            return None
        path = self._path(key)
        try:
            found = from_bytes(_read(path), key)
        except FileNotFoundError:
            return None
        except FileFormatError as error:
            logger.warning("%s is not used and removed: %s", path, error.what)
            self._remove(path)
        except OSError as error:
            self._reads = self._writes = False
            self._give_up("read", error)
        else:
            with suppress(OSError):  # evicted meanwhile, or on a disk that may only be read
                os.utime(path)
            return found
        return None

    def put(self, key: str, arrays: Arrays) -> None:
        """Keep `arrays`, as long as that works; see `core.EmbeddingStore`."""
        if not self._writes or not self._is_usable(is_made=True):
            return
        try:
            size = self._write(self._path(key), key, arrays)
            with self._lock:
                self._count(size)
        except OSError as error:
            self._writes = False
            self._give_up("write", error)

    def entries(self) -> list[Entry]:
        """Return what is there, least recently used first; nothing if there is no such folder."""
        return sorted(_entries(self.folder), key=lambda entry: (entry.used, entry.path.name))

    def clear(self) -> list[Entry]:
        """Remove every embedding, and what dead processes left; return those that were there.

        Other files in the folder stay. `OSError` if one cannot be removed.
        """
        self._sweep()
        found = self.entries()
        for entry in found:
            entry.path.unlink(missing_ok=True)
        with self._lock:
            self._total = None
        return found

    # Files

    def _path(self, key: str) -> Path:
        name = hashlib.blake2b(key.encode(), digest_size=20).hexdigest()
        return self.folder / f"{name}.emb"

    def _write(self, path: Path, key: str, arrays: Arrays) -> int:
        """Write a file of its own and rename it; without fsync, as a file torn by a power cut does not verify."""
        temporary = self.folder / f".{secrets.token_hex(8)}.tmp"
        try:
            with temporary.open("xb") as file:
                for part in to_parts(key, arrays):
                    file.write(part)
                size = file.tell()
            os.replace(temporary, path)
        except BaseException:
            self._remove(temporary)
            raise
        return size

    def _remove(self, path: Path) -> bool:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            logger.info("%s cannot be removed: %s", path, error)
            return False
        return True

    # Quota

    def _count(self, size: int) -> None:
        """Add a file to the total; look at the folder when it may be too full."""
        if self._total is not None:
            self._total += size
            self._uncounted += size
        is_due = self._uncounted > self.quota * _LOOK_AGAIN
        if self._total is None or self._total > self.quota or is_due:
            self._total, self._uncounted = self._shrink(), 0

    def _shrink(self) -> int:
        """Remove litter, and what was not used for longest if the quota is exceeded; return what is left, bytes."""
        self._sweep()
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        if total <= self.quota:
            return total
        for entry in entries[:-1]:  # what was written just now stays, even if it alone is too large
            if self._remove(entry.path):
                total -= entry.size
            if total <= self.quota * _SHRUNK_TO:
                break
        return total

    def _sweep(self) -> None:
        for entry in _entries(self.folder, _TEMPORARY):
            if time.time() - entry.used > STALE_AFTER:
                self._remove(entry.path)

    # Trouble

    def _is_usable(self, *, is_made: bool = False) -> bool:
        """Say whether the folder is there and ours alone; make it if `is_made`. Asked each time: it may change."""
        try:
            if is_made:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            problem: object = problem_of(self.folder)
        except FileNotFoundError:
            return False
        except OSError as error:
            problem = error
        if problem is not None:
            self._reads = self._writes = False
            self._give_up("use", problem)
        return problem is None

    def _give_up(self, action: str, reason: object) -> None:
        logger.warning(
            "encoded frames are not kept any more, since I cannot %s %s: %s; everything else goes on",
            action,
            self.folder,
            reason,
        )


def problem_of(folder: Path) -> str | None:
    """Return why a folder may not hold embeddings, None if it may; `OSError` if it cannot be looked at."""
    facts = folder.stat()
    if not stat.S_ISDIR(facts.st_mode):
        return "it is no folder"
    if os.name == "nt":  # rights are not in the mode there; a profile is its owner's
        return None
    if facts.st_uid != os.getuid():
        return "it belongs to somebody else"
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write to it (chmod 700 makes it yours alone)"
    return None


def _read(path: Path) -> np.ndarray:
    """Return the bytes of a file, (size,) uint8, following no link."""
    flags = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"))
    try:
        descriptor = os.open(path, os.O_RDONLY | sum(flags))
    except OSError:
        if path.is_symlink():
            raise FileFormatError("it is a link") from None
        raise
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_FILE:
            raise FileFormatError("it is no file of this cache")
        content = np.empty(facts.st_size, np.uint8)
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            filled = 0
            while filled < len(content) and (count := file.readinto(content[filled:].data)):
                filled += count
        return content[:filled]
    finally:
        os.close(descriptor)


def _entries(folder: Path, name: re.Pattern[str] = _NAME) -> Iterator[Entry]:
    try:
        listed = os.scandir(folder)
    except FileNotFoundError:
        return
    with listed:
        for item in listed:
            if name.fullmatch(item.name):
                try:
                    facts = item.stat(follow_symlinks=False)
                except FileNotFoundError:  # another process removed it
                    continue
                yield Entry(Path(item.path), facts.st_size, facts.st_mtime)
