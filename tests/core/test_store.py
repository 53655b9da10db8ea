from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2.core.masks import EMPTY_BOX, ObjectMask, PackedMask
from napari_sam2.core.store import MaskRecord, MemoryMaskStore

logit_images = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    elements=st.floats(-9, 20, width=32),
)


def _record(object_id=1, frame=0, logits=None):
    logits = np.full((4, 5), 2.0, np.float32) if logits is None else logits
    mask = ObjectMask.from_logits(object_id, logits, 3.5, 0.75)
    return MaskRecord.from_mask(mask, frame, 1, "tracked")


@given(logit_images)
def test_a_record_gives_back_the_mask_it_was_made_from(logits):
    mask = ObjectMask.from_logits(7, logits, 3.25, 0.5)
    back = MaskRecord.from_mask(mask, 4, 2, "prompt").to_mask()
    assert back == mask  # the fields that are not arrays
    np.testing.assert_array_equal(back.mask, mask.mask, strict=True)
    np.testing.assert_array_equal(back.strength, mask.strength, strict=True)


@given(logit_images)
def test_a_record_is_the_packed_mask_of_its_frame(logits):
    mask = ObjectMask.from_logits(7, logits, 3.25, 0.5)
    packed = MaskRecord.from_mask(mask, 4, 2, "prompt").to_packed(logits.shape)
    assert packed == PackedMask.from_array(logits > 0)


def test_nothing_visible_is_a_record_too():
    record = _record(logits=np.full((3, 3), -1.0, np.float32))
    assert record.box == EMPTY_BOX
    assert record.to_mask().mask.shape == (0, 0)


def test_a_persons_mask_is_kept_to_the_pixel_and_is_as_strong_as_can_be():
    painted = np.random.default_rng(0).random((9, 8)) > 0.5
    record = MaskRecord.from_person(PackedMask.from_array(painted), 3, 1)
    np.testing.assert_array_equal(record.to_mask().to_array((9, 8)), painted)
    assert set(np.unique(record.unpacked_strength())) == {0, 255}
    assert record.provenance == "mask"
    assert record.object_score > 0


def test_records_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        _record().run = 5


def test_the_store_gives_back_what_was_appended_in_order():
    store = MemoryMaskStore()
    records = [_record(frame=t) for t in range(5)]
    keys = [store.append(record) for record in records]
    assert [store.get(key) for key in keys] == list(store) == records
    assert len(store) == 5


@pytest.mark.parametrize("key", [-1, 0, 7])
def test_an_unknown_key_is_a_lookup_error(key):
    with pytest.raises(LookupError):
        MemoryMaskStore().get(key)


def test_threads_may_append_at_the_same_time():
    store, keys = MemoryMaskStore(), [[] for _ in range(4)]

    def work(number):
        for t in range(300):
            key = store.append(_record(number + 1, t))
            keys[number].append(key)
            assert store.get(key).frame == t

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(key for mine in keys for key in mine) == list(range(1200))
    for number, mine in enumerate(keys):
        assert {store.get(key).object_id for key in mine} == {number + 1}


def test_iterating_is_not_disturbed_by_appending():
    store = MemoryMaskStore()
    store.append(_record())
    for _ in store:
        store.append(_record())
    assert len(store) == 2


def test_a_persons_mask_belongs_to_no_run_and_is_certain():
    record = MaskRecord.from_person(PackedMask.from_array(np.eye(4, dtype=bool)), 3, 1)
    assert (record.object_id, record.frame, record.run) == (3, 1, 0)
    assert (record.object_score, record.iou, record.view) == (10.0, 1.0, None)


def test_the_window_of_a_mask_is_kept():
    mask = ObjectMask.from_logits(7, np.full((4, 5), 2.0, np.float32), 3.5, 0.75, (2, 3, 6, 8))
    record = MaskRecord.from_mask(mask, 4, 2, "tracked")
    assert record.box == record.view == (2, 3, 6, 8)
    assert record.to_mask().view == (2, 3, 6, 8)
    assert record.to_packed((9, 9)).to_array()[2:6, 3:8].all()


def test_a_record_tells_the_memory_that_it_takes():
    small, large = _record(), _record(logits=np.random.default_rng(0).random((90, 80), np.float32))
    for record in (small, large):
        assert record.num_bytes == 600 + len(record.bits) + len(record.strength)
    assert large.num_bytes > small.num_bytes + 90 * 80 // 8


def test_a_store_tells_the_memory_of_what_it_keeps():
    store = MemoryMaskStore()
    assert (len(store), store.num_bytes) == (0, 0)
    records = [_record(frame=t, logits=np.full((t + 1, 9), 2.0, np.float32)) for t in range(6)]
    for number, record in enumerate(records):
        assert store.append(record) == number
    assert store.num_bytes == sum(record.num_bytes for record in records)
    store.discard({1, 4, 99})
    assert [store.get(key) for key in (1, 4)] == [records[1], records[4]] == list(store)
    assert store.num_bytes == records[1].num_bytes + records[4].num_bytes
    assert len(store) == 2
    for gone in (0, 2, 3, 5):
        with pytest.raises(IndexError, match=f"there is no record {gone}"):
            store.get(gone)
    assert store.append(records[0]) == 6, "a key is never given twice"
    assert store.num_bytes == sum(records[t].num_bytes for t in (0, 1, 4))
