"""Labels written while a run goes on: frame by frame, whole in the end, or not there at all."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from tests.core.discs import VIDEO

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import StorageError
from napari_sam2.core.placement import Placement
from napari_sam2.core.results import LabelResult
from napari_sam2.core.session import Session
from napari_sam2.core.sources import ImageSource
from napari_sam2.io.exports.live import live_labels
from napari_sam2.io.exports.ome_zarr import LabelZarr
from napari_sam2.io.images import open_image
from napari_sam2.testing import FakeSegmenter


@pytest.fixture
def session():
    frames = ArrayFrames(VIDEO)
    return Session(frames, InlineEngine(FakeSegmenter(frames)))


def result_of(session):
    source = ImageSource("discs", Placement.plain(3))
    return LabelResult(session.labels, session.stack_view, source, session.infos)


def brightest(frame):
    y, x = np.unravel_index(np.argmax(VIDEO[frame]), VIDEO[frame].shape)
    return float(y), float(x)


def track(session):
    session.add_points(1, 1, [brightest(1)], labels=[1])
    list(session.propagate())


@pytest.mark.parametrize("is_prompted_before", [False, True])
def test_what_is_found_meanwhile_is_on_disk(session, tmp_path, is_prompted_before):
    if is_prompted_before:
        session.add_points(2, 0, [brightest(0)], labels=[1])
    with live_labels(session, lambda: result_of(session), tmp_path / "l.zarr"):
        track(session)
    back = np.asarray(open_image(tmp_path / "l.zarr").array[...])
    np.testing.assert_array_equal(back, np.asarray(session.labels))
    assert back.any()
    assert [item.name for item in tmp_path.iterdir()] == ["l.zarr"]


def test_a_full_disk_ends_the_run_with_its_cause_and_leaves_the_earlier_file(
    session, tmp_path, monkeypatch
):
    path = tmp_path / "l.zarr"
    with live_labels(session, lambda: result_of(session), path):
        track(session)
    before = np.asarray(open_image(path).array[...])
    written = []
    write = LabelZarr.write

    def fail(self, t, frame):
        written.append(t)
        if len(written) > len(VIDEO) + 1:  # in the midst of the run, not before it
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, t, frame)

    monkeypatch.setattr(LabelZarr, "write", fail)

    def work():
        with live_labels(session, lambda: result_of(session), path):
            session.add_points(2, 0, [brightest(0)], labels=[1])
            list(session.propagate())
            pytest.fail("the run went on although nothing can be written")

    with pytest.raises(StorageError, match=r"l\.zarr cannot be written: No space left on device"):
        work()
    np.testing.assert_array_equal(np.asarray(open_image(path).array[...]), before)
    assert [item.name for item in tmp_path.iterdir()] == ["l.zarr"]


def test_what_goes_wrong_in_the_work_itself_is_told_as_it_is(session, tmp_path):
    def work():
        with live_labels(session, lambda: result_of(session), tmp_path / "l.zarr"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert list(tmp_path.iterdir()) == []
