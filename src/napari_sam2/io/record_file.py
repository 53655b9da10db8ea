"""Files of records that are only appended to. A record that verifies is what was written; nothing else is.

A tail that was not written whole is cut off when the file is opened; `record_format.py` has the rest.
"""

from __future__ import annotations

import io
import os
import secrets
import threading
from array import array
from bisect import bisect_left
from collections.abc import Container
from contextlib import suppress
from io import FileIO
from pathlib import Path

from napari_sam2.core.errors import FileFormatError
from napari_sam2.io.atomic import replacing, sync_folder
from napari_sam2.io.failures import in_mib, storing
from napari_sam2.io.record_format import (
    GENERATION,
    MAX_RECORD,
    RECORD_HEAD,
    Kind,
    Place,
    Scan,
    content_of,
    framed,
    header,
    placed,
    read_at,
)

_KEPT = "what was written before is kept"


class RecordFile:
    """A file of records, open to be appended to; keys count from 0, and are the same when it is opened again.

    Any thread may append and read. One process at a time.

    Parameters
    ----------
    path : Path
        The file; it is made if there is none.
    kind : Kind
        What it is for.
    durable : bool
        Whether `append` returns only when the record would survive a loss of power; else, one of the program.

    Attributes
    ----------
    num_damaged : int
        Places in which the file was found damaged when it was opened.

    Raises
    ------
    FileFormatError
        If the file is of another kind or version.
    StorageError
        If it cannot be opened or made.
    """

    def __init__(self, path: Path, kind: Kind, *, durable: bool = False) -> None:
        self.path, self.kind, self.is_durable = path, kind, durable
        self._lock = threading.Lock()
        self._keys, self._offsets = array("Q"), array("Q")
        self._next = self.num_damaged = 0
        self._is_closed = False
        with storing(path, "nothing was changed"):
            self._file = _opened(path)
            try:
                self._look_through()
            except BaseException:
                self._file.close()
                raise

    def _look_through(self) -> None:
        """Note where the records are, begin a file that was not begun, and cut a torn tail off."""
        scan = Scan(self._file, self.path, self.kind)
        for key, place, content in scan:
            if content is not None and key >= self._next:
                self._note(key, place)
            self._next = max(self._next, key + 1)
        self.num_damaged, self._end = scan.num_damaged, scan.end
        self.generation = scan.generation or secrets.token_bytes(GENERATION)
        if scan.generation is None:
            self._file.seek(0)
            _write(self._file, header(self.kind, self.generation))
            os.fsync(self._file.fileno())
        self._file.truncate(self._end)
        if self.is_durable:
            sync_folder(self.path.parent)

    def _note(self, key: int, place: Place) -> None:
        # Arrays, because a long run has hundreds of thousands of records; keys only grow.
        self._keys.append(key)
        self._offsets.append(place.offset)

    @property
    def next_key(self) -> int:
        """The key of the record that is appended next."""
        return self._next

    def skip_to(self, key: int) -> None:
        """Give the next record this key, if it is not lower than it would be."""
        self._next = max(self._next, key)

    def append(self, content: bytes) -> int:
        """Write a record and return its key; if that fails, the file is as it was."""
        if len(content) > MAX_RECORD:
            raise FileFormatError(
                f"{self.path.name}: a record of {in_mib(len(content))} is larger than {in_mib(MAX_RECORD)}",
                kept="what was written before is as it was",
                remedy="divide the object, or crop the stack",
            )
        with self._lock, storing(self.path, _KEPT, len(content)):
            key, start = self._next, self._end
            self._reopen()
            try:
                self._file.seek(start)
                _write(self._file, framed(key, content))
                if self.is_durable:
                    os.fsync(self._file.fileno())
            except BaseException:
                # Should this fail as well, the next record is written over what is left, or opening cuts it off.
                with suppress(OSError):
                    self._file.truncate(start)
                raise
            place = Place(start + RECORD_HEAD.size, len(content), 0)
            self._note(key, place)
            self._end, self._next = place.end, key + 1
            return key

    def _reopen(self) -> None:
        """Open the file again, should that have failed when it was compacted."""
        if self._file.closed and not self._is_closed:
            self._file = _opened(self.path)

    def sync(self) -> None:
        """Return when what was appended so far would survive a loss of power."""
        with self._lock, storing(self.path, _KEPT):
            self._reopen()
            os.fsync(self._file.fileno())

    def get(self, key: int) -> bytes | None:
        """Return the content of a record, None if it is damaged; `IndexError` if there is none."""
        with self._lock:
            at = bisect_left(self._keys, key)
            if at == len(self._keys) or self._keys[at] != key:
                raise IndexError(f"there is no record {key}; they count from 0")
            with storing(self.path, _KEPT):
                self._reopen()
                return self._content_at(key, self._offsets[at])

    def _content_at(self, key: int, offset: int) -> bytes | None:
        head = read_at(self._file, offset - RECORD_HEAD.size, RECORD_HEAD.size)
        found, place = placed(head, offset - RECORD_HEAD.size, self._end)
        return None if place is None or found != key else content_of(self._file, place)

    def keys(self) -> list[int]:
        """Return the keys of all records, oldest first."""
        with self._lock:
            return self._keys.tolist()

    def discard(self, kept: Container[int]) -> None:
        """Forget the records of all other keys; `compact` gives their room back."""
        with self._lock:
            pairs = zip(self._keys, self._offsets, strict=True)
            left = [(key, offset) for key, offset in pairs if key in kept]
            self._keys = array("Q", [key for key, _ in left])
            self._offsets = array("Q", [offset for _, offset in left])

    def compact(self) -> None:
        """Leave out of the file what was forgotten or damaged; it is replaced whole or not at all."""
        with self._lock, storing(self.path, "everything is as it was"):
            self._reopen()
            try:
                with replacing(self.path) as temporary:
                    keys, offsets, end = self._copy_to(temporary)
                    self._file.close()  # where an open file cannot be replaced
                # Before it is opened, which may fail: it is another file already.
                self._keys, self._offsets, self._end = keys, offsets, end
            finally:
                self._file.close()
                self._file = _opened(self.path)

    def _copy_to(self, path: Path) -> tuple[array[int], array[int], int]:
        """Write what is in the index and verifies; damage never gets a checksum that fits it."""
        keys, offsets = array("Q"), array("Q")
        with path.open("wb") as file:
            file.write(header(self.kind, self.generation))
            for key, offset in zip(self._keys, self._offsets, strict=True):
                if (content := self._content_at(key, offset)) is not None:
                    keys.append(key)
                    offsets.append(file.tell() + RECORD_HEAD.size)
                    file.write(framed(key, content))
            return keys, offsets, file.tell()

    def __len__(self) -> int:
        return len(self._keys)

    def close(self) -> None:
        """Let go of the file."""
        self._is_closed = True
        self._file.close()


def _opened(path: Path) -> FileIO:
    with suppress(FileExistsError):
        path.open("xb").close()
    # Unbuffered, so that nothing waits to be written when that failed.
    file = path.open("r+b", buffering=0)
    assert isinstance(file, io.FileIO)
    return file


def _write(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
