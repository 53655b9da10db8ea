"""One stack split by objects: masks of some of them are kept as the network gave them, and later joined.

Label images could not be joined: where objects overlap, only the strength of their masks says who gets a pixel. So a
part keeps what the segmenter answered, and the joined job is the whole session with a segmenter that answers from the
parts; what is decided beyond the network (who wins, extents, protected labels) is decided once, by the same code.
"""

from __future__ import annotations

import zipfile
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.lazy_segmenter import LazySegmenter
from napari_sam2.core.masks import Box, ObjectMask
from napari_sam2.core.messages import (
    FrameResult,
    PromptRequest,
    PromptResult,
    PropagationRequest,
    ResumePoint,
)
from napari_sam2.core.plan import plan_of
from napari_sam2.core.segmenter import Segmenter
from napari_sam2.core.store import NO_RUN, MaskRecord
from napari_sam2.io.atomic import replacing

_COLUMNS = 14
"""Of the table of a part: kind, object, frame, box (4), whether there is a view, view (4), and two lengths."""


class RecordingSegmenter(LazySegmenter):
    """Passes questions on to a segmenter and keeps every answer; see `core.Segmenter`."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__(lambda: segmenter)
        self.records: list[MaskRecord] = []

    def prompt(self, request: PromptRequest) -> PromptResult:
        """Answer a prompt and keep the answer."""
        result = super().prompt(request)
        self.records.append(MaskRecord.from_mask(result.mask, result.frame, NO_RUN, "prompt"))
        return result

    def propagate(
        self,
        request: PropagationRequest,
        resume: ResumePoint | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[FrameResult]:
        """Carry objects along and keep every mask."""
        for result in super().propagate(request, resume, cancellation):
            self.records.extend(
                MaskRecord.from_mask(mask, result.frame, NO_RUN, "tracked")
                for mask in result.objects
            )
            yield result


class _Asked(NamedTuple):
    provenance: str
    object_id: ObjectId
    frame: FrameIndex


class ReplayingSegmenter:
    """Answers from records, in the order in which they were made; no network and no image.

    A question to which there is no record is a `FileFormatError`: the parts are not those of this job.
    """

    mapping = None

    def __init__(self, records: Iterable[MaskRecord]) -> None:
        self._records: dict[_Asked, deque[MaskRecord]] = defaultdict(deque)
        for record in records:
            asked = _Asked(record.provenance, record.object_id, record.frame)
            self._records[asked].append(record)

    def prompt(self, request: PromptRequest) -> PromptResult:
        """Answer a prompt as it was answered when the part was made."""
        frame = request.prompts.frame
        mask = self._next(_Asked("prompt", request.object_id, frame))
        return PromptResult(request.generation, frame, mask)

    def propagate(
        self,
        request: PropagationRequest,
        resume: ResumePoint | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[FrameResult]:
        """Yield the masks that were tracked when the parts were made, frame by frame."""
        plan = plan_of(request)
        done = 0 if resume is None else resume.done
        for number, planned in enumerate(plan[done:], start=done + 1):
            if cancellation is not None and cancellation.is_asked:
                return
            asked = (_Asked("tracked", track.object_id, planned.frame) for track in planned.tracks)
            masks = tuple(self._next(item) for item in asked)
            yield FrameResult(planned.frame, masks, len(plan), ResumePoint(number))

    def prepare(
        self, frame: FrameIndex, box: Box | None = None, *, may_forget: bool = False
    ) -> bool:
        """Nothing has to be prepared."""
        return True

    def _next(self, asked: _Asked) -> ObjectMask:
        known = self._records.get(asked)
        if not known:
            raise FileFormatError(
                f"the parts have no {asked.provenance} mask of object {asked.object_id} "
                f"on frame {asked.frame}",
                remedy="run the batch again with --overwrite",
            )
        return known.popleft().to_mask()


def write_part(path: Path, records: Iterable[MaskRecord], key: str) -> None:
    """Write the records of a part; the file appears whole or not at all. `key`: of the job that they belong to."""
    rows, scores, blobs = [], [], []
    for record in records:
        view = (0, 0, 0, 0) if record.view is None else record.view
        kind = int(record.provenance == "tracked")
        place = (kind, record.object_id, record.frame, *record.box)
        lengths = len(record.bits), len(record.strength)
        rows.append((*place, int(record.view is not None), *view, *lengths))
        scores.append((record.object_score, record.iou))
        blobs += [record.bits, record.strength]
    with replacing(path) as temporary:
        np.savez(
            temporary,
            key=np.array(key),
            table=np.array(rows, np.int64).reshape(-1, _COLUMNS),
            scores=np.array(scores, np.float64).reshape(-1, 2),
            data=np.frombuffer(b"".join(blobs), np.uint8),
        )


def read_part(path: Path, key: str) -> tuple[MaskRecord, ...]:
    """Return the records of a part.

    Raises
    ------
    FileFormatError
        If there is none, it is damaged, or belongs to another job.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as part:
            found, table = str(part["key"]), part["table"]
            scores, data = part["scores"], part["data"].tobytes()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FileFormatError(
            f"{path} is no part of a job: {error}", remedy="run the batch again with --resume"
        ) from error
    if found != key:
        raise FileFormatError(
            f"{path} belongs to another job", remedy="run the batch again with --resume"
        )
    return tuple(_records(table, scores, data))


def is_part(path: Path, key: str) -> bool:
    """Say whether the file of a part is there, whole, and of this job."""
    try:
        read_part(path, key)
    except FileFormatError:
        return False
    return True


def _records(table: np.ndarray, scores: np.ndarray, data: bytes) -> Iterator[MaskRecord]:
    at = 0
    for row, (score, iou) in zip(table.tolist(), scores.tolist(), strict=True):
        kind, object_id, frame, y0, x0, y1, x1, has_view, v0, v1, v2, v3, bits, strength = row
        middle, end = at + bits, at + bits + strength
        yield MaskRecord(
            ObjectId(object_id),
            FrameIndex(frame),
            NO_RUN,
            (y0, x0, y1, x1),
            data[at:middle],
            data[middle:end],
            score,
            iou,
            "tracked" if kind else "prompt",
            (v0, v1, v2, v3) if has_view else None,
        )
        at = end
