from __future__ import annotations

import time

import numpy as np
import pytest

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import FrameReadError, ImageError

STACK = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)


class Counting:
    """An array that remembers what was asked of it."""

    def __init__(self, array):
        self.array, self.keys = array, []
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key):
        self.keys.append(key)
        return self.array[key]

    def __array__(self, *args, **kwargs):
        raise AssertionError("the whole stack was read")


def test_only_the_frame_asked_for_is_read():
    lazy = Counting(STACK)
    frames = ArrayFrames(lazy)
    assert (len(frames), frames.shape, frames.dtype, frames.is_rgb) == (3, (4, 5), np.uint16, False)
    assert lazy.keys == []
    np.testing.assert_array_equal(frames.read(1), STACK[1])
    assert lazy.keys == [(1, slice(None), slice(None))]


def test_dask_and_zarr_give_the_same_frames(tmp_path):
    dask, zarr = pytest.importorskip("dask"), pytest.importorskip("zarr")
    da = pytest.importorskip("dask.array")
    stored = zarr.create_array(tmp_path / "a.zarr", shape=STACK.shape, dtype=STACK.dtype)
    stored[:] = STACK
    for array in (da.from_array(STACK, chunks=1), stored):
        with dask.config.set(scheduler="synchronous"):  # its pool of threads outlives the test
            frame = ArrayFrames(array).read(2)
        assert isinstance(frame, np.ndarray)
        np.testing.assert_array_equal(frame, STACK[2])


def test_a_flat_image_is_a_stack_of_one_frame():
    frames = ArrayFrames(STACK[0])
    assert len(frames) == 1
    np.testing.assert_array_equal(frames.read(0), STACK[0])


def test_columns_before_rows_are_turned_round():
    frames = ArrayFrames(STACK, StackView(0, 2, 1))
    assert frames.shape == (5, 4)
    np.testing.assert_array_equal(frames.read(1), STACK[1].T)


def test_any_axis_can_hold_the_frames():
    frames = ArrayFrames(STACK, StackView(2, 0, 1))
    assert (len(frames), frames.shape) == (5, (3, 4))
    np.testing.assert_array_equal(frames.read(4), STACK[..., 4])


def test_rgb_frames_keep_their_channels():
    rgb = np.zeros((2, 4, 5, 3), np.uint8)
    rgb[1, 2, 3] = (1, 2, 3)
    frames = ArrayFrames(rgb, rgb=True)
    assert (len(frames), frames.shape, frames.is_rgb) == (2, (4, 5), True)
    assert frames.read(1)[2, 3].tolist() == [1, 2, 3]


@pytest.mark.parametrize("layout", ["big-endian", "reversed", "read-only", "every other"])
def test_any_layout_gives_a_native_contiguous_frame(layout):
    array = {
        "big-endian": STACK.astype(">u2"),
        "reversed": STACK[:, ::-1, ::-1][:, ::-1, ::-1],
        "read-only": STACK.copy(),
        "every other": np.repeat(STACK, 2, axis=2)[..., ::2],
    }[layout]
    array.flags.writeable = layout != "read-only"
    frame = ArrayFrames(array).read(1)
    assert frame.dtype == np.uint16
    assert frame.dtype.isnative
    assert frame.flags.c_contiguous
    np.testing.assert_array_equal(frame, STACK[1])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_empty_axis_is_refused_by_name_and_number(axis):
    shape = [3, 4, 5]
    shape[axis] = 0
    text = "(" + ",".join(map(str, shape)) + ")"
    with pytest.raises(ImageError) as caught:
        ArrayFrames(np.zeros(shape), name="raw")
    assert str(caught.value).startswith(f"layer 'raw' has shape {text}: axis {axis} is empty")


@pytest.mark.parametrize("dtype", [complex, object, "datetime64[s]", "U3"])
def test_pixels_that_are_no_numbers_are_refused_by_name(dtype):
    with pytest.raises(ImageError, match=str(np.dtype(dtype)).replace("[", r"\[")):
        ArrayFrames(np.zeros((2, 3, 4), dtype))


def test_one_axis_is_refused():
    with pytest.raises(ImageError, match="at least rows and columns"):
        ArrayFrames(np.zeros(5))


@pytest.mark.parametrize("shape", [(2, 4, 5, 4), (4, 5), (3, 5, 2)])
def test_rgb_without_three_channels_is_refused(shape):
    with pytest.raises(ImageError, match="RGB needs a last axis of length 3"):
        ArrayFrames(np.zeros(shape, np.uint8), rgb=True)


def test_a_view_of_other_dimensions_is_refused():
    with pytest.raises(ImageError, match="names 4 axes"):
        ArrayFrames(STACK, StackView(0, 2, 3, ((1, 0),)))


def test_a_fixed_index_beyond_its_axis_is_refused():
    with pytest.raises(ImageError, match="index 3 is outside axis 0"):
        ArrayFrames(STACK[None], StackView(1, 2, 3, ((0, 3),)))


@pytest.mark.parametrize("t", [-1, 3])
def test_a_frame_out_of_range_never_wraps(t):
    with pytest.raises(FrameReadError, match=r"outside 0\.\.2"):
        ArrayFrames(STACK).read(t)


def test_a_frame_that_cannot_be_read_is_named_with_its_cause():
    class Broken(Counting):
        def __getitem__(self, key):
            raise RuntimeError("Zstd decompression error")

    with pytest.raises(FrameReadError, match="frame 1 of 'raw' could not be read") as caught:
        ArrayFrames(Broken(STACK), name="raw").read(1)
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 1, 1), (2, 1, 20000)])
def test_tiny_and_narrow_frames_are_taken(shape):
    frames = ArrayFrames(np.zeros(shape, np.uint8))
    assert frames.read(0).shape == shape[-2:]


