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

    def forward(
        self, stages: list[Tensor], skip4: nn.Conv2d, skip8: nn.Conv2d
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Bring the stages to one width, and the two finest on to what the decoder adds.

        Parameters
        ----------
        stages : list of Tensor
            Four maps (B, C_stage, H, W) from the trunk, fine to coarse.
        skip4, skip8 : nn.Conv2d
            The decoder's 1 x 1 projections of strides 4 and 8. Nothing lies between them and the laterals, so the wide
            maps between the two are never made: the full-size one alone would take 67 MB.

        Returns
        -------
        tuple of three Tensors
            Maps at strides 4 and 8, after their skips, and at stride 16, (B, C, h, w).
        """
        stride4, stride8, stride16, stride32 = stages
        coarse = self.laterals[0](stride32)
        # The release sums in float32 also under a lower precision.
        above = F.interpolate(coarse.float(), scale_factor=2.0, mode="nearest")
        fused = self.laterals[1](stride16) + above.to(coarse.dtype)
        return (
            _in_one(stride4, self.laterals[3], skip4),
            _in_one(stride8, self.laterals[2], skip8),
            fused,
        )


def _in_one(x: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Tensor:
    """Apply two 1 x 1 convolutions as one."""
    outer = second.weight.flatten(1)  # (C_out, C, 1, 1) -> (C_out, C)
    weight = outer @ first.weight.flatten(1)
    return F.conv2d(x, weight[..., None, None], outer @ first.bias + second.bias)
