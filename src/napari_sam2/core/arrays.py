"""Frames out of anything that is indexed like an array: numpy, zarr, dask, HDF5, a memory map."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import FrameReadError, ImageError
from napari_sam2.core.intensity import check_dtype, count_nonfinite, is_blank

logger = logging.getLogger(__name__)

_PAUSES = (0.1, 0.5)
"""Seconds after which a frame is read again that could not be read."""

DECODE_BUDGET = 4 << 30
"""Bytes that reading one frame may take, chunks that reach beyond it included."""


MAX_CHUNKS = 100_000
"""In which a frame may lie; zarr takes about 0.2 ms for each, whatever is in it."""


class ArrayLikeStack(Protocol):
    """What is asked of an array: its shape and type without reading it, and one frame by indexing."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""

    @property
    def dtype(self) -> Any:
        """Data type of the pixels."""

    def __getitem__(self, key: Any, /) -> Any:
        """Return a part; only ever asked for one frame."""


class ArrayFrames:
    """A `FrameSource` over an array; only one frame at a time is turned into a numpy array.

    Parameters
    ----------
    array : array-like
        Anything with `shape`, `dtype` and indexing by integers and slices.
    stack_view : StackView, optional
        Which axes are the frame, rows and columns; the first axis of a 3-D array by default.
    rgb : bool
        The last axis holds red, green and blue; it is not counted by `stack_view`.
    name : str
        What error messages call the array, for example the layer's name.

    Raises
    ------
    ImageError
        If the shape or data type cannot be used. No pixel is read to find out.
    """

    def __init__(
        self,
        array: ArrayLikeStack,
        stack_view: StackView | None = None,
        *,
        rgb: bool = False,
        name: str = "image",
    ) -> None:
        shape = tuple(int(length) for length in array.shape)
        _check_shape(shape, rgb, name)
        ndim = len(shape) - rgb
        self.stack_view = StackView.default(ndim) if stack_view is None else stack_view
        _check_view(self.stack_view, shape[:ndim], name)
        self._dtype = check_dtype(np.dtype(array.dtype), name)
        _check_size(array, self.stack_view, rgb, name)
        _check_chunks(array, self.stack_view, name)
        self._array, self._shape, self._rgb, self.name = array, shape, rgb, name
        self._nonfinite: dict[int, int] = {}
        self._blank: set[int] = set()
        self._reading = threading.Lock()

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) of every frame, pixels."""
        return self.stack_view.frame_shape(self._shape)

    @property
    def dtype(self) -> np.dtype:
        """Data type of the frames that `read` gives, in native byte order."""
        return self._dtype.newbyteorder("=")

    @property
    def is_rgb(self) -> bool:
        """Whether a frame is (Y, X, 3) instead of (Y, X)."""
        return self._rgb

    def __len__(self) -> int:
        return self.stack_view.num_frames(self._shape)

    def read(self, t: int) -> np.ndarray:
        """Return frame `t` as a C-contiguous array in native byte order; it may be the array's own memory.

        Raises
        ------
        FrameReadError
            If `t` is out of range or the frame cannot be read; the cause is chained.
        """
        if not 0 <= t < len(self):
            raise FrameReadError(
                f"frame {t} of '{self.name}' is outside 0..{len(self) - 1}",
                remedy="ask for a frame of the stack",
            )
        try:
            with self._reading:  # files and decoders need not bear two threads
                frame = self._patiently(t)
        except Exception as error:
            raise FrameReadError(
                f"frame {t} of '{self.name}' could not be read: {type(error).__name__}: {error}",
                kept="all results so far were kept",
                remedy="check the file, then run again: it continues where it stopped",
            ) from error
        frame = self._normalised(frame)
        self._note_nonfinite(t, frame)
        if is_blank(frame):
            self._blank.add(t)
        return frame

    def _patiently(self, t: int) -> np.ndarray:
        """Read a frame; a share that fails for a moment is asked again, a file that is not there is not."""
        for pause in _PAUSES:
            try:
                return np.asarray(self._array[self.stack_view.frame_key(t)])
            except (FileNotFoundError, PermissionError):
                raise
            except OSError as error:
                logger.info("frame %s of '%s' is read again: %s", t, self.name, error)
                time.sleep(pause)
        return np.asarray(self._array[self.stack_view.frame_key(t)])

    @property
    def nonfinite(self) -> Mapping[int, int]:
        """How many pixels of a frame are NaN or infinite, for the frames read so far that have such pixels."""
        return dict(self._nonfinite)

    @property
    def blank(self) -> tuple[int, ...]:
        """The frames read so far on which there is nothing to see: one value everywhere, or no finite pixel."""
        return tuple(sorted(self._blank.copy()))

    def _note_nonfinite(self, t: int, frame: np.ndarray) -> None:
        count = count_nonfinite(frame)
        if count and not self._nonfinite:
            logger.warning(
                "layer '%s': %d pixels of frame %d are NaN or infinite and count as background; "
                "other frames may have some too",
                self.name,
                count,
                t,
            )
        if count:
            self._nonfinite[t] = count

    def _normalised(self, frame: np.ndarray) -> np.ndarray:
        if self.stack_view.is_transposed:
            frame = np.swapaxes(frame, 0, 1)
        # Not np.ascontiguousarray: dtype=... also turns big-endian pixels into native ones, without a second copy.
        return np.asarray(frame, dtype=self.dtype, order="C")


def _check_shape(shape: tuple[int, ...], rgb: bool, name: str) -> None:
    for axis, length in enumerate(shape):
        if length == 0:
            raise ImageError(
                f"layer '{name}' has shape {_text(shape)}: axis {axis} is empty",
                remedy="choose a layer that has pixels",
            )
    if rgb and (len(shape) < 3 or shape[-1] != 3):
        raise ImageError(
            f"layer '{name}' has shape {_text(shape)}: RGB needs a last axis of length 3",
            remedy="drop the alpha channel, or choose one channel",
        )
    if len(shape) - rgb < 2:
        raise ImageError(
            f"layer '{name}' has shape {_text(shape)}: at least rows and columns are needed",
            remedy="choose a 2-D image or a stack",
        )


def _check_size(array: ArrayLikeStack, view: StackView, rgb: bool, name: str) -> None:
    """Refuse a stack of which one frame does not fit into memory; only metadata are looked at."""
    itemsize = np.dtype(array.dtype).itemsize
    height, width = view.frame_shape(array.shape)
    in_frame = height * width * (3 if rgb else 1) * itemsize
    if in_frame > DECODE_BUDGET:
        raise ImageError(
            f"one frame of '{name}' has {height}x{width} pixels, {_gigabytes(in_frame)} "
            f"(budget {_gigabytes(DECODE_BUDGET)})",
            remedy="crop it, or use a coarser level",
        )
    decoded = itemsize * math.prod(_decoded_lengths(array, view))
    if decoded > DECODE_BUDGET:
        raise ImageError(
            f"reading frame 0 of '{name}' would decode {_gigabytes(decoded)} "
            f"(budget {_gigabytes(DECODE_BUDGET)})",
            remedy="save the stack with chunks of one frame each",
        )


def _check_chunks(array: ArrayLikeStack, view: StackView, name: str) -> None:
    """Refuse a stack of which one frame lies in so many chunks that looking for them would take minutes."""
    one = view.standing(0)
    sides = zip(array.shape, _chunks_of(array), strict=False)
    count = math.prod(
        math.ceil(length / chunk) for axis, (length, chunk) in enumerate(sides) if axis not in one
    )
    if count > MAX_CHUNKS:
        raise ImageError(
            f"frame 0 of '{name}' lies in {count} chunks; at most {MAX_CHUNKS} are read for a frame",
            remedy="save the stack with larger chunks",
        )


def _chunks_of(array: ArrayLikeStack) -> tuple[int, ...]:
    """Return the lengths of a chunk, or () where there are none that are known."""
    chunks = getattr(array, "chunksize", None) or getattr(array, "chunks", None) or ()
    return tuple(map(int, chunks)) if len(chunks) == len(array.shape) else ()


def _decoded_lengths(array: ArrayLikeStack, view: StackView) -> Iterator[int]:
    """Length along every axis of the chunks that one frame touches, in pixels."""
    chunks = _chunks_of(array)
    one = view.standing(0)
    for axis, length in enumerate(array.shape):
        chunk = chunks[axis] if chunks else 1
        yield chunk if axis in one else math.ceil(length / chunk) * chunk


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.3g} GiB"


def _check_view(view: StackView, shape: tuple[int, ...], name: str) -> None:
    if view.ndim != len(shape):
        raise ImageError(
            f"layer '{name}' has shape {_text(shape)}, but the stack view names {view.ndim} axes",
            remedy="name the frame, row and column axis and an index for each other axis",
        )
    view.num_frames(shape)  # its volumes have the depth that the view says
    for axis, index in view.fixed:
        if not 0 <= index < shape[axis]:
            raise ImageError(
                f"layer '{name}' has shape {_text(shape)}: index {index} is outside axis {axis}",
                remedy="choose an index within the axis",
            )


def _text(shape: tuple[int, ...]) -> str:
    return "(" + ",".join(str(length) for length in shape) + ")"
