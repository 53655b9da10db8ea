"""Numbers that are not finite: once more in float32, then the frame is marked, and never noise."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import InferenceError
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.masks import EMPTY_BOX, NO_OPINION
from napari_sam2.core.options import NATIVE
from napari_sam2.core.session import Session
from napari_sam2.inference import conditioning, segmenter
from napari_sam2.inference.device import DevicePolicy
from napari_sam2.inference.segmenter import Sam2Segmenter
from napari_sam2.testing import moving_discs, tiny_sam2

VIDEO, TRUTH = moving_discs(num_frames=5, size=48, num_objects=2, seed=0)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    return tiny_sam2()


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def session(network, request):
    return session_of(network, request.param)


def session_of(network, dtype=torch.float32, slots=1):
    frames, options = ArrayFrames(VIDEO), replace(NATIVE, slots_per_step=slots)
    policy = DevicePolicy(CPU, CPU, dtype)
    mapping = IntensityMapping(0.0, 255.0)
    return Session(frames, InlineEngine(Sam2Segmenter(network, frames, mapping, options, policy)))


def click(session, *objects):
    for object_id in objects:
        y, x = np.argwhere(TRUTH[0] == object_id).mean(0)
        session.add_points(object_id, 0, [(y, x)])


def spoil(monkeypatch, module, is_spoilt, field="logits"):
    """Let answers of the network hold NaN where `is_spoilt` says so; return whether each was asked for in float32."""
    real, exact = module.decode, []

    def decode(network, *args):
        output = real(network, *args)
        exact.append(not torch.is_autocast_enabled("cpu"))
        if is_spoilt(len(exact), exact[-1]):
            rows = slice(0, 1)
            getattr(output, field)[rows] = torch.nan
        return output

    monkeypatch.setattr(module, "decode", decode)
    return exact


@pytest.mark.parametrize("field", ["logits", "iou", "object_score", "pointer"])
def test_a_frame_that_overflows_is_tracked_once_more_in_float32(
    network, monkeypatch, caplog, field
):
    session = session_of(network, torch.bfloat16)
    click(session, 1)
    exact = spoil(monkeypatch, segmenter, lambda call, is_exact: call == 2, field)
    with caplog.at_level(logging.WARNING):
        list(session.propagate())
    assert exact == [False, False, True, False, False], "frame 2, once more, and only frame 2"
    (record,) = caplog.records
    assert "not finite tracking frame 2; doing it again in float32" in record.getMessage()
    assert session.record(1, 2).object_score != NO_OPINION


def test_a_frame_that_overflows_in_float32_too_is_marked_and_the_run_goes_on(
    session, monkeypatch, caplog
):
    click(session, 1)
    exact = spoil(monkeypatch, segmenter, lambda call, is_exact: call in (2, 3))
    with caplog.at_level(logging.WARNING):
        results = list(session.propagate())
    assert len(exact) == 5, "no third attempt, and no search for what was not lost"
    assert [result.frame for result in results] == [1, 2, 3, 4]
    record = session.record(1, 2)
    assert (record.box, record.object_score, record.iou) == (EMPTY_BOX, NO_OPINION, 0.0)
    assert not session.labels[2].any(), "no noise"
    assert session.quality(1)[2].doubt == 1.0
    assert session.doubtful()[0].frame == 2, "it is the first frame to look at"
    assert session.record(1, 3).object_score != NO_OPINION
    assert "in float32 neither" in caplog.records[-1].getMessage()


def test_what_is_wrong_with_one_object_costs_the_others_nothing(network, monkeypatch):
    usual, spoilt = session_of(network, slots=2), session_of(network, slots=2)
    for each in (usual, spoilt):
        click(each, 1, 2)
    list(usual.propagate())
    # The first row: of both together, again in float32, and the first object alone, twice.
    spoil(monkeypatch, segmenter, lambda call, is_exact: call in (1, 2, 3, 4))
    list(spoilt.propagate())
    assert spoilt.record(1, 1).object_score == NO_OPINION
    one, other = usual.record(2, 1), spoilt.record(2, 1)
    assert one.object_score == pytest.approx(other.object_score, abs=1e-3)
    assert (one.to_mask().to_array((48, 48)) ^ other.to_mask().to_array((48, 48))).mean() < 0.005


def test_a_run_that_is_cut_after_a_marked_frame_goes_on_as_if_it_had_not_been(network, monkeypatch):
    def spoilt_run(stop):
        session = session_of(network)
        click(session, 1)
        with monkeypatch.context() as patch:
            spoil(patch, segmenter, lambda call, is_exact: call in (2, 3))
            course = iter(session.propagate())
            for _ in range(stop):
                next(course)
            course.close()
        list(session.propagate())
        return [(session.record(1, t).bits, session.record(1, t).strength) for t in range(5)]

    assert spoilt_run(2) == spoilt_run(3)


def test_a_memory_that_overflows_is_made_again_or_left_out(network, monkeypatch):
    real, calls = segmenter.remember, []

    def remember(*args, **kwargs):
        spatial = real(*args, **kwargs)
        calls.append(1)
        return spatial * torch.nan if len(calls) in spoilt else spatial

    monkeypatch.setattr(segmenter, "remember", remember)
    scores = []
    for spoilt in ((), (1,), (1, 2)):
        calls.clear()
        session = session_of(network)
        click(session, 1)
        list(session.propagate())
        scores.append([session.record(1, t).object_score for t in range(5)])
        assert len(calls) == 4 + bool(spoilt)
    assert scores[0] == scores[1], "the second attempt was good"
    assert scores[0][:2] == scores[2][:2]
    assert scores[0][2] != scores[2][2], "frame 1 is not attended to"
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("module", [conditioning])
def test_a_click_is_answered_in_float32_or_refused(session, monkeypatch, contract, module):
    with monkeypatch.context() as patch:
        exact = spoil(patch, module, lambda call, is_exact: call == 1)
        click(session, 1)
        assert exact[1]
    assert session.mask(1, 0).any()

    def faulty():
        with monkeypatch.context() as patch:
            spoil(patch, module, lambda call, is_exact: True)
            click(session, 2)

    error = contract.session(session, faulty, lambda: click(session, 2), InferenceError)
    assert "frame 0 holds numbers that are not finite" in error.what


def test_a_conditioning_frame_without_a_sound_memory_ends_the_run_with_a_sentence(
    session, monkeypatch, contract
):
    click(session, 1)

    def faulty():
        with monkeypatch.context() as patch:
            patch.setattr(
                conditioning, "remember", lambda *args, **kwargs: torch.full((1,), torch.inf)
            )
            list(session.propagate())

    contract.session(session, faulty, lambda: list(session.propagate()), InferenceError)
    assert len(session.quality(1)) == 5
