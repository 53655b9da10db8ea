"""Frame -> model input, and logits -> frame size."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.core.views import View

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalise(image: Tensor) -> Tensor:
    """Shift and scale channels of (B, 3, S, S) in [0, 1] by the statistics the network was trained with."""
    mean = image.new_tensor(MEAN).view(1, 3, 1, 1)
    std = image.new_tensor(STD).view(1, 3, 1, 1)
    return (image - mean) / std


def to_model_input(frame: np.ndarray, side: int, device: torch.device) -> Tensor:
    """Stretch a mapped frame to the model's square.

    Parameters
    ----------
    frame : ndarray of shape (Y, X) or (Y, X, 3), float32
        In [0, 1]; one channel is repeated.
    side : int
        Model pixels.
    device : torch.device
        Where the result lies.

    Returns
    -------
    Tensor of shape (1, 3, side, side), float32
        Normalised.
    """
    image = torch.from_numpy(np.ascontiguousarray(frame)).to(device)
    image = image[None, None] if image.ndim == 2 else image.permute(2, 0, 1)[None]
    if image.shape[-2:] != (side, side):
        image = F.interpolate(image, (side, side), mode="bilinear", antialias=True)
    return normalise(image.expand(1, 3, -1, -1))


def to_model_mask(mask: np.ndarray, side: int, device: torch.device) -> Tensor:
    """Stretch a bool mask (Y, X) to (1, 1, side, side), float32, 0 or 1; half-covered pixels count.

    A mask too small to cover half a model pixel anywhere keeps the pixels that it covers most.
    """
    image = torch.from_numpy(mask.astype(np.float32)).to(device)[None, None]
    if image.shape[-2:] == (side, side):
        return image
    coverage = F.interpolate(image, (side, side), mode="bilinear", antialias=True)
    threshold = coverage.max().clamp(min=1e-6, max=0.5)
    return (coverage >= threshold).float()


def to_view_logits(logits: Tensor, view: View) -> Tensor:
    """Stretch logits (B, K, 4h, 4w) to the frame pixels of `view`, bilinear."""
    size = (view.height, view.width)
    if tuple(logits.shape[-2:]) == size:
        return logits
    return F.interpolate(logits.float(), size, mode="bilinear")


def to_object_logits(logits: Tensor, view: View) -> tuple[Tensor, tuple[int, int]]:
    """Stretch logits to the frame pixels of `view`, but only around what is above 0, where that can be done exactly.

    Parameters
    ----------
    logits : Tensor of shape (1, 1, 4h, 4w)
        Of one object.
    view : View
        What they show.

    Returns
    -------
    logits : Tensor of shape (height, width), float32
        Outside of it, nothing is above 0.
    corner : (y, x)
        Where it begins in the view, pixels.
    """
    cells = logits.shape[-2:]
    by = view.height // cells[0], view.width // cells[1]
    if (cells[0] * by[0], cells[1] * by[1]) != (view.height, view.width) or min(by) < 2:
        return to_view_logits(logits, view)[0, 0], (0, 0)
    # A pixel is above 0 only if one of the four cells around it is; one more cell keeps the border's values right.
    is_above = logits[0, 0] > 0
    (y0, y1), (x0, x1) = _around(is_above.any(1), 2), _around(is_above.any(0), 2)
    part = View(0, 0, (y1 - y0) * by[0], (x1 - x0) * by[1])
    return to_view_logits(logits[..., y0:y1, x0:x1], part)[0, 0], (y0 * by[0], x0 * by[1])


def _around(is_inside: Tensor, margin: int) -> tuple[int, int]:
    """Return from where to where there is anything, widened by `margin`; the first one if there is nothing."""
    inside = is_inside.nonzero().flatten().tolist()
    if not inside:
        return 0, 1
    return max(0, inside[0] - margin), min(len(is_inside), inside[-1] + 1 + margin)
