"""Files of records that are only appended to. A record that verifies is what was written; nothing else is.

After a header (magic, version, generation, checksum) stand records: a mark, key, length, checksum of the content,
checksum of these, and the content. A tail that was not written whole is cut off when the file is opened to be written.
Wherever bytes were damaged, reading goes on at the next mark whose record verifies, so a flipped byte costs the record
that it hits and no other; in the header it costs none.
"""

from __future__ import annotations

import io
import os
import secrets
import struct
import threading
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from napari_sam2.core.errors import FileFormatError
from napari_sam2.io.atomic import replacing
from napari_sam2.io.failures import storing

VERSION = 2

MAX_RECORD = 256 << 20
"""Bytes of a record; a larger one is neither written nor read."""

GENERATION = 16
"""Bytes by which a file is known again."""

_MARK = b"\xf5S2\n"
_FILE = struct.Struct(f"<8sI{GENERATION}sI")  # magic, version, generation, CRC-32 of these
_HEAD = struct.Struct("<4sQIII")  # mark, key, length, CRC-32 of the content, CRC-32 of these
_STEP = 1 << 20
_KEPT = "what was written before is kept"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file of records is for: its first eight bytes, and its name in messages."""

    magic: bytes
    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where the content of a record lies: byte `offset`, `length` in bytes, and its checksum."""

    offset: int
    length: int
    checksum: int

    @property
    def end(self) -> int:
        """Where the next record begins."""
        return self.offset + self.length


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
        self._file.truncate(self._end)

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
                f"{self.path}: a record of {len(content) >> 20} MiB is larger than {MAX_RECORD >> 20}"
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
            place = Place(start + _HEAD.size, len(content), 0)
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
        head = _read(self._file, offset - _HEAD.size, _HEAD.size)
        found, place = _placed(head, offset - _HEAD.size, self._end)
        return None if place is None or found != key else _content(self._file, place)

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
            finally:
                self._file.close()
                self._file = _opened(self.path)
            self._keys, self._offsets, self._end = keys, offsets, end

    def _copy_to(self, path: Path) -> tuple[array[int], array[int], int]:
        """Write what is in the index and verifies; damage never gets a checksum that fits it."""
        keys, offsets = array("Q"), array("Q")
        with path.open("wb") as file:
            file.write(header(self.kind, self.generation))
            for key, offset in zip(self._keys, self._offsets, strict=True):
                if (content := self._content_at(key, offset)) is not None:
                    keys.append(key)
                    offsets.append(file.tell() + _HEAD.size)
                    file.write(framed(key, content))
            return keys, offsets, file.tell()

    def __len__(self) -> int:
        return len(self._keys)

    def close(self) -> None:
        """Let go of the file."""
        self._is_closed = True
        self._file.close()


