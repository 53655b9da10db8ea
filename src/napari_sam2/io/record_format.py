"""The format of files of records: how records stand in one, and how they are found again after damage.

After a header (magic, version, generation, checksum) stand records: a mark, key, length, checksum of the content,
checksum of these, and the content. Wherever bytes were damaged, reading goes on at the next mark whose record verifies,
so a flipped byte costs the record that it hits and no other; in the header it costs none.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from napari_sam2.core.errors import FileFormatError

VERSION = 2

MAX_RECORD = 256 << 20
"""Bytes of a record; a larger one is neither written nor read."""

GENERATION = 16
"""Bytes by which a file is known again."""

_MARK = b"\xf5S2\n"
FILE_HEAD = struct.Struct(f"<8sI{GENERATION}sI")  # magic, version, generation, CRC-32 of these
RECORD_HEAD = struct.Struct("<4sQIII")  # mark, key, length, CRC-32 of the content, CRC-32 of these
_STEP = 1 << 20


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
        self.end, self.num_damaged = FILE_HEAD.size, 0
        self._size = file.seek(0, os.SEEK_END)
        file.seek(0)
        self._head = file.read(FILE_HEAD.size)
        self.generation = self._known_generation()

    def _known_generation(self) -> bytes | None:
        if len(self._head) < FILE_HEAD.size:
            return None
        magic, version, generation, checksum = FILE_HEAD.unpack(self._head)
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
        found, offset = 0, FILE_HEAD.size
        while offset + RECORD_HEAD.size <= self._size:
            head = read_at(self._file, offset, RECORD_HEAD.size)
            key, place = placed(head, offset, self._size)
            if place is None:
                after = self._next_whole(offset + 1)
                if after is None:
                    break
                self.num_damaged += 1
                offset = after
                continue
            content = content_of(self._file, place)
            self.num_damaged += content is None
            found += content is not None
            self.end = offset = place.end
            yield key, place, content
        self._check_ours(found)

    def _next_whole(self, offset: int) -> int | None:
        """Return where the next record begins that verifies in all its parts."""
        while (offset := _find(self._file, _MARK, offset, self._size)) >= 0:
            head = read_at(self._file, offset, RECORD_HEAD.size)
            _, place = placed(head, offset, self._size)
            if place is not None and content_of(self._file, place) is not None:
                return offset
            offset += 1
        return None

    def _check_ours(self, found: int) -> None:
        """Refuse a file without a sound header, unless it has records or was not even begun."""
        if self.generation is not None:
            return
        if found:
            self.num_damaged += 1
        elif self._size <= _STEP and not any(read_at(self._file, 0, self._size)):
            return  # begun when the power went: the disk had made room for it, and written nothing
        elif len(self._head) == FILE_HEAD.size or not self._kind.magic.startswith(self._head[:8]):
            begun = header(self._kind, bytes(GENERATION))[:12]
            raise self._damaged() if self._head.startswith(begun[:8]) else self._foreign()

    def _foreign(self) -> FileFormatError:
        return FileFormatError(
            f"{self._path.name} is no {self._kind.name}",
            remedy="choose a file that this program wrote",
        )

    def _damaged(self) -> FileFormatError:
        return FileFormatError(
            f"{self._path.name}: the beginning of the file is damaged, and no record is left",
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
    head = FILE_HEAD.pack(kind.magic, VERSION, generation, 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(head))


def framed(key: int, content: bytes) -> bytes:
    """Return a record as it stands in a file."""
    head = RECORD_HEAD.pack(_MARK, key, len(content), zlib.crc32(content), 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(head)) + content


def placed(head: bytes, offset: int, size: int) -> tuple[int, Place | None]:
    """Return key and place of a record whose head stands at `offset`; no place if it is none, or not there whole."""
    if len(head) < RECORD_HEAD.size:
        return 0, None
    mark, key, length, checksum, own = RECORD_HEAD.unpack(head)
    place = Place(offset + RECORD_HEAD.size, length, checksum)
    is_whole = mark == _MARK and own == zlib.crc32(head[:-4])
    return key, place if is_whole and length <= MAX_RECORD and place.end <= size else None


def content_of(file: BinaryIO | FileIO, place: Place) -> bytes | None:
    """Return the bytes of a record; None if they are not those that were written."""
    content = read_at(file, place.offset, place.length)
    is_whole = len(content) == place.length and zlib.crc32(content) == place.checksum
    return content if is_whole else None


def read_at(file: BinaryIO | FileIO, offset: int, length: int) -> bytes:
    """Return so many bytes from `offset` on, or as many as there are; an unbuffered file may give them in parts."""
    file.seek(offset)
    parts = []
    while length and (part := file.read(length)):
        parts.append(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _find(file: BinaryIO | FileIO, mark: bytes, offset: int, size: int) -> int:
    """Return where `mark` stands next from `offset` on, -1 if nowhere."""
    while offset < size:
        part = read_at(file, offset, _STEP + len(mark) - 1)
        where = part.find(mark)
        if where >= 0:
            return offset + where
        offset += _STEP
    return -1
