"""Clips seen otherwise: turned, mirrored, backwards in time, or enlarged."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.training.generator import Clips


def enlarged(clips: Clips, side: int) -> Clips:
    """Stretch clips to frames of `side` pixels, as a window of a frame is stretched to the model's input."""
    if clips.labels.shape[-1] == side:
        return clips
    images = F.interpolate(clips.images.flatten(0, 1), (side, side), mode="bilinear")
    labels = F.interpolate(clips.labels.float(), (side, side), mode="nearest")
    return Clips(images.unflatten(0, clips.images.shape[:2]), labels.long())


def turned(clips: Clips, generator: torch.Generator, *, may_reverse: bool = True) -> Clips:
    """Mirror or transpose clips, and sometimes reverse their time: never back to what they were."""
    choice = int(torch.randint(1, 8, (1,), generator=generator))

    def turn(values: Tensor) -> Tensor:
        if choice & 1:
            values = values.flip(-1)
        if choice & 2:
            values = values.flip(-2)
        return values.transpose(-1, -2) if choice & 4 else values

    images, labels = turn(clips.images), turn(clips.labels)
    if torch.rand(1, generator=generator) < 0.5 and may_reverse:
        images, labels = images.flip(1), labels.flip(1)
    return Clips(images.contiguous(), labels.contiguous())
