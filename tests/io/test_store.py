"""The store on disk: what verifies is exactly what was written, and damage costs no more than it hits."""

from __future__ import annotations

import errno
import os
import struct
import threading
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import FileFormatError, StorageError
from napari_sam2.core.masks import ObjectMask, moved_box
from napari_sam2.core.saved import KeptMask
from napari_sam2.core.session import Session
from napari_sam2.core.store import MaskRecord
from napari_sam2.io import record_file, record_format, store
from napari_sam2.io.mask_records import pack_mask
from napari_sam2.io.record_file import RecordFile
from napari_sam2.io.record_format import Kind, framed, read_records
from napari_sam2.io.store import DiskMaskStore
from napari_sam2.testing import FakeSegmenter, moving_discs


def record_of(number, *, view=None, size=5):
    logits = np.full((size + 4, size + 6), -1.0, np.float32)
    logits[1 : 1 + size, 2 : 3 + size] = 0.25 * (1 + number % 40)
    logits[2, 3] = -3.0
    mask = ObjectMask.from_logits(1 + number, logits, 1.5 - number, 0.1 * number, view)
    return MaskRecord.from_mask(mask, 3 * number, number % 3, ("prompt", "tracked")[number % 2])


RECORDS = [record_of(number, view=(0, 0, 40, 40) if number == 2 else None) for number in range(6)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "masks.bin"


@pytest.fixture
def written(path):
    with DiskMaskStore(path) as store:
        assert [store.append(record) for record in RECORDS] == list(range(6))
    return path


def test_records_come_back_now_and_when_the_file_is_opened_again(written):
    with DiskMaskStore(written) as store:
        assert list(store) == RECORDS
        assert [store.get(key) for key in range(6)] == RECORDS
        assert (len(store), store.num_damaged, store.num_bytes) == (6, 0, 0)
        assert store.append(RECORDS[0]) == 6


def test_a_key_that_is_not_there_is_a_lookup_error(written):
    with DiskMaskStore(written) as store, pytest.raises(LookupError, match="record 6"):
        store.get(6)


def test_a_session_keeps_its_masks_in_the_file(path):
    video, truth = moving_discs(num_frames=5, size=24)
    frames = ArrayFrames(video)
    with DiskMaskStore(path, durable=True) as store:
        session = Session(frames, InlineEngine(FakeSegmenter(frames)), store=store)
        session.add_points(1, 0, np.argwhere(truth[0] == 1)[:1])
        list(session.propagate())
        in_memory = Session(frames, InlineEngine(FakeSegmenter(frames)))
        in_memory.add_points(1, 0, np.argwhere(truth[0] == 1)[:1])
        list(in_memory.propagate())
        np.testing.assert_array_equal(session.labels[4], in_memory.labels[4])
        assert len(store) == len(in_memory.store) == 5
        assert session.labels[4].any()


def test_many_threads_may_append_and_read(path):
    with DiskMaskStore(path) as store:

        def work(first):
            for number in range(first, first + 20):
                key = store.append(record_of(number))
                assert store.get(key).object_id == 1 + number

        threads = [threading.Thread(target=work, args=(first,)) for first in (0, 100, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(record.object_id for record in store) == [
            1 + first + number for first in (0, 100, 200) for number in range(20)
        ]


def test_what_is_discarded_is_gone_from_the_file_after_compacting(written):
    before = written.stat().st_size
    with DiskMaskStore(written) as store:
        store.discard({1, 4})
        assert list(store) == [RECORDS[1], RECORDS[4]]
        store.compact()
        assert store.append(RECORDS[2]) == 6
        assert list(store) == [RECORDS[1], RECORDS[4], RECORDS[2]]
    assert written.stat().st_size < before
    with DiskMaskStore(written) as store:
        assert [store.get(key) for key in (1, 4, 6)] == [RECORDS[1], RECORDS[4], RECORDS[2]]


def test_compacting_that_fails_changes_nothing(written, monkeypatch):
    def fail(*args):
        raise OSError(errno.EACCES, "Permission denied")

    before = written.read_bytes()
    with DiskMaskStore(written) as store:
        store.discard({1})
        monkeypatch.setattr("os.replace", fail)
        with pytest.raises(StorageError, match="Permission denied"):
            store.compact()
        assert list(store) == [RECORDS[1]]
    assert written.read_bytes() == before
    assert [item.name for item in written.parent.iterdir()] == [written.name]


def test_compacting_never_vouches_for_damage(written):
    with DiskMaskStore(written) as store:
        _flip(written, written.stat().st_size - 1)
        with pytest.raises(FileFormatError, match="record 5 is damaged; track its frame again"):
            store.get(5)
        store.compact()
        assert list(store) == RECORDS[:5]


def test_a_disk_that_is_full_costs_the_record_and_no_other(written):
    class Full:
        """A disk on which half a record still fits."""

        def __init__(self, file):
            self.file, self.num_writes = file, 0

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            self.num_writes += 1
            if self.num_writes > 1:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(data[: len(data) // 2])

    before = written.read_bytes()
    with DiskMaskStore(written) as store:
        disk = store._records._file
        store._records._file = Full(disk)
        with pytest.raises(
            StorageError, match=r"No space left.*needed.*free.*what was written before is kept"
        ):
            store.append(RECORDS[0])
        assert written.read_bytes() == before
        store._records._file = disk
        assert store.append(RECORDS[0]) == 6
        assert list(store) == [*RECORDS, RECORDS[0]]


def _flip(path, place, mask=1):
    data = bytearray(path.read_bytes())
    data[place] ^= mask
    path.write_bytes(data)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_file_that_was_cut_off_has_all_records_before_the_cut(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "masks.bin"
    with DiskMaskStore(path) as store:
        ends = [path.stat().st_size]
        for record in RECORDS:
            store.append(record)
            ends.append(path.stat().st_size)
    whole = path.read_bytes()
    size = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:size])
    num_whole = sum(end <= size for end in ends[1:])
    with DiskMaskStore(path) as store:
        assert list(store) == RECORDS[:num_whole]
        assert store.append(RECORDS[-1]) == num_whole
    with DiskMaskStore(path) as store:
        assert list(store) == [*RECORDS[:num_whole], RECORDS[-1]]


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_a_flipped_byte_costs_the_record_that_it_hits_and_no_other(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("flip") / "masks.bin"
    with DiskMaskStore(path) as store:
        starts = []
        for record in RECORDS:
            starts.append(path.stat().st_size)
            store.append(record)
    place = data.draw(st.integers(0, path.stat().st_size - 1))
    _flip(path, place, data.draw(st.integers(1, 255)))
    hit = sum(start <= place for start in starts) - 1
    expected = RECORDS if hit < 0 else RECORDS[:hit] + RECORDS[hit + 1 :]
    with DiskMaskStore(path) as store:
        assert list(store) == expected
        # A last record without a sound head cannot be told from one that was not written whole.
        is_tail = hit == len(RECORDS) - 1 and place < starts[hit] + 24
        assert store.num_damaged == (not is_tail)
        key = store.append(RECORDS[0])
    with DiskMaskStore(path) as store:
        assert store.get(key) == RECORDS[0]
        assert list(store) == [*expected, RECORDS[0]]


def test_a_beginning_that_is_damaged_is_told_if_nothing_else_is_there(path):
    DiskMaskStore(path).close()
    _flip(path, 14)
    with pytest.raises(FileFormatError, match="the beginning of the file is damaged"):
        DiskMaskStore(path)


def test_damage_of_many_bytes_costs_what_it_covers(written):
    sizes = [len(framed(0, pack_mask(KeptMask(record)))) for record in RECORDS]
    start = written.stat().st_size - sum(sizes) + sizes[0] + 5
    data = bytearray(written.read_bytes())
    data[start : start + sizes[1]] = b"\xf5S2\n" * (sizes[1] // 4) + b"x" * (sizes[1] % 4)
    written.write_bytes(data)
    with DiskMaskStore(written) as store:
        assert list(store) == [RECORDS[0], *RECORDS[3:]]
        assert store.num_damaged == 1


def test_another_file_is_refused_and_left_alone(path):
    for content in (b"not masks at all, but something else", b"GIF89a"):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match="no file of masks"):
            DiskMaskStore(path)
        assert path.read_bytes() == content


def test_a_newer_version_is_refused_and_both_are_named(written):
    data = bytearray(written.read_bytes())
    data[8:12] = struct.pack("<I", 7)
    data[28:32] = struct.pack("<I", zlib.crc32(bytes(data[:28])))
    written.write_bytes(data)
    with pytest.raises(FileFormatError, match=r"version 7.*reads version 2"):
        DiskMaskStore(written)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StorageError, match="nowhere"):
        DiskMaskStore(tmp_path / "nowhere" / "masks.bin")


def test_a_length_beyond_what_is_read_ends_the_file(written):
    head = struct.pack("<4sQII", b"\xf5S2\n", 6, record_format.MAX_RECORD + 1, 0)
    with written.open("ab") as file:
        file.write(head + struct.pack("<I", zlib.crc32(head)) + b"x" * 50)
    with DiskMaskStore(written) as store:
        assert list(store) == RECORDS


def test_a_store_does_not_wait_for_the_disk_unless_it_is_asked_to(path, tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    with DiskMaskStore(path) as plain, DiskMaskStore(tmp_path / "safe", durable=True) as durable:
        monkeypatch.setattr(os, "fsync", lambda number: synced.append(number) or fsync(number))
        plain.append(RECORDS[0])
        assert synced == []
        durable.append(RECORDS[0])
        assert len(synced) == 1


def test_a_mask_that_would_be_too_large_to_be_read_is_not_written(written, monkeypatch):
    size = len(pack_mask(KeptMask(RECORDS[0])))
    for module in (store, record_file, record_format):
        monkeypatch.setattr(module, "MAX_RECORD", size)
    with DiskMaskStore(written) as disk:
        key = disk.append(RECORDS[0])
        assert disk.get(key) == RECORDS[0]
        monkeypatch.setattr(store, "MAX_RECORD", size - 1)
        with pytest.raises(FileFormatError, match="object 1 on frame 0 takes 0 MiB"):
            disk.append(RECORDS[0])


def test_a_record_is_as_long_as_is_read_and_no_longer(path, monkeypatch):
    monkeypatch.setattr(record_file, "MAX_RECORD", 3 << 20)
    monkeypatch.setattr(record_format, "MAX_RECORD", 3 << 20)
    records = RecordFile(path, store.KIND)
    records.append(bytes(3 << 20))
    with pytest.raises(FileFormatError, match=r"a record of 3\.5 MiB is larger than 3 MiB"):
        records.append(bytes(7 << 19))
    records.close()
    generation, found, num_damaged = read_records(path, store.KIND)
    assert generation == records.generation
    assert found == [(0, bytes(3 << 20))]
    assert num_damaged == 0
    monkeypatch.setattr(record_format, "MAX_RECORD", (3 << 20) - 1)
    assert read_records(path, store.KIND)[1] == []


def test_a_mask_may_lie_a_million_pixels_out_and_no_further(path):
    far = replace(RECORDS[0], box=moved_box(RECORDS[0].box, ((1 << 20) - 8, (1 << 20) - 9)))
    height, width = (far.box[2], far.box[3])
    far = replace(far, box=moved_box(far.box, ((1 << 20) - height, (1 << 20) - width)))
    assert far.box[2:] == (1 << 20, 1 << 20)
    with DiskMaskStore(path) as disk:
        assert disk.get(disk.append(far)) == far
        for by in ((1, 0), (0, 1)):
            key = disk.append(replace(far, box=moved_box(far.box, by)))
            with pytest.raises(FileFormatError, match="is damaged"):
                disk.get(key)


@pytest.mark.parametrize("step", [7, 8, 16, 33, 64])
def test_the_next_record_is_found_wherever_it_stands(written, monkeypatch, step):
    """The file is searched in parts, and a mark may stand across the border of two."""
    monkeypatch.setattr(record_format, "_STEP", step)
    whole = written.read_bytes()
    second = whole.index(record_format._MARK, record_format.FILE_HEAD.size + 1)
    for num_junk in range(1, 40):
        written.write_bytes(whole[:second] + b"?" * num_junk + whole[second:])
        with DiskMaskStore(written) as disk:
            assert list(disk) == RECORDS
            assert disk.num_damaged == 1


def test_a_file_of_zeros_is_one_that_was_begun_when_the_power_went(path):
    path.write_bytes(bytes(100))
    with DiskMaskStore(path) as store:
        assert len(store) == store.num_damaged == 0
        store.append(RECORDS[0])
    with DiskMaskStore(path) as store:
        assert list(store) == RECORDS[:1]


def test_zeros_with_something_behind_them_are_another_file(path):
    path.write_bytes(bytes(100) + b"x")
    with pytest.raises(FileFormatError, match="is no file of masks"):
        DiskMaskStore(path)
    assert path.read_bytes() == bytes(100) + b"x"


def test_a_file_of_another_kind_of_ours_is_refused(path):
    records = RecordFile(path, Kind(b"SAM2runs", "file of results"))
    records.append(b"F")
    records.close()
    with pytest.raises(FileFormatError, match="is no file of masks"):
        DiskMaskStore(path)


def test_a_mark_at_the_very_end_is_no_record(written):
    whole = written.read_bytes()
    written.write_bytes(whole + b"?" * 40 + record_format._MARK)
    with DiskMaskStore(written) as disk:
        assert list(disk) == RECORDS
    assert written.read_bytes() == whole


def test_a_file_that_could_not_be_opened_again_is_when_it_can(written, monkeypatch):
    disk, opened = DiskMaskStore(written), record_file._opened
    disk.discard({1, 2})

    def fail(path):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(record_file, "_opened", fail)
    with pytest.raises(StorageError, match="Too many open files"):
        disk.compact()
    monkeypatch.setattr(record_file, "_opened", opened)
    assert list(disk) == RECORDS[1:3]
    assert disk.get(disk.append(RECORDS[0])) == RECORDS[0]
    disk.close()
