"""Feature pyramid: brings the trunk's stages to one width (SAM 2 paper, App. D.1)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Neck(nn.Module):
    """1 x 1 laterals; only the stride-16 map receives the coarser one from above.

    Parameters
    ----------
    widths : tuple of int
        Channels of the trunk's stages, fine to coarse.
    width : int
        Channels of every output.
    """

    def __init__(self, widths: tuple[int, ...], width: int) -> None:
        super().__init__()
        # Coarse first: the order of the official state dict.
        self.laterals = nn.ModuleList(nn.Conv2d(stage, width, 1) for stage in reversed(widths))

    def forward(self, stages: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps at strides 4, 8 and 16, each (B, C, H, W)."""
        stride4, stride8, stride16, stride32 = stages
        coarse = self.laterals[0](stride32)
        # The release sums in float32 also under a lower precision.
        above = F.interpolate(coarse.float(), scale_factor=2.0, mode="nearest")
        fused = self.laterals[1](stride16) + above.to(coarse.dtype)
        return self.laterals[3](stride4), self.laterals[2](stride8), fused
