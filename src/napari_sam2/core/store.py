"""MaskStore: the one truth for results, appended to and never changed."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.masks import Box, ObjectMask, PackedMask

Provenance = Literal["prompt", "mask", "tracked"]
"""Where a mask came from: a model's answer to a prompt, a person's own mask, or tracking."""

NO_RUN = 0
"""`MaskRecord.run` of what no propagation made."""

OVERHEAD = 600
"""Bytes that a record takes besides its mask: measured, rounded up."""

PERSON_SCORE = 10.0
"""Object score of a person's own mask: certainly visible."""


@dataclass(frozen=True, slots=True)
class MaskRecord:
    """One object on one frame, as it is kept.

    `run`: number of the propagation that made it, above 0; `NO_RUN` for prompted frames.
    `box`: (y0, x0, y1, x1) frame pixels, half open; `bits`: row-major bits of the box;
    `strength`: zlib-compressed uint8 of the box (see `ObjectMask.strength`); `view`: as in `ObjectMask`.
    """

    object_id: ObjectId
    frame: FrameIndex
    run: int
    box: Box
    bits: bytes = field(repr=False)
    strength: bytes = field(repr=False)
    object_score: float
    iou: float
    provenance: Provenance
    view: Box | None = None

    @classmethod
    def from_mask(
        cls, mask: ObjectMask, frame: FrameIndex, run: int, provenance: Provenance
    ) -> MaskRecord:
        """Pack `mask`; level 1 of zlib, because a tracked frame must not wait for its compression."""
        bits = np.packbits(mask.mask, axis=None).tobytes()
        strength = zlib.compress(np.ascontiguousarray(mask.strength).tobytes(), 1)
        return cls(
            mask.object_id,
            frame,
            run,
            mask.box,
            bits,
            strength,
            float(mask.object_score),
            float(mask.iou),
            provenance,
            mask.view,
        )

    @classmethod
    def from_person(cls, mask: PackedMask, object_id: ObjectId, frame: FrameIndex) -> MaskRecord:
        """Record what a person painted, to the pixel; no model is asked about it."""
        crop = mask.crop()
        strength = crop.astype(np.uint8) * np.uint8(255)
        painted = ObjectMask(object_id, mask.box, crop, PERSON_SCORE, 1.0, strength)
        return cls.from_mask(painted, frame, NO_RUN, "mask")

    @property
    def num_bytes(self) -> int:
        """Memory that the record takes, about."""
        return OVERHEAD + len(self.bits) + len(self.strength)

    @property
    def _size(self) -> tuple[int, int]:
        return self.box[2] - self.box[0], self.box[3] - self.box[1]

    def to_mask(self) -> ObjectMask:
        """Return the mask as it was before packing."""
        height, width = self._size
        bits = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=height * width)
        return ObjectMask(
            self.object_id,
            self.box,
            bits.reshape(height, width).astype(bool),
            self.object_score,
            self.iou,
            self.unpacked_strength(),
            self.view,
        )

    def unpacked_strength(self) -> np.ndarray:
        """Return the strength of every pixel of the box, uint8; 0 outside the mask."""
        return np.frombuffer(zlib.decompress(self.strength), np.uint8).reshape(self._size)

    def to_packed(self, shape: tuple[int, int]) -> PackedMask:
        """Return the mask as a value, in a frame of `shape` (Y, X)."""
        return PackedMask(shape, self.box, self.bits)


class RecordBook(Protocol):
    """Where records are written to and looked up."""

    def append(self, record: MaskRecord) -> int:
        """Keep `record` and return its key; once this returns, the record can be had again."""

    def get(self, key: int) -> MaskRecord:
        """Return the record of `key`; `LookupError` if there is none."""


class MaskStore(RecordBook, Protocol):
    """Where records are kept. Any thread may append and read; nothing is changed, and only what is lost is removed."""

    def discard(self, kept: Container[int]) -> None:
        """Forget the records of all other keys, if that saves memory: nothing refers to them any more."""

    @property
    def num_bytes(self) -> int:
        """Memory that the records take, about; 0 where they are not kept in memory."""

    def __len__(self) -> int:
        """Return how many records there are."""

    def __iter__(self) -> Iterator[MaskRecord]:
        """Iterate over the records there are now, oldest first."""


class MemoryMaskStore:
    """A `MaskStore` in memory; keys count from 0."""

    def __init__(self) -> None:
        self._records: dict[int, MaskRecord] = {}
        self._next = self._num_bytes = 0
        self._lock = threading.Lock()

    def append(self, record: MaskRecord) -> int:
        """Keep `record` and return its key."""
        with self._lock:
            key, self._next = self._next, self._next + 1
            self._records[key] = record
            self._num_bytes += record.num_bytes
            return key

    def get(self, key: int) -> MaskRecord:
        """Return the record of `key`."""
        try:
            return self._records[key]
        except KeyError:
            raise IndexError(f"there is no record {key}; they count from 0") from None

    def discard(self, kept: Container[int]) -> None:
        """Forget the records of all other keys."""
        with self._lock:
            self._records = {key: item for key, item in self._records.items() if key in kept}
            self._num_bytes = sum(item.num_bytes for item in self._records.values())

    @property
    def num_bytes(self) -> int:
        """Memory that the records take, about."""
        return self._num_bytes

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[MaskRecord]:
        with self._lock:
            return iter(list(self._records.values()))
