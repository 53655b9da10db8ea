"""A stack set into a large textured frame: what a model makes of it may not depend on what lies far away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.intensity import sample_percentiles
from napari_sam2.core.references import ReferenceStack
from napari_sam2.evaluation.objects import (
    mean_over_objects,
    measure_objects,
    prompt_choice,
    prompt_frames,
)
from napari_sam2.evaluation.sessions import OpenWithLimits, StopWatch, TrackingSession

LARGE_SIDE = 4096
"""Side of the large frame, pixels."""

GRAINS = (2.0, 6.0, 24.0)
"""Sizes of the features of the texture: sigmas of Gaussian filters, pixels."""


class LargeFrames:
    """A stack (T, Y, X) inside larger frames, as an array that is made one frame at a time.

    Parameters
    ----------
    image : ndarray of shape (T, Y, X)
        Grey-value stack.
    side : int
        Side of the square frames, pixels; at least that of the stack.
    seed : int
        Of the texture around the stack, the same on every frame. It has the median of the stack, about its spread, and
        no value beyond its own.

    Attributes
    ----------
    shape : tuple of int
        (T, side, side).
    dtype : numpy.dtype
        That of the stack.
    place : tuple of slice
        Rows and columns of the large frame that show the stack.
    """

    def __init__(self, image: np.ndarray, side: int = LARGE_SIDE, seed: int = 0) -> None:
        num_frames, height, width = image.shape
        if max(height, width) > side:
            raise ValueError(f"a stack of {height}x{width} does not fit into frames of {side}")
        self._image = image
        self._texture = texture_like(image, side, seed)
        self.shape, self.dtype = (num_frames, side, side), image.dtype
        y0, x0 = (side - height) // 2, (side - width) // 2
        self.place = slice(y0, y0 + height), slice(x0, x0 + width)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return one frame, or the part of it that a key ``(frame, rows, columns)`` asks for."""
        t, *inside = key if isinstance(key, tuple) else (key,)
        frame = self._texture.copy()
        frame[self.place] = self._image[int(t)]
        return frame[tuple(inside)]


def texture_like(image: np.ndarray, side: int, seed: int = 0) -> np.ndarray:
    """Return a texture (side, side) without objects, with the median and about the spread of `image`, in its dtype."""
    rng = np.random.default_rng(seed)
    grain = np.zeros((side, side), np.float32)
    for sigma in GRAINS:
        noise = rng.standard_normal((side, side), np.float32)
        smooth = ndimage.gaussian_filter(noise, sigma, mode="wrap", truncate=2.0)
        grain += smooth / smooth.std()
    low, middle, high = np.percentile(image, (16, 50, 84))
    grain *= (high - low) / (2.0 * grain.std())
    texture = np.clip(middle + grain, image.min(), image.max())
    return (np.rint(texture) if image.dtype.kind in "iu" else texture).astype(image.dtype)


def embedded_iou(
    prediction: np.ndarray, reference: np.ndarray, place: tuple[slice, slice]
) -> float:
    """Return J of a mask in a large frame.

    Parameters
    ----------
    prediction : ndarray of shape (side, side), bool
        The whole frame; what lies outside the stack is surplus.
    reference : ndarray of shape (Y, X), bool
        Mask in the stack.
    place : tuple of slice
        Where the stack lies in the frame.

    Returns
    -------
    float
        0 to 1; 1 when both are empty.
    """
    shared = np.count_nonzero(prediction[place] & reference)
    union = np.count_nonzero(prediction) + np.count_nonzero(reference) - shared
    return shared / union if union else 1.0


@dataclass(frozen=True, slots=True)
class LargeFrameResult:
    """Mean J of one stack as it is, and of the same objects on the same frames in large ones; masks given."""

    name: str
    num_objects: int
    num_frames: int
    J: float
    large_J: float

    @property
    def loss(self) -> float:
        """What the large frame costs."""
        return self.J - self.large_J


def compare_in_large_frames(
    stack: ReferenceStack, open_session: OpenWithLimits, side: int = LARGE_SIDE
) -> LargeFrameResult:
    """Track a stack as it is and set into large frames, with one intensity mapping.

    Parameters
    ----------
    stack : ReferenceStack
        Grey values. Every object is given by its reference mask on one frame.
    open_session : callable
        Opens a session on an image with the intensities that become black and white.
    side : int
        Side of the large frames, pixels.

    Returns
    -------
    LargeFrameResult
        J as everywhere: the prompted frame is left out, mean over frames, then over objects; each object is judged by
        its own mask, whatever other objects cover.
    """
    mapping = sample_percentiles(ArrayFrames(stack.image))
    limits = mapping.low, mapping.high
    prompted = prompt_frames(stack.labels, prompt_choice(stack.kind))
    shape = stack.labels.shape[1:]
    whole = slice(0, shape[0]), slice(0, shape[1])
    large = LargeFrames(stack.image, side)
    scores = [
        _tracked_score(open_session(image, limits=limits), stack.labels, prompted, place, size)
        for image, place, size in (
            (stack.image, whole, shape),
            (large, large.place, large.shape[1:]),
        )
    ]
    return LargeFrameResult(stack.name, len(prompted), len(stack.labels), *scores)


def _tracked_score(
    session: TrackingSession,
    reference: np.ndarray,
    prompted: dict[int, int],
    place: tuple[slice, slice],
    shape: tuple[int, int],
) -> float:
    for object_id, t in prompted.items():
        mask = np.zeros(shape, bool)
        mask[place] = reference[t] == object_id
        session.add_mask(object_id, t, mask)
    StopWatch().drive(session.propagate())
    scores = measure_objects(
        session.mask, reference, prompted, lambda mask, truth: embedded_iou(mask, truth, place)
    )
    return mean_over_objects(scores)
