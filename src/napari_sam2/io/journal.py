"""The journal of a session: what runs found since the session file was written, a record for every frame.

It lies beside the session file while there is something in it. A frame is written here before anybody else hears of
it, so what a killed program had found is all there. A base says which session file the frames after it add to: it is
written before that file takes its place, so at every moment the file that is there has its base in the journal.
Reading never writes: however often a program dies while it recovers, there is as much to recover as before.
"""

from __future__ import annotations

import json
import os
import struct
import threading
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.ids import ObjectId
from napari_sam2.core.messages import FrameResult
from napari_sam2.core.run import Run
from napari_sam2.core.saved import KeptMask
from napari_sam2.core.store import MaskRecord
from napari_sam2.io.digests import SIZE, digest_of_foundation
from napari_sam2.io.failures import storing
from napari_sam2.io.mask_records import pack_mask, unpack_mask
from napari_sam2.io.record_file import RecordFile
from napari_sam2.io.record_format import Kind, read_records

KIND = Kind(b"SAM2jrnl", "journal of a session")

SUFFIX = ".journal"

_FRAME = struct.Struct("<cqIIH")  # b"F", run, results so far, frame, masks
_MASK = struct.Struct(
    f"<{SIZE}sBI"
)  # digest of the foundation, keeps its standing, bytes of the mask


def journal_of(path: Path) -> Path:
    """Return where the journal of a session file lies."""
    return path.with_name(f"{path.name.removesuffix('.json')}{SUFFIX}")


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment: frames up to record `after` are known to the session; `run`: the number of the run that goes on, or 0.

    `has_mapping`: whether the session was told how to see the frames; `joining`: the objects that the run gives a new
    standing; `member`: one that has it already, or 0.
    """

    after: int = 0
    run: int = 0
    has_mapping: bool = True
    joining: tuple[int, ...] = ()
    member: int = 0

    def to_json(self, sha256: str) -> bytes:
        """Return a base: the session file of this hash is of this moment."""
        return json.dumps({"base": sha256, **asdict(self)}).encode("ascii")

    @classmethod
    def from_json(cls, data: bytes, sha256: str) -> Mark | None:
        """Return the moment of a base; None if it is about another file, or none."""
        try:
            base: dict[str, Any] = json.loads(data)
            if base["base"] != sha256:
                return None
            return cls(
                int(base["after"]),
                int(base["run"]),
                bool(base["has_mapping"]),
                tuple(map(int, base["joining"])),
                int(base["member"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class JournalMask:
    """A mask in a journal. `foundation`: digest of what it rests on; `keeps`: its object's standing stays as it was."""

    mask: KeptMask
    foundation: bytes
    keeps: bool


@dataclass(frozen=True, slots=True)
class JournalFrame:
    """What run number `run` found on `frame`; `done`: how many results it had given then."""

    run: int
    done: int
    frame: int
    masks: tuple[JournalMask, ...] = field(repr=False)


def pack_frame(
    run: Run, result: FrameResult, records: Sequence[MaskRecord], keeping: Collection[ObjectId]
) -> bytes:
    """Return the record of a frame; `keeping`: the objects whose standing the run does not change."""
    parts = [_FRAME.pack(b"F", run.number, result.resume.done, result.frame, len(records))]
    for record in records:
        basis = run.bases.of(record.object_id, record.frame)
        passed = None if basis is None else (basis.anchor, basis.start)
        foundation = (
            bytes(SIZE) if basis is None else digest_of_foundation(basis.prompts, basis.mapping)
        )
        packed = pack_mask(KeptMask(record, 0, passed))
        parts += [_MASK.pack(foundation, record.object_id in keeping, len(packed)), packed]
    return b"".join(parts)


def _unpacked(content: bytes, shape: tuple[int, int]) -> JournalFrame | None:
    """Return the frame of a record; None if it is none, or of another stack."""
    if len(content) < _FRAME.size or content[:1] != b"F":
        return None
    _, run, done, frame, count = _FRAME.unpack_from(content)
    masks, at = [], _FRAME.size
    for _ in range(count):
        if at + _MASK.size > len(content):
            return None
        foundation, keeps, length = _MASK.unpack_from(content, at)
        at += _MASK.size
        mask = unpack_mask(content[at : at + length], shape)
        at += length
        if mask is None or mask.record.frame != frame:
            return None
        masks.append(JournalMask(mask, foundation, bool(keeps)))
    return JournalFrame(run, done, frame, tuple(masks))