class Scan:
    """All records of a file as they stand, in order; nothing is written. Iterate it once.

    An item is a key, a place, and the content, None where it is damaged.

    Attributes
    ----------
    generation : bytes or None
        By which the file is known again; None if its header was not there whole, or is damaged.
    end : int
        Where the last whole record ends, in bytes; known in the end.
    num_damaged : int
        Damaged places so far.

    Raises
    ------
    FileFormatError
        If it is a file of another kind or version; while it is iterated, at the latest.
    """

    def __init__(self, file: BinaryIO | FileIO, path: Path, kind: Kind) -> None:
        self._file, self._path, self._kind = file, path, kind
        self.end, self.num_damaged = _FILE.size, 0
        self._size = file.seek(0, os.SEEK_END)
        file.seek(0)
        self._head = file.read(_FILE.size)
        self.generation = self._known_generation()

    def _known_generation(self) -> bytes | None:
        if len(self._head) < _FILE.size:
            return None
        magic, version, generation, checksum = _FILE.unpack(self._head)
        if checksum != zlib.crc32(self._head[:-4]):
            return None
        if magic != self._kind.magic:
            raise self._foreign()
        if version != VERSION:
            raise FileFormatError(
                f"{self._path} is a {self._kind.name} of version {version}, and this program reads "
                f"version {VERSION}",
                remedy="open it with the napari-sam2 that wrote it",
            )
        return bytes(generation)

    def __iter__(self) -> Iterator[tuple[int, Place, bytes | None]]:
        found, offset = 0, _FILE.size
        while offset + _HEAD.size <= self._size:
            head = _read(self._file, offset, _HEAD.size)
            key, place = _placed(head, offset, self._size)
            if place is None:
                after = self._next_whole(offset + 1)
                if after is None:
                    break
                self.num_damaged += 1
                offset = after
                continue
            content = _content(self._file, place)
            self.num_damaged += content is None
            found += content is not None
            self.end = offset = place.end
            yield key, place, content
        self._check_ours(found)

    def _next_whole(self, offset: int) -> int | None:
        """Return where the next record begins that verifies in all its parts."""
        while (offset := _find(self._file, _MARK, offset, self._size)) >= 0:
            head = _read(self._file, offset, _HEAD.size)
            _, place = _placed(head, offset, self._size)
            if place is not None and _content(self._file, place) is not None:
                return offset
            offset += 1
        return None

    def _check_ours(self, found: int) -> None:
        """Refuse a file without a sound header, unless it has records or was not even begun."""
        if self.generation is not None:
            return
        if found:
            self.num_damaged += 1
        elif len(self._head) == _FILE.size or not self._kind.magic.startswith(self._head[:8]):
            begun = header(self._kind, bytes(GENERATION))[:12]
            raise self._damaged() if self._head.startswith(begun[:8]) else self._foreign()

    def _foreign(self) -> FileFormatError:
        return FileFormatError(f"{self._path} is no {self._kind.name}")

    def _damaged(self) -> FileFormatError:
        return FileFormatError(
            f"{self._path}: the beginning of the file is damaged, and no record is left",
            remedy="track the objects again",
        )


def read_records(path: Path, kind: Kind) -> tuple[bytes | None, list[tuple[int, bytes]], int]:
    """Return generation, records that verify, and number of damaged places; the file is only read.

    Raises
    ------
    FileFormatError
        If it is of another kind or version.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        scan = Scan(file, path, kind)
        records = [(key, content) for key, _, content in scan if content is not None]
    return scan.generation, records, scan.num_damaged


# Bytes


def header(kind: Kind, generation: bytes) -> bytes:
    """Return the first bytes of a file."""
    head = _FILE.pack(kind.magic, VERSION, generation, 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(head))


def framed(key: int, content: bytes) -> bytes:
    """Return a record as it stands in a file."""
    head = _HEAD.pack(_MARK, key, len(content), zlib.crc32(content), 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(head)) + content


def _placed(head: bytes, offset: int, size: int) -> tuple[int, Place | None]:
    """Return key and place of a record whose head stands at `offset`; no place if it is none, or not there whole."""
    if len(head) < _HEAD.size:
        return 0, None
    mark, key, length, checksum, own = _HEAD.unpack(head)
    place = Place(offset + _HEAD.size, length, checksum)
    is_whole = mark == _MARK and own == zlib.crc32(head[:-4])
    return key, place if is_whole and length <= MAX_RECORD and place.end <= size else None


def _content(file: BinaryIO | FileIO, place: Place) -> bytes | None:
    """Return the bytes of a record; None if they are not those that were written."""
    content = _read(file, place.offset, place.length)
    is_whole = len(content) == place.length and zlib.crc32(content) == place.checksum
    return content if is_whole else None


def _read(file: BinaryIO | FileIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    parts = []
    while length and (part := file.read(length)):
        parts.append(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _find(file: BinaryIO | FileIO, mark: bytes, offset: int, size: int) -> int:
    """Return where `mark` stands next from `offset` on, -1 if nowhere."""
    while offset < size:
        part = _read(file, offset, _STEP + len(mark) - 1)
        where = part.find(mark)
        if where >= 0:
            return offset + where
        offset += _STEP
    return -1


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