def test_pixels_that_are_not_finite_are_told_once_and_counted(caplog):
    stack = STACK.astype(np.float32)
    stack[1, 0, :2] = np.nan
    stack[2, 0, 0] = np.inf
    frames = ArrayFrames(stack, name="raw")
    for _ in range(2):
        for t in range(3):
            frames.read(t)
    (record,) = caplog.records
    assert record.getMessage().startswith("layer 'raw': 2 pixels of frame 1 are NaN or infinite")
    assert frames.nonfinite == {1: 2, 2: 1}


class Declared:
    """An array that exists in its metadata only."""

    def __init__(self, shape, dtype=np.uint8, **layout):
        self.shape, self.dtype = shape, np.dtype(dtype)
        vars(self).update(layout)

    def __getitem__(self, key):
        raise AssertionError("a pixel was read")


def test_a_frame_beyond_memory_is_refused_from_its_metadata():
    with pytest.raises(ImageError) as caught:
        ArrayFrames(Declared((10**9, 10**6), np.uint16), name="raw")
    message = str(caught.value)
    assert (
        "one frame of 'raw' has 1000000000x1000000 pixels, 1.86e+06 GiB (budget 4 GiB)" in message
    )
    assert "crop it" in message


def test_many_frames_are_no_reason_to_refuse():
    frames = ArrayFrames(Declared((10**9, 2048, 2048), np.uint16, chunks=(1, 512, 512)))
    assert len(frames) == 10**9


@pytest.mark.parametrize(
    "layout",
    [
        {"chunks": (1000, 5000, 2000)},
        {"chunks": (1, 100_000, 100_000)},
        {"chunks": ((1000,), (100,), (200,)), "chunksize": (1000, 5000, 2000)},
    ],
)
def test_a_chunk_beyond_memory_is_refused_from_its_metadata(layout):
    with pytest.raises(ImageError) as caught:
        ArrayFrames(Declared((1000, 100, 200), np.uint16, **layout), name="raw")
    message = str(caught.value)
    assert "reading frame 0 of 'raw' would decode 18.6 GiB (budget 4 GiB)" in message
    assert "chunks of one frame each" in message


@pytest.mark.parametrize("chunks", [None, (50, 100, 200), (1, 64, 64)])
def test_chunks_within_memory_are_taken(chunks):
    assert len(ArrayFrames(Declared((1000, 100, 200), np.uint16, chunks=chunks))) == 1000


def test_chunks_count_along_the_axes_that_a_frame_fills():
    columns = Declared((200_000, 100, 200), np.uint16, chunks=(200_000, 1, 1))
    assert len(ArrayFrames(columns, StackView.default(3, 1))) == 100
    with pytest.raises(ImageError, match="would decode"):
        ArrayFrames(columns)


def test_frames_with_nothing_to_see_are_listed():
    stack = STACK.astype(np.float32)
    stack[0], stack[2] = np.nan, 7
    stack[2, 0, 0] = np.inf
    frames = ArrayFrames(stack)
    assert frames.blank == ()
    for t in (2, 1, 0):
        frames.read(t)
    assert frames.blank == (0, 2)


class Flaky:
    """An array on a share that fails some times before it answers."""

    shape, dtype = (3, 4, 5), np.dtype(np.uint8)

    def __init__(self, failures, error=None):
        self.failures, self.num_asked = failures, 0
        self.error = error or OSError(5, "Input/output error")

    def __getitem__(self, key):
        self.num_asked += 1
        if self.num_asked <= self.failures:
            raise self.error
        return np.ones((4, 5), np.uint8)


def test_a_share_that_fails_for_a_moment_is_asked_again(monkeypatch):
    pauses = []
    monkeypatch.setattr("napari_sam2.core.arrays.time.sleep", pauses.append)
    assert ArrayFrames(Flaky(2)).read(1).all()
    assert pauses == [0.1, 0.5]
    with pytest.raises(FrameReadError, match="Input/output error"):
        ArrayFrames(Flaky(3)).read(1)


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "gone"), PermissionError(13, "no"), ValueError("bad")]
)
def test_what_will_not_get_better_is_told_at_once(error):
    array = Flaky(9, error)
    with pytest.raises(FrameReadError):
        ArrayFrames(array).read(1)
    assert array.num_asked == 1


def test_a_frame_in_too_many_chunks_is_refused_from_its_metadata():
    class Lazy:
        shape, dtype, chunks = (5, 4000, 4000), np.dtype("u1"), (1, 8, 8)

        def __getitem__(self, key):
            raise AssertionError("nothing is read")

    with pytest.raises(ImageError, match="frame 0 of 'stack' lies in 250000 chunks"):
        ArrayFrames(Lazy(), name="stack")
    Lazy.chunks = (1, 32, 32)
    assert len(ArrayFrames(Lazy(), name="stack")) == 5


def test_two_threads_never_read_the_array_at_once():
    from concurrent.futures import ThreadPoolExecutor
    from threading import Lock

    class Touchy:
        shape, dtype = (4, 2, 2), np.dtype(np.uint8)
        busy = Lock()

        def __getitem__(self, key):
            assert self.busy.acquire(blocking=False), "two reads at once"
            time.sleep(0.005)
            self.busy.release()
            return np.zeros((2, 2), np.uint8)

    frames = ArrayFrames(Touchy())
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(frames.read, [0, 1, 2, 3] * 3))) == 12
