"""Results of propagations in a file, so that the same question need not be answered twice, not even in part.

A propagation is a pure function of what it is asked, the stack and the model. So whatever was found before a program
died is given again from here, and the rest is found as if nothing had happened: all bits are the same. A frame is
written before it is given to anybody.
"""

from __future__ import annotations

import logging
import os
import struct
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.engine import Engine
from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.messages import (
    FrameResult,
    PromptRequest,
    PromptResult,
    PropagationRequest,
    ResumePoint,
)
from napari_sam2.core.saved import KeptMask
from napari_sam2.core.store import MaskRecord
from napari_sam2.io.atomic import replacing, sweep
from napari_sam2.io.digests import SIZE, digest_of_request
from napari_sam2.io.failures import storing
from napari_sam2.io.mask_records import pack_mask, unpack_mask
from napari_sam2.io.record_file import RecordFile
from napari_sam2.io.record_format import Kind, framed, header, read_records

logger = logging.getLogger(__name__)

KIND = Kind(b"SAM2runs", "file of results")
STATES = Kind(b"SAM2stat", "file of a state")

STATE_SUFFIX = ".state"

_FRAME = struct.Struct(
    f"<c{SIZE}sIIIH"
)  # b"F", request, number of the result, of so many, frame, masks
_LENGTH = struct.Struct("<I")
_STATE = struct.Struct(f"<{SIZE}sI")  # request, number of the result


class StateCodec(Protocol):
    """How the state of a segmenter (`ResumePoint.state`) becomes bytes and is read again."""

    def pack(self, state: object) -> bytes | None:
        """Return the state as bytes; None if it cannot be kept: a run is then begun again from its start."""

    def unpack(self, data: bytes) -> object:
        """Return the state; `ValueError` if the bytes are none."""


class ResultFile:
    """Results in a file, by the request that they answer.

    Parameters
    ----------
    path : Path
        The file; it is made if there is none.
    question : bytes
        Digest of all else that results depend on: stack, model, options. Results of another question are forgotten.
    shape : (int, int)
        (Y, X) of a frame.
    durable : bool
        Whether a frame is there even after a loss of power.
    """

    def __init__(
        self, path: Path, question: bytes, shape: tuple[int, int], *, durable: bool = False
    ) -> None:
        self.path, self._shape = path, shape
        sweep(path.parent, self._state_path.name)
        self._file = _of_question(path, question, durable)
        self._known: dict[bytes, array[int]] = {}  # keys of results number 1, 2, 3, …
        for key in self._file.keys():
            content = self._file.get(key) or b""
            if content[:1] == b"F" and len(content) >= _FRAME.size:
                _, request, number, _, _, _ = _FRAME.unpack_from(content)
                self._note(request, number, key)

    def __len__(self) -> int:
        return sum(map(len, self._known.values()))

    def results(self, request: bytes, after: int) -> Iterator[FrameResult]:
        """Yield what is known of a request from result number `after` + 1 on, as long as none is missing."""
        known = self._known.get(request, array("Q"))
        for number in range(after, len(known)):
            result = self._result(known[number])
            if result is None:
                del known[number:]  # damaged since: it is found again
                return
            yield result

    def _result(self, key: int) -> FrameResult | None:
        content = self._file.get(key)
        try:
            return None if content is None else _unpacked(content, self._shape)
        except struct.error:
            return None

    def append(self, request: bytes, result: FrameResult) -> None:
        """Write a result; `StorageError` if the disk does not take it."""
        number = result.resume.done
        parts = [
            _FRAME.pack(b"F", request, number, result.total, result.frame, len(result.objects))
        ]
        for mask in result.objects:
            packed = pack_mask(KeptMask(MaskRecord.from_mask(mask, result.frame, 0, "tracked")))
            parts += [_LENGTH.pack(len(packed)), packed]
        self._note(request, number, self._file.append(b"".join(parts)))

    def _note(self, request: bytes, number: int, key: int) -> None:
        """Know a result, unless one before it is missing: then it is found again with that one."""
        known = self._known.setdefault(request, array("Q"))
        if number == len(known) + 1:
            known.append(key)

    # States

    @property
    def _state_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}{STATE_SUFFIX}")

    def save_state(self, request: bytes, done: int, data: bytes) -> None:
        """Keep the state after result number `done`, in place of an earlier one."""
        content = _STATE.pack(request, done) + data
        with storing(self._state_path, "all results are kept", len(content)):
            with replacing(self._state_path) as temporary:
                temporary.write_bytes(header(STATES, bytes(16)) + framed(0, content))

    def state(self, request: bytes, codec: StateCodec) -> ResumePoint | None:
        """Return the last state of a request that was kept; None if there is none that can be read."""
        try:
            _, records, _ = read_records(self._state_path, STATES)
            content = records[0][1]
            found, done = _STATE.unpack_from(content)
            if found == request:
                return ResumePoint(done, codec.unpack(content[_STATE.size :]))
        except (OSError, FileFormatError, IndexError, ValueError, struct.error):
            pass  # found anew, from the beginning: the same to the bit
        return None

    def close(self) -> None:
        """Let go of the file; it stays."""
        self._file.close()

    def remove(self) -> None:
        """Remove the file: what was found is where it was wanted, so one that stays does no harm."""
        self._file.close()
        for path in (self._state_path, self.path):
            try:
                path.unlink(missing_ok=True)
            except OSError:
                logger.warning("%s is not needed any more and cannot be removed", path)