class SessionJournal:
    """The journal beside a session file, written by the program that works on it.

    Parameters
    ----------
    path : Path
        The session file.
    durable : bool
        Whether a frame is there even after a loss of power.
    """

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        self._path, self._is_durable = journal_of(path), durable
        self._lock = threading.RLock()
        self._file: RecordFile | None = None
        self._next = 0
        self._last_frame = -1

    @property
    def next_key(self) -> int:
        """The key of the frame that is written next; what an earlier program left is before it, and stays."""
        with self._lock:
            if self._file is None and self._path.is_file():
                self._open()
            return self._next

    def append(self, content: bytes) -> None:
        """Write the record of a frame; `StorageError` if the disk does not take it, and the file is as it was."""
        with self._lock:
            self._last_frame = self._append(content)

    def _append(self, content: bytes) -> int:
        file = self._open() if self._file is None else self._file
        file.skip_to(self._next)
        key = file.append(content)
        self._next = key + 1
        return key

    def _open(self) -> RecordFile:
        """Open the file, after what is there already; one that is no journal, or beyond repair, is set aside."""
        with storing(self._path, "nothing was changed"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                file = RecordFile(self._path, KIND, durable=self._is_durable)
            except FileFormatError:
                os.replace(self._path, self._path.with_name(f"{self._path.name}.damaged"))
                file = RecordFile(self._path, KIND, durable=self._is_durable)
        file.skip_to(self._next)
        self._file, self._next = file, file.next_key
        return file

    def announce(self, sha256: str, mark: Mark) -> None:
        """Say that frames after `mark` add to the session file of this hash, which is about to be put in its place."""
        with self._lock:
            if self._file is None and not mark.run:
                return
            self._append(b"B" + mark.to_json(sha256))
            assert self._file is not None
            self._file.sync()

    def settle(self, mark: Mark) -> None:
        """Forget what the session file has now; the journal goes if that is everything."""
        with self._lock:
            if not mark.run and self._last_frame < mark.after:
                self.remove()

    def remove(self) -> None:
        """Let the journal go; nothing happens if there is none."""
        with self._lock:
            self.close()
            with storing(self._path, "the session is saved"):
                self._path.unlink(missing_ok=True)

    def move_to(self, path: Path) -> int:
        """Go on beside another session file, with all frames so far; return by how much their keys have grown.

        What another program left there stays, too, until a session file is written that takes its place; and so does
        the journal beside the earlier session file, which is still right about that one.
        """
        with self._lock:
            old, before = self._path, (self._next, self._last_frame)
            frames = [] if self._file is None else _frames_of(self._file)
            self.close()
            self._path, self._next = journal_of(path), 0
            try:
                shift = self.next_key
                for key, content in frames:
                    self._next = max(self._next, key + shift)
                    self.append(content)
            except Exception:
                self.close()
                self._path, (self._next, self._last_frame) = old, before
                raise
            self._next = max(self._next, before[0] + shift)
            return shift

    def close(self) -> None:
        """Let go of the file; it stays."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def _frames_of(file: RecordFile) -> list[tuple[int, bytes]]:
    found = ((key, file.get(key)) for key in file.keys())
    return [(key, content) for key, content in found if content and content[:1] == b"F"]


@dataclass(frozen=True, slots=True)
class Since:
    """What a journal adds to a session file. `mark`: from where on; `is_known`: the journal knows this very file."""

    frames: tuple[JournalFrame, ...] = ()
    mark: Mark = field(default_factory=Mark)
    is_known: bool = False


def read_since(path: Path, sha256: str, shape: tuple[int, int]) -> Since:
    """Return what the journal beside the session file `path`, of this hash, adds to it; nothing if there is none.

    Where no base names the file, for example because someone has changed it by hand, every frame is given: whether a
    mask rests on what is said now is looked at anyway. `shape`: (Y, X) of a frame.

    Raises
    ------
    FileFormatError
        If the journal cannot be read, or is another file.
    """
    journal = journal_of(path)
    if not journal.is_file():
        return Since()
    try:
        _, records, _ = read_records(journal, KIND)
    except OSError as error:
        raise FileFormatError(
            f"{journal.name} cannot be read: {error.strerror}",
            remedy="see that the disk is there and well, and open the session again",
        ) from error
    bases = (content[1:] for _, content in reversed(records) if content[:1] == b"B")
    mark = next((m for text in bases if (m := Mark.from_json(text, sha256))), None)
    after = 0 if mark is None else mark.after
    frames = (_unpacked(content, shape) for key, content in records if key >= after)
    return Since(tuple(item for item in frames if item), mark or Mark(), mark is not None)
