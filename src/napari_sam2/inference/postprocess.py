"""Low-resolution logits are cleaned, and become masks of the frame's size."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

REFERENCE_SIDE = 256
"""Side of the logits for which hole areas are stated; other sizes are scaled to it."""

FILLED_LOGIT = 0.1
_EIGHT = np.ones((3, 3), bool)


def fill_holes(logits: Tensor, max_area: int) -> Tensor:
    """Fill small holes in masks, on every device.

    Parameters
    ----------
    logits : Tensor of shape (B, K, H, W), float32
        Mask logits before they are stretched to the frame.
    max_area : int
        Background components (8-connected) of at most this many pixels at a side of 256 become foreground.

    Returns
    -------
    Tensor of shape (B, K, H, W)
        `logits` itself if nothing was filled.
    """
    limit = round(max_area * (logits.shape[-1] / REFERENCE_SIDE) ** 2)
    if limit < 1:
        return logits
    background = (logits <= 0).flatten(0, 1).cpu().numpy()
    holes = np.stack([_small_components(mask, limit) for mask in background])
    if not holes.any():
        return logits
    filled = torch.from_numpy(holes).to(logits.device).view_as(logits)
    return torch.where(filled, FILLED_LOGIT, logits)


def _small_components(mask: np.ndarray, limit: int) -> np.ndarray:
    components, count = ndimage.label(mask, structure=_EIGHT)
    areas = np.bincount(components.ravel(), minlength=count + 1)
    is_small = areas <= limit
    is_small[0] = False
    small: np.ndarray = is_small[components]
    return small