def _unpacked(content: bytes, shape: tuple[int, int]) -> FrameResult | None:
    """Return the result of a record; None if a mask of it cannot be one."""
    _, _, number, total, frame, count = _FRAME.unpack_from(content)
    masks, at = [], _FRAME.size
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size
        mask = unpack_mask(content[at : at + length], shape)
        if mask is None:
            return None
        masks.append(mask.record.to_mask())
        at += length
    return FrameResult(frame, tuple(masks), total, ResumePoint(number))


def _of_question(path: Path, question: bytes, durable: bool) -> RecordFile:
    """Open a file; one of another question, or damaged at its beginning, is begun anew and the old one set aside."""
    with storing(path, "nothing was changed"):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not _is_about(path, question):
            set_aside(path)
    file = RecordFile(path, KIND, durable=durable)
    if not len(file):
        file.append(b"Q" + question)
    return file


def _is_about(path: Path, question: bytes) -> bool:
    try:
        _, records, _ = read_records(path, KIND)
    except FileFormatError:
        return False
    return not records or any(content == b"Q" + question for _, content in records)


def set_aside(path: Path) -> None:
    """Give earlier results another name, in place of still earlier ones."""
    os.replace(path, path.with_name(f"{path.name}.previous"))


class KeptEngine:
    """An `Engine` that gives what it gave before from a file, and writes down what is new before it gives it.

    Parameters
    ----------
    engine : Engine
        Who finds what is not known yet.
    results : ResultFile
        What is known.
    codec : StateCodec, optional
        How states are kept; without it, a run that was cut off is tracked from its beginning again, and only what is
        not known yet is given anew.
    state_every : float
        Seconds of tracking after which the state is kept again.

    Attributes
    ----------
    num_known : int
        Results that were given from the file.
    """

    def __init__(
        self,
        engine: Engine,
        results: ResultFile,
        codec: StateCodec | None = None,
        state_every: float = 20.0,
    ) -> None:
        self._engine, self._results, self._codec = engine, results, codec
        self._state_every = state_every
        self.num_known = 0

    def ask(self, request: PromptRequest, deliver: Callable[[PromptResult], None]) -> None:
        """Have a prompt answered; see `core.Engine`."""
        self._engine.ask(request, deliver)

    def propagate(
        self,
        request: PropagationRequest,
        resume: ResumePoint | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[FrameResult]:
        """Give what is known, then what is found; see `core.Engine`."""
        digest = digest_of_request(request)
        done = 0 if resume is None else resume.done
        total = None
        for result in self._results.results(digest, done):
            done, total = result.resume.done, result.total
            self.num_known += 1
            yield result
            if cancellation is not None and cancellation.is_asked:
                return
        if done != total:
            yield from self._found(request, digest, done, resume, cancellation)

    def _found(
        self,
        request: PropagationRequest,
        digest: bytes,
        done: int,
        resume: ResumePoint | None,
        cancellation: Cancellation | None,
    ) -> Iterator[FrameResult]:
        """Track what is not known yet; from the last state on, with nothing given twice."""
        start = self._start(digest, done, resume)
        last = time.monotonic()
        for result in self._engine.propagate(request, start, cancellation):
            if result.resume.done <= done:
                continue
            self._results.append(digest, result)
            if time.monotonic() - last >= self._state_every:
                self._keep_state(digest, result.resume)
                last = time.monotonic()
            yield result

    def _start(self, digest: bytes, done: int, resume: ResumePoint | None) -> ResumePoint | None:
        known = None if resume is None or resume.state is None else resume
        saved = None if self._codec is None else self._results.state(digest, self._codec)
        if saved is not None and saved.done <= done and (known is None or known.done < saved.done):
            return saved
        return known

    def _keep_state(self, digest: bytes, point: ResumePoint) -> None:
        data = None if self._codec is None else self._codec.pack(point.state)
        if data is not None:
            self._results.save_state(digest, point.done, data)
