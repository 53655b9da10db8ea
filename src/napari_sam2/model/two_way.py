"""Attention between prompt tokens and the image, both ways (SAM, App. A, "Lightweight mask decoder")."""

from __future__ import annotations

from torch import Tensor, nn

from napari_sam2.model.attention import attention
from napari_sam2.model.config import DecoderConfig
from napari_sam2.model.layers import Mlp, merge_heads, split_heads


class Attention(nn.Module):
    """Multi-head attention whose inner width is `width` / `downsample`."""

    def __init__(self, width: int, num_heads: int, downsample: int = 1) -> None:
        super().__init__()
        self.num_heads, inner = num_heads, width // downsample
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Take query (B, Lq, C), key and value (B, Lk, C); give (B, Lq, C)."""
        mixed = attention(
            split_heads(self.q_proj(query), self.num_heads),
            split_heads(self.k_proj(key), self.num_heads),
            split_heads(self.v_proj(value), self.num_heads),
        )
        return self.out_proj(merge_heads(mixed))


class TwoWayLayer(nn.Module):
    """Tokens among themselves, tokens to image, tokens alone, image to tokens.

    In the first layer the tokens are their own positions, and the self-attention replaces them.
    """

    def __init__(self, config: DecoderConfig, width: int, is_first: bool) -> None:
        super().__init__()
        heads, downsample = config.num_heads, config.attention_downsample
        self.is_first = is_first
        self.self_attn = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.token_to_image = Attention(width, heads, downsample)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp((width, config.mlp_width, width))
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.image_to_token = Attention(width, heads, downsample)

    def forward(
        self, tokens: Tensor, image: Tensor, token_position: Tensor, image_position: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Take and give tokens (B, N, C) and image (B, h*w, C)."""
        if self.is_first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_position
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)
        placed_image = image + image_position
        tokens = tokens + self.token_to_image(tokens + token_position, placed_image, image)
        tokens = self.norm2(tokens)
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = image + self.image_to_token(placed_image, tokens + token_position, tokens)
        return tokens, self.norm4(image)


class TwoWayTransformer(nn.Module):
    """`depth` two-way layers and a last look of the tokens at the image."""

    def __init__(self, config: DecoderConfig, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayLayer(config, width, is_first=index == 0) for index in range(config.depth)
        )
        self.final_token_to_image = Attention(width, config.num_heads, config.attention_downsample)
        self.final_norm = nn.LayerNorm(width)

    def forward(
        self, tokens: Tensor, image: Tensor, image_position: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Take tokens (B, N, C) and maps (B, C, h, w), the position's batch may be 1; give the same."""
        height, width = image.shape[-2:]
        image = image.flatten(2).transpose(1, 2)  # (B, C, h, w) -> (B, h*w, C)
        image_position = image_position.flatten(2).transpose(1, 2)
        token_position = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_position, image_position)
        tokens = tokens + self.final_token_to_image(
            tokens + token_position, image + image_position, image
        )
        image = image.transpose(1, 2).unflatten(-1, (height, width))  # -> (B, C, h, w)
        return self.final_norm(tokens), image
