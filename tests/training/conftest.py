"""A network and a run small enough for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from napari_sam2.model import config as model_config
from napari_sam2.training.options import TrainOptions

TOY = replace(
    model_config.PRESETS["nano"],
    name="toy",
    image_size=64,
    width=32,
    trunk=replace(
        model_config.PRESETS["nano"].trunk,
        embed_dim=8,
        stages=(1, 1, 1, 1),
        global_blocks=(2,),
        window_sizes=(8, 4, 4, 2),
    ),
    memory=replace(model_config.PRESETS["nano"].memory, width=16, num_layers=1, feedforward=32),
    decoder=replace(model_config.PRESETS["nano"].decoder, mlp_width=32, head_width=16),
)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def toy_config(monkeypatch):
    """The preset "toy": a few ten thousand parameters at side 64."""
    monkeypatch.setitem(model_config.PRESETS, "toy", TOY)
    return TOY


@pytest.fixture
def toy_options(toy_config) -> TrainOptions:
    """A run of eight steps through all four phases: windows and whole frames, images and clips."""
    return TrainOptions(
        config="toy",
        steps=8,
        images=2,
        prompts_per_image=2,
        window=32,
        windows=2,
        prompts_per_window=2,
        window_clips=2,
        clips=2,
        prompts_per_clip=3,
        frames=3,
        long_frames=4,
        warmup_steps=2,
        log_every=1,
        is_bfloat16=False,
    )


@pytest.fixture
def run_folder(tmp_path) -> Path:
    return tmp_path / "run"
