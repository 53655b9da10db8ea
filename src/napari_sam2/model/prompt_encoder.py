"""Points, boxes and masks become tokens and a dense map (SAM, Sec. 3, "Prompt encoder")."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_sam2.model.config import DecoderConfig
from napari_sam2.model.layers import LayerNorm2d
from napari_sam2.model.positions import FourierEncoding

NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT, NOT_A_POINT = 0, 1, 2, 3, -1


class PromptEncoder(nn.Module):
    """Encode prompts in model pixels of an image of side `image_size`."""

    def __init__(self, config: DecoderConfig, width: int, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.fourier = FourierEncoding(width, config.fourier_scale)
        self.point_types = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point = nn.Embedding(1, width)
        self.no_mask = nn.Embedding(1, width)
        channels = config.mask_prompt_channels
        self.mask_layers = nn.Sequential(
            nn.Conv2d(1, channels // 4, 2, 2),
            LayerNorm2d(channels // 4),
            nn.GELU(),
            nn.Conv2d(channels // 4, channels, 2, 2),
            LayerNorm2d(channels),
            nn.GELU(),
            nn.Conv2d(channels, width, 1),
        )

    def tokens(self, points: Tensor, labels: Tensor) -> Tensor:
        """Encode points.

        Parameters
        ----------
        points : Tensor of shape (B, N, 2)
            (x, y), model pixels; pixel centres are integers.
        labels : Tensor of shape (B, N), int
            0 negative, 1 positive, 2 and 3 corners of a box, -1 padding.

        Returns
        -------
        Tensor of shape (B, N, C)
            Position plus type; padding has no position.
        """
        codes = self.fourier((points + 0.5) / self.image_size)
        is_padding = (labels == NOT_A_POINT)[..., None]
        types = torch.cat([self.not_a_point.weight, *(kind.weight for kind in self.point_types)])
        return torch.where(is_padding, 0.0, codes) + types[labels + 1]

    def dense(self, mask_logits: Tensor | None, batch: int, grid: tuple[int, int]) -> Tensor:
        """Encode mask logits (B, 1, 4 h, 4 w), or their absence, as (B, C, h, w)."""
        if mask_logits is not None:
            return self.mask_layers(mask_logits)
        return self.no_mask.weight.view(1, -1, 1, 1).expand(batch, -1, *grid)
