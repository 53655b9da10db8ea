"""Quality and precision: what they save, what they leave alone, and who chooses when nobody does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.messages import PropagationRequest
from napari_sam2.core.options import NATIVE
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.inference import device as device_module
from napari_sam2.inference.device import DevicePolicy, dtype_of
from napari_sam2.inference.memory import CONDITIONING_ROW, MemoryEntry, select
from napari_sam2.inference.quality import ECONOMIES, economy_of, limited, scaled
from napari_sam2.inference.segmenter import Sam2Segmenter
from napari_sam2.model.config import preset
from napari_sam2.model.sam2 import Sam2
from napari_sam2.testing import moving_discs, tiny_sam2

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
VIDEO = moving_discs(num_frames=10, size=64, num_objects=2, seed=0)[0]
CLICKED = ObjectPrompts(1, (FramePrompts(0, (PromptStep(((20.0, 20.0),), (True,)),)),))


@pytest.fixture(scope="module")
def network():
    return tiny_sam2()


@pytest.fixture(scope="module")
def official():
    with torch.device("meta"):
        return Sam2(preset("sam2.1_tiny"))


def tracked(network, video=VIDEO, policy=None, **options):
    """Return the masks of one object, tracked forward."""
    frames = ArrayFrames(video)
    policy = policy or DevicePolicy.choose("cpu", options.get("precision", "float32"))
    segmenter = Sam2Segmenter(
        network, frames, IntensityMapping(0, 255), replace(NATIVE, focus=False, **options), policy
    )
    request = PropagationRequest(1, (CLICKED,), 0, len(frames), "forward")
    return segmenter, list(segmenter.propagate(request))


def pictures(results):
    return np.stack([result.objects[0].to_array((64, 64)) for result in results])


def test_automatic_saves_only_where_a_frame_would_take_seconds(network, official):
    assert economy_of("auto", official, CPU) == ECONOMIES["balanced"]
    assert economy_of("auto", official, CUDA) == ECONOMIES["full"]
    assert economy_of("auto", network, CPU) == ECONOMIES["full"]
    for quality in ("full", "balanced", "fast"):
        assert economy_of(quality, official, CPU) == ECONOMIES[quality]


def test_less_quality_never_looks_closer_or_remembers_more():
    full, balanced, fast = (ECONOMIES[name] for name in ("full", "balanced", "fast"))
    assert full.scale == 1 > balanced.scale > fast.scale
    assert full.num_recent > balanced.num_recent > fast.num_recent
    assert full.max_conditioning is None
    assert balanced.max_conditioning > fast.max_conditioning >= 2


def test_a_scaled_network_shares_its_weights_and_sees_fewer_pixels(network):
    half = scaled(network, 0.5)
    assert half.config.image_size == 32
    assert half.config.grid == 2
    ours, others = dict(network.named_parameters()), dict(half.named_parameters())
    assert ours.keys() == others.keys()
    assert all(ours[name].data_ptr() == others[name].data_ptr() for name in ours)
    assert scaled(network, 1.0) is network
    assert scaled(network, 0.01).config.image_size == 32, "never less than one coarse token"


@pytest.mark.parametrize(("limit", "quality", "expected"), [(4, "fast", 2), (2, "balanced", 2)])
def test_the_smaller_limit_of_conditioning_frames_holds(limit, quality, expected):
    assert limited(limit, ECONOMIES[quality]) == expected
    assert limited(None, ECONOMIES["full"]) is None


def test_fewer_recent_frames_are_attended_to():
    entry = MemoryEntry(torch.zeros(1, 4, 2, 2), torch.zeros(1, 8))
    recent = dict.fromkeys(range(1, 9), entry)
    chosen = select(9, {0: entry}, recent, num_frames=20, num_recent=2)
    assert chosen.rows == (CONDITIONING_ROW, 1, 0)
    assert len(chosen.pointers) == 9, "pointers cost nothing, so all are kept"


def test_quality_reaches_the_network_and_the_memory(network, monkeypatch):
    seen, original = [], Sam2.condition

    def condition(network, begun, memories, *rest):
        seen.append(memories.shape[1])
        return original(network, begun, memories, *rest)

    monkeypatch.setattr(Sam2, "condition", condition)
    full, everything = tracked(network, quality="full")
    attended = {"full": max(seen)}
    seen.clear()
    fast, part = tracked(network, quality="fast")
    attended["fast"] = max(seen)
    assert (full._network.config.image_size, fast._network.config.image_size) == (64, 32)
    assert len(everything) == len(part) == 9
    assert (pictures(everything) != pictures(part)).any()
    assert attended == {"full": 7, "fast": 3}, "the prompted frame and the recent ones"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_in_any_precision_resumes_bit_for_bit(network, precision):
    segmenter, whole = tracked(network, precision=precision)
    request = PropagationRequest(1, (CLICKED,), 0, len(VIDEO), "forward")
    rest = list(segmenter.propagate(request, whole[3].resume))
    np.testing.assert_array_equal(pictures(whole[4:]), pictures(rest))


def test_bfloat16_rounds_and_changes_little(network):
    _, exact = tracked(network, precision="float32")
    _, rounded = tracked(network, precision="bfloat16")
    scores = [[r.objects[0].object_score for r in results] for results in (exact, rounded)]
    assert scores[0] != scores[1], "it did run in another precision"
    np.testing.assert_allclose(scores[0], scores[1], atol=0.5)


@pytest.mark.parametrize(
    ("device", "is_large", "has_products", "expected"),
    [
        ("cpu", True, True, torch.bfloat16),
        ("cpu", True, False, torch.float32),
        ("cpu", False, True, torch.float32),
        ("mps", False, False, torch.float16),
    ],
)
def test_automatic_precision_is_what_the_device_does_fast(
    monkeypatch, device, is_large, has_products, expected
):
    monkeypatch.setattr(device_module, "multiplies_bfloat16", lambda: has_products)
    assert dtype_of("auto", torch.device(device), is_large) == expected
    assert dtype_of("float32", torch.device(device), is_large) == torch.float32


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_automatic_precision_on_a_gpu_is_bfloat16_or_float16(monkeypatch, has_bfloat16):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bfloat16)
    expected = torch.bfloat16 if has_bfloat16 else torch.float16
    assert dtype_of("auto", CUDA, False) == expected


def still_then_moving():
    """Ten frames of which the first five are one picture."""
    return np.stack([VIDEO[0]] * 5 + list(VIDEO[5:]))


def test_still_frames_take_over_what_was_conditioned_and_others_do_not(network, monkeypatch):
    calls = []
    original = Sam2.condition
    monkeypatch.setattr(Sam2, "condition", lambda *given: calls.append(1) or original(*given))
    tracked(network, still_then_moving())
    without = len(calls)
    calls.clear()
    tracked(network, still_then_moving(), skip_below=0.01)
    assert without == 9
    assert len(calls) == 6, "frame 1, and the five that move"


def test_what_is_taken_over_is_part_of_the_resume_point(network):
    _, whole = tracked(network, still_then_moving(), skip_below=0.01)
    request = PropagationRequest(1, (CLICKED,), 0, 10, "forward")
    for kept in (2, 5):
        fresh, _ = tracked(network, still_then_moving(), skip_below=0.01)
        rest = list(fresh.propagate(request, whole[kept - 1].resume))
        np.testing.assert_array_equal(pictures(whole[kept:]), pictures(rest))


def test_two_objects_share_what_comes_before_any_memory(network, monkeypatch):
    calls = []
    original = Sam2.begin
    monkeypatch.setattr(Sam2, "begin", lambda *given: calls.append(1) or original(*given))
    other = replace(CLICKED, object_id=2)
    request = PropagationRequest(1, (CLICKED, other), 0, len(VIDEO), "forward")
    for shortcut, expected in ((True, 9), (False, 18)):
        calls.clear()
        policy = DevicePolicy.choose("cpu")
        policy = replace(policy, shortcuts=replace(policy.shortcuts, share_first_layer=shortcut))
        segmenter, _ = tracked(network, policy=policy)
        calls.clear()
        list(segmenter.propagate(request))
        assert len(calls) == expected
