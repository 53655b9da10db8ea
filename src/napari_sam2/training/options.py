"""How long a training run is, and what it is shown when: all that is chosen about it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

MAX_SEED = 10**6
"""Training draws from seeds below this; validation uses seeds from here on."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """A training run.

    The length is `steps`, or, where that is 0, `minutes` of wall time. Up to `window_until` (a part of the
    run) it trains on windows of frames, then on whole frames. From `clips_from` on, all steps but every
    `image_every`-th take clips of `frames` frames with memory, or, with probability `long_share`, of
    `long_frames`. `zooms`: how often clips are drawn that many times smaller and enlarged, as a small object is
    shown that the model looks at through a window of the frame; `gaps`: how often that many frames of a clip pass
    unseen after the first one; `mosaics`: how often clips are four copies side by side; `hand_share`: part of the
    prompting masks that are drawn as by hand. Amounts are those of one process, times `batch`.
    """

    config: str = "nano"
    steps: int = 0
    minutes: float = 60.0
    seed: int = 0
    window_until: float = 0.5
    clips_from: float = 0.25
    image_every: int = 3
    window: int = 128
    windows: int = 8
    prompts_per_window: int = 6
    window_clips: int = 4
    images: int = 3
    prompts_per_image: int = 10
    clips: int = 2
    prompts_per_clip: int = 4
    frames: int = 4
    long_share: float = 0.1
    long_frames: int = 8
    zooms: tuple[tuple[int, float], ...] = ((1, 1.0),)
    gaps: tuple[tuple[int, float], ...] = ((0, 1.0),)
    mosaics: float = 0.0
    hand_share: float = 0.0
    batch: int = 1
    large_radius: float = 14.0
    large_until: tuple[float, float] = (0.1, 0.5)
    easy_until: tuple[float, float] = (0.04, 0.14)
    matrix_lr: float = 0.0
    lr: float = 1.5e-3
    warmup_steps: int = 100
    reuse: int = 3
    clip_norm: float = 1.0
    average_decay: float = 0.99
    is_bfloat16: bool = True
    checkpoint_minutes: float = 4.0
    validate_minutes: float = 15.0
    log_every: int = 20

    @classmethod
    def refining(cls, **changes: float) -> TrainOptions:
        """Options of a run that starts from trained weights: all styles and sizes, and longer clips, at once."""
        schedule = {
            "clips_from": 0.0,
            "window_until": 0.7,
            "frames": 5,
            "long_share": 0.2,
            "long_frames": 10,
            "mosaics": 0.1,
            "hand_share": 0.4,
            "zooms": ((1, 0.6), (2, 0.27), (4, 0.13)),
            "gaps": ((0, 0.4), (3, 0.2), (6, 0.2), (10, 0.2)),
            "large_until": (0.0, 0.0),
            "easy_until": (0.0, 0.0),
            "lr": 6e-4,
            "average_decay": 0.995,
        }
        return cls(**{**schedule, **changes})

    def __post_init__(self) -> None:
        if not 0 <= self.seed < MAX_SEED:
            raise ValueError(
                f"seed must be in [0, {MAX_SEED}), got {self.seed}; above it lies validation"
            )
        if self.steps <= 0 and self.minutes <= 0:
            raise ValueError("a run needs steps > 0 or minutes > 0")
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch}")


@dataclass(frozen=True, slots=True)
class Looks:
    """How clips are shown: enlarged `zoom` times, with `gap` frames unseen, long or not, as a mosaic or not."""

    zoom: int
    gap: int
    is_long: bool
    is_mosaic: bool

    @classmethod
    def draw(cls, generator: torch.Generator, options: TrainOptions) -> Looks:
        """Draw looks as often as the options say."""
        zoom, gap = (
            table[
                int(torch.multinomial(torch.tensor([p for _, p in table]), 1, generator=generator))
            ][0]
            for table in (options.zooms, options.gaps)
        )
        is_long, is_mosaic = torch.rand(2, generator=generator) < torch.tensor(
            [options.long_share, options.mosaics]
        )
        return cls(zoom, gap, bool(is_long), bool(is_mosaic))
