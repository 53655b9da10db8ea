"""Other pixels in the layer of ours: nobody's array is written to, and no result is lost."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
import zarr

pytestmark = pytest.mark.gui


def read_only(labels):
    other = np.full_like(labels, 9)
    other.flags.writeable = False
    return other


def in_zarr(labels):
    return zarr.array(np.full_like(labels, 9), chunks=(1, 64, 64))


OTHERS = {
    "an array": lambda labels: np.full_like(labels, 9),
    "a read-only array": read_only,
    "dask": lambda labels: dask.array.full_like(labels, 9),
    "zarr": in_zarr,
    "another shape": lambda labels: np.full((3, 8, 8), 9, np.uint8),
    "another type": lambda labels: np.full(labels.shape, 9, np.uint8),
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_whatever_is_put_into_our_layer_is_left_alone_and_results_are_shown(
    open_desk, make, caplog, monkeypatch
):
    monkeypatch.setitem(dask.config.config, "scheduler", "synchronous")  # no threads to wait for
    desk = open_desk()
    desk.click(1)
    other = make(desk.labels)
    desk.bridge.labels.data = other
    desk.propagate()
    np.testing.assert_array_equal(desk.labels, np.asarray(desk.session.labels))
    np.testing.assert_array_equal(desk.labels == 1, desk.truth == 1)
    assert (np.asarray(other) == 9).all(), "not written to"
    assert "were replaced" in caplog.text
    desk.press("M")
    desk.click(2)
    assert (desk.labels[0] == 2).any()
    shown = desk.bridge.labels._slice.image.raw
    np.testing.assert_array_equal(shown, desk.labels[0])


def test_what_is_shown_are_the_pixels_after_every_commit(open_desk):
    desk = open_desk(fake={"delay": 0.02})
    desk.click(1)
    seen = []

    def compare(frame, _box):
        desk.bridge._refresh_if_stale()
        shown = desk.bridge.labels._slice.image.raw
        seen.append(frame)
        at = int(desk.viewer.dims.current_step[0])
        np.testing.assert_array_equal(shown, np.asarray(desk.session.labels[at]))

    desk.session.frame_committed.connect(compare)
    desk.viewer.dims.set_current_step(0, 3)
    desk.propagate()
    assert 3 in seen
