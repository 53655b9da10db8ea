"""Mask records as a file: every record has its own checksum, so one that verifies proves its frame.

It is a file of records (`io/record_format.py`) that is written once. A record is `_HEAD`, the bits of the mask, its
zlib-compressed strength. Files of an earlier kind (`OLD_MAGIC`: length, CRC-32 and content, one after the other) are
read up to the first record that does not verify.
"""

from __future__ import annotations

import math
import secrets
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.masks import Box
from napari_sam2.core.saved import KeptMask
from napari_sam2.core.store import MaskRecord, Provenance
from napari_sam2.io.record_format import GENERATION, MAX_RECORD, Kind, framed, header, read_records

KIND = Kind(b"SAM2kept", "file of masks")

OLD_MAGIC = b"NSAM2MK1"

_PREFIX = struct.Struct("<II")
# object, frame, rank, run; box; view (-1: none); anchor, start (-1: none); score, iou; provenance; bytes of bits
_HEAD = struct.Struct("<IIiI 4I 4i 2q 2d B I")
_PROVENANCES: tuple[Provenance, ...] = ("prompt", "mask", "tracked")


@dataclass(frozen=True, slots=True)
class FoundMasks:
    """What a file of masks holds. `generation`: by which it is known again; `num_damaged`: places that are lost."""

    masks: tuple[KeptMask, ...]
    generation: bytes | None
    num_damaged: int


def write_masks(file: BinaryIO, masks: Iterable[KeptMask]) -> bytes:
    """Write a whole file of records, and return its generation: bytes by which it is known again."""
    generation = secrets.token_bytes(GENERATION)
    file.write(header(KIND, generation))
    for number, mask in enumerate(masks):
        file.write(framed(number, pack_mask(mask)))
    return generation


def read_masks(path: Path, shape: tuple[int, int]) -> FoundMasks:
    """Return the records of a file, of frames of `shape` (Y, X), that verify; damage costs no more than it hits.

    Raises
    ------
    FileFormatError
        If it is no file of records, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(OLD_MAGIC)) == OLD_MAGIC:
                return FoundMasks(tuple(_old_records(file, shape)), None, 0)
        generation, records, num_damaged = read_records(path, KIND)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror}") from error
    masks = [mask for _, content in records if (mask := unpack_mask(content, shape)) is not None]
    return FoundMasks(tuple(masks), generation, num_damaged + len(records) - len(masks))


def _old_records(file: BinaryIO, shape: tuple[int, int]) -> Iterable[KeptMask]:
    while (mask := _next(file, shape)) is not None:
        yield mask


def _next(file: BinaryIO, shape: tuple[int, int]) -> KeptMask | None:
    """Return the next record; None at the end, and where one does not verify."""
    prefix = file.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size:
        return None
    length, checksum = _PREFIX.unpack(prefix)
    if not _HEAD.size <= length <= MAX_RECORD:
        return None
    payload = file.read(length)
    if len(payload) < length or zlib.crc32(payload) != checksum:
        return None
    return unpack_mask(payload, shape)


def pack_mask(mask: KeptMask) -> bytes:
    """Return the payload of a record."""
    record = mask.record
    view = record.view or (-1, -1, -1, -1)
    anchor, start = mask.passed or (-1, -1)
    head = _HEAD.pack(
        record.object_id,
        record.frame,
        mask.rank,
        record.run,
        *record.box,
        *view,
        anchor,
        start,
        record.object_score,
        record.iou,
        _PROVENANCES.index(record.provenance),
        len(record.bits),
    )
    return head + record.bits + record.strength


def unpack_mask(payload: bytes, shape: tuple[int, int]) -> KeptMask | None:
    """Return the record of a payload whose checksum is right; None if it cannot be one all the same."""
    if len(payload) < _HEAD.size:
        return None
    values = _HEAD.unpack_from(payload)
    object_id, frame, rank, run = values[:4]
    box, view, (anchor, start) = values[4:8], values[8:12], values[12:14]
    object_score, iou, provenance, num_bits = values[14:]
    bits, strength = payload[_HEAD.size :][:num_bits], payload[_HEAD.size + num_bits :]
    if not _is_record(box, shape, bits, num_bits, strength, object_id, provenance):
        return None
    if not (math.isfinite(object_score) and math.isfinite(iou)):
        return None
    record = MaskRecord(
        ObjectId(object_id),
        FrameIndex(frame),
        run,
        box,
        bits,
        strength,
        object_score,
        iou,
        _PROVENANCES[provenance],
        None if view[0] < 0 else view,
    )
    passed = None if anchor < 0 else (FrameIndex(anchor), FrameIndex(start))
    return KeptMask(record, rank, passed)


def _is_record(
    box: Box,
    shape: tuple[int, int],
    bits: bytes,
    num_bits: int,
    strength: bytes,
    object_id: int,
    provenance: int,
) -> bool:
    y0, x0, y1, x1 = box
    if not (y0 <= y1 <= shape[0] and x0 <= x1 <= shape[1] and object_id > 0):
        return False
    area = (y1 - y0) * (x1 - x0)
    if not len(bits) == num_bits == (area + 7) // 8 or provenance >= len(_PROVENANCES):
        return False
    return _unpacks_to(strength, area)


def _unpacks_to(data: bytes, size: int) -> bool:
    """Say whether a zlib stream holds so many bytes; never more is unpacked to find out."""
    inflate = zlib.decompressobj()
    try:
        found = len(inflate.decompress(data, size + 1))
    except zlib.error:
        return False
    return found == size and inflate.eof and not inflate.unused_data
