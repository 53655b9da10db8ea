"""The same run on a GPU: images are drawn and the network trained there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_sam2.training.loop import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no cuda device")


def test_a_toy_run_on_a_gpu_is_resumed_and_its_weights_are_read_on_a_cpu(toy_options, run_folder):
    options = replace(toy_options, is_bfloat16=True, batch=4, mosaics=0.3)
    trainer = Trainer(run_folder, options, device="cuda")
    trainer.run()
    assert all(value.is_cuda for value in trainer.net.state_dict().values())
    assert torch.isfinite(torch.cat([value.flatten() for value in trainer.net.parameters()])).all()
    again = Trainer.resume(run_folder, steps=10)
    again.run()
    assert again.step == 10
