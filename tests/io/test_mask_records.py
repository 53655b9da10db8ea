"""Files of masks: to the bit and back, and what is damaged loses its own masks and breaks nothing."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.masks import ObjectMask
from napari_sam2.core.saved import KeptMask
from napari_sam2.core.store import MaskRecord
from napari_sam2.io import mask_records
from napari_sam2.io.mask_records import KIND, OLD_MAGIC, read_masks, write_masks
from napari_sam2.io.record_format import framed, header

SHAPE = (20, 30)


def kept(object_id=1, frame=0, seed=0, rank=2, passed=(3, 4), view=None, empty=False):
    rng = np.random.default_rng(seed)
    logits = np.where(rng.random(SHAPE) > (2 if empty else 0.7), 3.0, -3.0).astype(np.float32)
    mask = replace(ObjectMask.from_logits(object_id, logits, 1.5, 0.25), view=view)
    return KeptMask(MaskRecord.from_mask(mask, frame, 6, "tracked"), rank, passed)


MASKS = [
    kept(),
    kept(2, 7, seed=1, passed=None),
    kept(4_000_000_000, 9, seed=2, view=(0, 1, 9, 11)),
    kept(3, 1, empty=True),
]


def save(path, masks=MASKS):
    with path.open("wb") as file:
        assert len(write_masks(file, masks)) == 16
    return path


def sizes_of(masks=MASKS):
    return [len(framed(0, mask_records.pack_mask(mask))) for mask in masks]


def test_masks_come_back_to_the_bit(tmp_path):
    found = read_masks(save(tmp_path / "m"), SHAPE)
    assert found.masks == tuple(MASKS)
    assert found.num_damaged == 0
    assert found.generation == (tmp_path / "m").read_bytes()[12:28]
    assert read_masks(save(tmp_path / "none", []), SHAPE).masks == ()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_file_cut_off_anywhere_loses_its_end_and_nothing_else(tmp_path_factory, data):
    path = save(tmp_path_factory.mktemp("m") / "m")
    whole = path.read_bytes()
    cut = data.draw(st.integers(8, len(whole)))
    path.write_bytes(whole[:cut])
    ends = [len(whole) - sum(sizes_of()[number:]) for number in range(len(MASKS) + 1)]
    assert read_masks(path, SHAPE).masks == tuple(MASKS[: max(sum(e <= cut for e in ends) - 1, 0)])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_flipped_byte_costs_its_mask_and_changes_none(tmp_path_factory, where, flip):
    path = save(tmp_path_factory.mktemp("m") / "m")
    data = bytearray(path.read_bytes())
    where %= len(data)
    data[where] ^= flip
    path.write_bytes(data)
    starts = [len(data) - sum(sizes_of()[number:]) for number in range(len(MASKS))]
    hit = sum(start <= where for start in starts) - 1
    expected = MASKS if hit < 0 else MASKS[:hit] + MASKS[hit + 1 :]
    assert read_masks(path, SHAPE).masks == tuple(expected)


def old_file(path, contents):
    records = (struct.pack("<II", len(item), zlib.crc32(item)) + item for item in contents)
    path.write_bytes(OLD_MAGIC + b"".join(records))
    return path


def test_files_of_the_earlier_kind_are_read_up_to_what_is_damaged(tmp_path):
    contents = [mask_records.pack_mask(mask) for mask in MASKS]
    path = old_file(tmp_path / "m", contents)
    assert read_masks(path, SHAPE).masks == tuple(MASKS)
    data = bytearray(path.read_bytes())
    data[len(OLD_MAGIC) + 8 + len(contents[0]) + 20] ^= 1
    path.write_bytes(data)
    assert read_masks(path, SHAPE).masks == (MASKS[0],)
    path.write_bytes(OLD_MAGIC + struct.pack("<II", 0xFFFFFFFF, 0) + b"x" * 1000)
    assert read_masks(path, SHAPE).masks == ()


def sealed(payload):
    return header(KIND, bytes(16)) + framed(0, payload)


def head(**changes):
    values = {
        "object": 1, "frame": 0, "rank": 0, "run": 0,
        "box": (0, 0, 2, 2), "view": (-1,) * 4, "passed": (-1, -1),
        "scores": (1.0, 0.5), "provenance": 2, "num_bits": 1,
    }  # fmt: skip
    values |= changes
    return mask_records._HEAD.pack(
        values["object"], values["frame"], values["rank"], values["run"], *values["box"],
        *values["view"], *values["passed"], *values["scores"], values["provenance"], values["num_bits"],
    )  # fmt: skip


GOOD = b"\xf0" + zlib.compress(bytes(4))


@pytest.mark.parametrize(
    "payload",
    [
        head(object=0) + GOOD,
        head(box=(0, 0, 21, 2)) + GOOD,
        head(box=(3, 0, 2, 2)) + GOOD,
        head(box=(0, 0, 0xFFFFFFFF, 0xFFFFFFFF)) + GOOD,
        head(provenance=9) + GOOD,
        head(num_bits=2) + GOOD,
        head(scores=(float("nan"), 0.5)) + GOOD,
        head(scores=(1.0, float("inf"))) + GOOD,
        head() + b"\xf0" + zlib.compress(bytes(5)),
        head() + b"\xf0" + zlib.compress(bytes(10**6)),  # would unpack to far more
        head() + b"\xf0" + b"nonsense",
        head() + GOOD + b"more",
        b"short",
    ],
)
def test_what_verifies_and_is_no_mask_all_the_same_is_not_taken(tmp_path, payload):
    (tmp_path / "m").write_bytes(sealed(payload))
    found = read_masks(tmp_path / "m", SHAPE)
    assert (found.masks, found.num_damaged) == ((), 1)
    (tmp_path / "m").write_bytes(sealed(head() + GOOD))
    assert len(read_masks(tmp_path / "m", SHAPE).masks) == 1


def test_other_files_are_told(tmp_path):
    (tmp_path / "m").write_bytes(b"something else that is long enough to have a header")
    with pytest.raises(FileFormatError, match="is no file of masks"):
        read_masks(tmp_path / "m", SHAPE)
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_masks(tmp_path / "none", SHAPE)


@pytest.mark.parametrize("length", [0, 1, 50])
def test_a_record_that_is_too_short_to_be_one_is_none(length):
    payload = mask_records.pack_mask(MASKS[0])
    assert mask_records.unpack_mask(payload[:length], SHAPE) is None
    assert mask_records.unpack_mask(payload, SHAPE) == MASKS[0]
