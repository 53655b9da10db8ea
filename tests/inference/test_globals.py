"""What others do to PyTorch's global switches changes no result, and we leave them as we found them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.messages import PromptRequest, PropagationRequest
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.inference.device import DevicePolicy
from napari_sam2.inference.segmenter import Sam2Segmenter
from napari_sam2.testing import moving_discs, tiny_sam2

SAID = FramePrompts(0, (PromptStep(((20.0, 14.0),), (True,)),))
PAINTED = FramePrompts(2, (PromptStep(mask=PackedMask.from_array(np.eye(48, dtype=bool))),))


@pytest.fixture(scope="module")
def network():
    return tiny_sam2()


def answers(network):
    frames, policy = ArrayFrames(moving_discs(3, 48)[0]), DevicePolicy.choose("cpu")
    segmenter = Sam2Segmenter(network, frames, IntensityMapping(0.0, 255.0), policy=policy)
    assert segmenter.prepare(1)
    clicked = segmenter.prompt(PromptRequest(1, 1, SAID)).mask
    request = PropagationRequest(1, (ObjectPrompts(1, (SAID, PAINTED)),), 0, 3)
    tracked = [mask for result in segmenter.propagate(request) for mask in result.objects]
    return [(mask.box, mask.mask.tobytes(), mask.object_score) for mask in (clicked, *tracked)]


def switches():
    return torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()


def test_dtype_and_gradients_of_others_change_nothing(network):
    usual = answers(network)
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        before = switches()
        assert answers(network) == usual
        assert switches() == before
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)


def test_switches_are_left_as_they_were_also_between_the_frames_of_a_run(network):
    before = switches()
    frames, policy = ArrayFrames(moving_discs(3, 48)[0]), DevicePolicy.choose("cpu")
    segmenter = Sam2Segmenter(network, frames, IntensityMapping(0.0, 255.0), policy=policy)
    for _ in segmenter.propagate(PropagationRequest(1, (ObjectPrompts(1, (SAID,)),), 0, 3)):
        assert switches() == before
        assert not torch.is_inference_mode_enabled()
    assert switches() == before
