"""Clips seen otherwise: turned, mirrored, backwards in time, enlarged, or four times side by side."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.training.chance import Chance
from napari_sam2.training.generator import Clips
from napari_sam2.training.scene import MAX_OBJECTS


def enlarged(clips: Clips, side: int) -> Clips:
    """Stretch clips to frames of `side` pixels, as a window of a frame is stretched to the model's input."""
    if clips.labels.shape[-1] == side:
        return clips
    images = F.interpolate(clips.images.flatten(0, 1), (side, side), mode="bilinear")
    labels = F.interpolate(clips.labels.float(), (side, side), mode="nearest")
    return Clips(images.unflatten(0, clips.images.shape[:2]), labels.long())


def mosaic(clips: Clips) -> Clips:
    """Lay four copies of clips side by side, 2 x 2: every object then has three that look and move like it.

    The label of an object is `MAX_OBJECTS` higher in each further copy.
    """
    copies = [torch.where(clips.labels > 0, clips.labels + MAX_OBJECTS * n, 0) for n in range(4)]
    rows = [torch.cat(copies[:2], -1), torch.cat(copies[2:], -1)]
    return Clips(clips.images.repeat(1, 1, 1, 2, 2), torch.cat(rows, -2))


def turned(clips: Clips, chance: Chance, *, may_reverse: bool = True) -> Clips:
    """Mirror or transpose clips, and sometimes reverse their time: never back to what they were."""
    choice = 1 + int(chance.below(7, 1))

    def turn(values: Tensor) -> Tensor:
        if choice & 1:
            values = values.flip(-1)
        if choice & 2:
            values = values.flip(-2)
        return values.transpose(-1, -2) if choice & 4 else values

    images, labels = turn(clips.images), turn(clips.labels)
    if bool(chance.happens(1, share=0.5)) and may_reverse:
        images, labels = images.flip(1), labels.flip(1)
    return Clips(images.contiguous(), labels.contiguous())
