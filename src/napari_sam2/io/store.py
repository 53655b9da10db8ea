"""MaskStore on disk: a file that is only appended to. A record that verifies proves its frame; nothing else does.

After a header (magic, version, generation, checksum) stand frames of bytes: key, length, checksum of the record,
checksum of these three, and the record. So a flipped bit costs the record that it hits, or, in front of a record, what
follows; a tail that was not written whole is cut off when the file is opened.
"""

from __future__ import annotations

import os
import secrets
import struct
import threading
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.saved import KeptMask
from napari_sam2.core.store import MaskRecord
from napari_sam2.io.atomic import replacing
from napari_sam2.io.mask_records import MAX_RECORD, pack_mask, unpack_mask

VERSION = 1

_MAGIC = b"SAM2mask"
_FILE = struct.Struct("<8sI16sI")  # magic, version, generation, CRC-32 of these
_FRAME = struct.Struct("<QIII")  # key, length, CRC-32 of the record, CRC-32 of these
_GENERATION = 16
_ANY_FRAME = 1 << 20, 1 << 20  # (Y, X): the store does not know the stack


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a record lies: byte `offset`, `length` in bytes, and its checksum."""

    offset: int
    length: int
    checksum: int


class DiskMaskStore:
    """A `MaskStore` in a file; keys count from 0, and are the same when it is opened again.

    Parameters
    ----------
    path : str or Path
        The file; it is made if there is none. One process at a time.
    durable : bool
        Whether `append` returns only when the record would survive a loss of power; else, one of the program.

    Attributes
    ----------
    num_damaged : int
        Records that were found damaged when the file was opened.

    Raises
    ------
    FileFormatError
        If the file is of another kind or of a newer version, or cannot be opened.
    """

    def __init__(self, path: str | Path, *, durable: bool = False) -> None:
        self.path, self._is_durable = Path(path), durable
        self._lock = threading.Lock()
        self._index: dict[int, _Place] = {}
        self._next = self.num_damaged = 0
        with _as_format_error(self.path):
            self._file = _opened(self.path)
            self._generation = _begun(self._file, self.path)
            self._end = self._look_through()
            self._file.truncate(self._end)

    def _look_through(self) -> int:
        """Note where the records are, and return where the last whole one ends."""
        end = _FILE.size
        for key, place in _records_in(self._file):
            end, self._next = place.offset + place.length, max(self._next, key + 1)
            if _verified(self._file, place) is None:
                self.num_damaged += 1
            else:
                self._index[key] = place
        return end

    def append(self, record: MaskRecord) -> int:
        """Write `record` and return its key; if that fails, the file is as it was."""
        data = pack_mask(KeptMask(record))
        if len(data) > MAX_RECORD:
            raise FileFormatError(
                f"the mask of object {record.object_id} on frame {record.frame} takes {len(data) >> 20} MiB, "
                f"more than {MAX_RECORD >> 20}"
            )
        with self._lock, _as_format_error(self.path):
            key, start = self._next, self._end
            try:
                self._file.seek(start)
                _write(self._file, _framed(key, data))
                if self._is_durable:
                    os.fsync(self._file.fileno())
            except OSError:
                with suppress(OSError):
                    self._file.truncate(start)
                raise
            self._index[key] = _Place(start + _FRAME.size, len(data), zlib.crc32(data))
            self._end, self._next = start + _FRAME.size + len(data), key + 1
            return key

    def get(self, key: int) -> MaskRecord:
        """Return the record of `key`.

        Raises
        ------
        IndexError
            If there is none.
        FileFormatError
            If it is not any more what was written.
        """
        with self._lock:
            place = self._index.get(key)
            if place is None:
                raise IndexError(f"there is no record {key}; they count from 0")
            with _as_format_error(self.path):
                data = _verified(self._file, place)
        mask = None if data is None else unpack_mask(data, _ANY_FRAME)
        if mask is None:
            raise FileFormatError(
                f"{self.path}: mask record {key} is damaged", remedy="track its frame again"
            )
        return mask.record

    def discard(self, kept: Container[int]) -> None:
        """Forget the records of all other keys; `compact` gives their room back."""
        with self._lock:
            self._index = {key: place for key, place in self._index.items() if key in kept}

    @property
    def num_bytes(self) -> int:
        """Nothing is kept in memory."""
        return 0

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[MaskRecord]:
        with self._lock:
            keys = list(self._index)
        return (self.get(key) for key in keys)

    def compact(self) -> None:
        """Leave out of the file what was forgotten; it is replaced whole or not at all."""
        with self._lock, _as_format_error(self.path):
            try:
                with replacing(self.path) as temporary:
                    self._copy_to(temporary)
                    self._file.close()  # where an open file cannot be replaced
            finally:
                self._file.close()
                self._file = _opened(self.path)
            self._index = dict(_records_in(self._file))
            self._end = self._file.seek(0, os.SEEK_END)

    def _copy_to(self, path: Path) -> None:
        """Write what is in the index and verifies; damage never gets a checksum that fits it."""
        with path.open("wb") as file:
            file.write(_header(self._generation))
            for key, place in self._index.items():
                if (data := _verified(self._file, place)) is not None:
                    file.write(_framed(key, data))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> DiskMaskStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# The file


def _opened(path: Path) -> FileIO:
    with suppress(FileExistsError):
        path.open("xb").close()
    return path.open("r+b", buffering=0)  # so that nothing waits to be written when that failed


def _write(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _begun(file: FileIO, path: Path) -> bytes:
    """Return the generation of a file; one that was not even begun is begun."""
    head = file.read(_FILE.size)
    if len(head) == _FILE.size:
        return _generation_of(head, path)
    if not _header(bytes(_GENERATION)).startswith(head[: len(_MAGIC) + 4]):
        raise _no_store(path)
    generation = secrets.token_bytes(_GENERATION)
    file.seek(0)
    file.write(_header(generation))
    return generation


def _header(generation: bytes) -> bytes:
    head = _FILE.pack(_MAGIC, VERSION, generation, 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(head))


def _generation_of(head: bytes, path: Path) -> bytes:
    if not head.startswith(_MAGIC):
        raise _no_store(path)
    _, version, generation, checksum = _FILE.unpack(head)
    if checksum != zlib.crc32(head[:-4]):
        raise FileFormatError(
            f"{path}: the beginning of the file is damaged", remedy="track the objects again"
        )
    if version != VERSION:
        raise FileFormatError(
            f"{path} has masks of version {version}, and this program reads version {VERSION}",
            remedy="open it with the napari-sam2 that wrote it",
        )
    return bytes(generation)


def _no_store(path: Path) -> FileFormatError:
    return FileFormatError(f"{path} is no file of masks")


def _framed(key: int, data: bytes) -> bytes:
    head = struct.pack("<QII", key, len(data), zlib.crc32(data))
    return head + struct.pack("<I", zlib.crc32(head)) + data


def _records_in(file: FileIO) -> Iterator[tuple[int, _Place]]:
    """Yield key and place of every record of which all bytes are there, damaged or not."""
    size, offset = file.seek(0, os.SEEK_END), _FILE.size
    while offset + _FRAME.size <= size:
        file.seek(offset)
        head = file.read(_FRAME.size)
        key, length, checksum, own = _FRAME.unpack(head)
        offset += _FRAME.size + length
        if own != zlib.crc32(head[:-4]) or length > MAX_RECORD or offset > size:
            return
        yield key, _Place(offset - length, length, checksum)


def _verified(file: FileIO, place: _Place) -> bytes | None:
    """Return the bytes of a record; None if they are not those that were written."""
    file.seek(place.offset)
    data = file.read(place.length)
    return data if zlib.crc32(data) == place.checksum else None


@contextmanager
def _as_format_error(path: Path) -> Iterator[None]:
    try:
        yield
    except FileFormatError:
        raise
    except OSError as error:
        raise FileFormatError(
            f"{path}: {error.strerror or error}", kept="masks that were written before are kept"
        ) from error
