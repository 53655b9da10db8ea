"""Quality: how closely the network looks, and how much it remembers. The only options that trade accuracy for time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from napari_sam2.core.options import Quality
from napari_sam2.inference.memory import NUM_RECENT
from napari_sam2.model.sam2 import Sam2

SIDE_STEP = 32
"""The side is a multiple of the coarsest stride."""

LARGE_SIDE = 512
"""Models that look at so many pixels or more are slow on CPUs: seconds an object and frame."""


@dataclass(frozen=True, slots=True)
class Economy:
    """What a quality saves.

    Attributes
    ----------
    scale : float
        Side of what the network looks at, as a part of the side it was trained with.
    num_recent : int
        Spatial memories of recent frames attended to, at most 6.
    max_conditioning : int or None
        Conditioning frames attended to, at least 2.
    """

    scale: float = 1.0
    num_recent: int = NUM_RECENT
    max_conditioning: int | None = None


ECONOMIES: dict[Quality, Economy] = {
    "full": Economy(),
    "balanced": Economy(0.75, 4, 3),
    "fast": Economy(0.5, 2, 2),
}


def is_large(network: Sam2) -> bool:
    """Say whether most of a frame's time goes into large matrix products."""
    return network.config.image_size >= LARGE_SIDE


def economy_of(quality: Quality, network: Sam2, device: torch.device) -> Economy:
    """Return what is saved; "auto" saves on CPUs with models that are slow there, and nowhere else."""
    if quality == "auto":
        quality = "balanced" if device.type == "cpu" and is_large(network) else "full"
    return ECONOMIES[quality]


def scaled(network: Sam2, scale: float) -> Sam2:
    """Return the network looking at fewer pixels, with the same weights in memory."""
    config = network.config
    side = max(SIDE_STEP, round(config.image_size * scale / SIDE_STEP) * SIDE_STEP)
    if side == config.image_size:
        return network
    with torch.device("meta"):
        other = Sam2(replace(config, image_size=side))
    other.load_state_dict(network.state_dict(), strict=True, assign=True)
    return other.eval()


def limited(limit: int | None, economy: Economy) -> int | None:
    """Return the smaller of two limits of conditioning frames, None being none."""
    limits = [n for n in (limit, economy.max_conditioning) if n is not None]
    return min(limits, default=None)
