"""The video that most tests of sessions are about, and where its objects are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_sam2.testing import moving_discs

VIDEO, TRUTH = moving_discs(num_frames=6, size=32, num_objects=2)


def centre_in(truth: np.ndarray) -> Callable[[int, int], tuple[float, float]]:
    """Return a function that tells the centre (y, x) of an object on a frame of `truth`, (T, Y, X)."""

    def centre(object_id: int, t: int) -> tuple[float, float]:
        y, x = np.argwhere(truth[t] == object_id).mean(0)
        return float(y), float(x)

    return centre


centre = centre_in(TRUTH)
"""Where an object of `VIDEO` is."""
