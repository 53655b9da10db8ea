"""Sizes of the network: nested frozen dataclasses and a table of presets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class TrunkConfig:
    """Hiera image trunk.

    `stages`: blocks a stage; width and heads double at every stage after the first. `global_blocks`: blocks that
    attend over the whole map instead of windows. `window_sizes`: side of the windows of each stage, tokens.
    `position_size`: side of the learned background position map, which is resized to the grid.
    """

    embed_dim: int = 96
    num_heads: int = 1
    stages: tuple[int, ...] = (1, 2, 7, 2)
    global_blocks: tuple[int, ...] = (5, 7, 9)
    window_sizes: tuple[int, ...] = (8, 4, 14, 7)
    position_size: int = 7
    patch_kernel: int = 7
    patch_stride: int = 4
    mlp_ratio: float = 4.0

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage's output, fine to coarse."""
        return tuple(self.embed_dim * 2**stage for stage in range(len(self.stages)))


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """Memory encoder, memory attention and object pointers.

    `num_frames`: rows of the temporal table: one for conditioning frames, the others for the most recent frames.
    `max_pointers`: object pointers attended to, conditioning frames not counted apart.
    """

    width: int = 64
    num_layers: int = 4
    feedforward: int = 2048
    dropout: float = 0.1
    rope_theta: float = 10000.0
    num_frames: int = 7
    max_pointers: int = 16
    fuser_blocks: int = 2


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """Prompt encoder and mask decoder.

    `chooses_by_certainty`: the best of the candidates is the one whose pixels are surest, instead of the one with the
    highest predicted IoU. A small network trained for hours draws better than it judges.
    """

    depth: int = 2
    num_heads: int = 8
    mlp_width: int = 2048
    attention_downsample: int = 2
    num_candidates: int = 3
    head_width: int = 256
    mask_prompt_channels: int = 16
    fourier_scale: float = 1.0
    chooses_by_certainty: bool = False


@dataclass(frozen=True, slots=True)
class Sam2Config:
    """The whole network. The two flags are the only differences between SAM 2.0 (False) and 2.1 (True)."""

    name: str
    image_size: int = 1024
    width: int = 256
    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    pointer_time_code: bool = True
    absent_memory: bool = True

    @property
    def stride(self) -> int:
        """Model pixels a token of the (h, w) grid."""
        return self.trunk.patch_stride * 4

    @property
    def grid(self) -> int:
        """Side of the (h, w) grid."""
        return self.image_size // self.stride

    @property
    def mask_size(self) -> int:
        """Side of the decoder's logits."""
        return self.grid * 4


_TRUNKS = {
    "tiny": TrunkConfig(),
    "small": TrunkConfig(stages=(1, 2, 11, 2), global_blocks=(7, 10, 13)),
    "base_plus": TrunkConfig(
        embed_dim=112,
        num_heads=2,
        stages=(2, 3, 16, 3),
        global_blocks=(12, 16, 20),
        position_size=14,
    ),
    "large": TrunkConfig(
        embed_dim=144,
        num_heads=2,
        stages=(2, 6, 36, 4),
        global_blocks=(23, 33, 43),
        window_sizes=(8, 4, 16, 8),
    ),
}

_NANO = Sam2Config(
    name="nano",
    image_size=256,
    width=128,
    trunk=TrunkConfig(
        embed_dim=32,
        stages=(1, 2, 4, 2),
        global_blocks=(5,),
        window_sizes=(8, 4, 8, 8),
        position_size=4,
    ),
    memory=MemoryConfig(width=32, num_layers=2, feedforward=512, dropout=0.0),
    decoder=DecoderConfig(
        num_heads=2, mlp_width=512, head_width=128, fourier_scale=1.3, chooses_by_certainty=True
    ),
)


def _official() -> dict[str, Sam2Config]:
    presets = {}
    for size, trunk in _TRUNKS.items():
        latest = Sam2Config(name=f"sam2.1_{size}", trunk=trunk)
        presets[latest.name] = latest
        presets[f"sam2_{size}"] = replace(
            latest, name=f"sam2_{size}", pointer_time_code=False, absent_memory=False
        )
    return presets


PRESETS: dict[str, Sam2Config] = {"nano": _NANO, **_official()}
"""`nano`, and `sam2_SIZE` (2.0) and `sam2.1_SIZE` for tiny, small, base_plus and large."""


def preset(name: str) -> Sam2Config:
    """Return the preset called `name`.

    Raises
    ------
    ValueError
        If there is no such preset; the message lists the choices.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown model preset {name!r}; expected one of {', '.join(PRESETS)}")
    return PRESETS[name]
