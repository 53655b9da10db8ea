"""What needs no model at all: thresholding and connected components, followed from a click."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from napari_sam2.evaluation.clicks import EIGHT_CONNECTED, Click
from napari_sam2.evaluation.objects import Predict


def otsu_threshold(frame: np.ndarray, num_bins: int = 256) -> float:
    """Return the threshold that separates the two classes of `frame` best (Otsu 1979).

    Parameters
    ----------
    frame : ndarray, any shape, real
        Intensities.
    num_bins : int
        Bins of the histogram between the smallest and the largest value.

    Returns
    -------
    float
        Pixels above it are the bright class.
    """
    counts, edges = np.histogram(frame, bins=num_bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = frame.size - below
    sums = np.cumsum(counts * centres)
    mean_below = sums[:-1] / np.maximum(below, 1)
    mean_above = (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    between = below * above * (mean_below - mean_above) ** 2
    return float(edges[1:-1][between.argmax()])


def otsu_prediction(
    image: np.ndarray, clicks: Mapping[int, tuple[int, Click]], smoothing: float = 1.0
) -> Predict:
    """Follow each clicked object as a connected component of the thresholded frames.

    Parameters
    ----------
    image : ndarray of shape (T, Y, X)
        Grey-value stack.
    clicks : mapping of int to (int, Click)
        Object id to its prompted frame and one positive click there.
    smoothing : float
        Sigma of a Gaussian filter before thresholding, pixels; it makes this floor stronger in noise.

    Returns
    -------
    callable
        (object_id, frame) -> mask. The class, bright or dark, is the one under the click. From frame to frame the
        component of greatest overlap is taken, or the nearest one if none overlaps.
    """
    smooth = np.stack(
        [ndimage.gaussian_filter(frame.astype(np.float64), smoothing) for frame in image]
    )
    bright = np.stack([frame > otsu_threshold(frame) for frame in smooth])
    regions = {side: _components(bright if side else ~bright) for side in (True, False)}
    followed = {
        object_id: _follow(regions[bool(bright[frame, click.y, click.x])], frame, click)
        for object_id, (frame, click) in clicks.items()
    }
    return lambda object_id, frame: followed[object_id][frame]


def _components(foreground: np.ndarray) -> list[np.ndarray]:
    return [ndimage.label(frame, structure=EIGHT_CONNECTED)[0] for frame in foreground]


def _follow(regions: list[np.ndarray], prompted_frame: int, click: Click) -> list[np.ndarray]:
    start = regions[prompted_frame] == regions[prompted_frame][click.y, click.x]
    masks = {prompted_frame: start}
    for step, stop in ((1, len(regions)), (-1, -1)):
        for t in range(prompted_frame + step, stop, step):
            masks[t] = _best_component(regions[t], masks[t - step])
    return [masks[t] for t in range(len(regions))]


def _best_component(regions: np.ndarray, previous: np.ndarray) -> np.ndarray:
    if not previous.any() or not regions.any():
        return np.zeros(regions.shape, bool)
    overlaps = np.bincount(regions[previous])
    overlaps[0] = 0
    if overlaps.any():
        return regions == overlaps.argmax()
    distance = ndimage.distance_transform_edt(~previous)
    nearest = np.where(regions > 0, distance, np.inf).argmin()
    return regions == regions.ravel()[nearest]
