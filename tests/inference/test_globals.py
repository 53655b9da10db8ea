"""What others do to PyTorch's global switches changes no result, and we leave them as we found them."""

from __future__ import annotations

import pickle
import sys
import threading
import types
import warnings

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


def raising(*_args, **_kwargs):
    raise AssertionError("nothing of ours unpickles")


def test_threads_pickle_hydra_and_numpy_of_others_change_nothing(network, monkeypatch):
    usual, threads = answers(network), torch.get_num_threads()
    # As other plugins do: a patched unpickler, Hydra set up for themselves, errors instead of warnings.
    monkeypatch.setattr(pickle, "Unpickler", raising)
    monkeypatch.setattr(pickle, "load", raising)
    hydra = types.ModuleType("hydra")
    hydra.__getattr__ = raising
    monkeypatch.setitem(sys.modules, "hydra", hydra)
    try:
        torch.set_num_threads(1)
        with np.errstate(all="raise"), warnings.catch_warnings():
            warnings.simplefilter("error")
            found = answers(network)
            assert np.geterr()["over"] == "raise"
        assert torch.get_num_threads() == 1
        assert [(box, mask) for box, mask, _ in found] == [(box, mask) for box, mask, _ in usual]
    finally:
        torch.set_num_threads(threads)
    assert pickle.Unpickler is raising
    assert sys.modules["hydra"] is hydra


def test_gradients_switched_off_on_another_thread_are_nobody_elses(network):
    usual, found = answers(network), []

    def other():
        torch.set_grad_enabled(False)
        found.append(answers(network))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert found == [usual]
    assert torch.is_grad_enabled()


def test_switches_are_left_as_they_were_also_between_the_frames_of_a_run(network):
    before = switches()
    frames, policy = ArrayFrames(moving_discs(3, 48)[0]), DevicePolicy.choose("cpu")
    segmenter = Sam2Segmenter(network, frames, IntensityMapping(0.0, 255.0), policy=policy)
    for _ in segmenter.propagate(PropagationRequest(1, (ObjectPrompts(1, (SAID,)),), 0, 3)):
        assert switches() == before
        assert not torch.is_inference_mode_enabled()
    assert switches() == before
