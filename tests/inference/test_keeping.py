"""The state of a propagation as bytes: another process goes on to the bit."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.intensity import sample_percentiles
from napari_sam2.core.messages import PropagationRequest, ResumePoint
from napari_sam2.core.options import NATIVE
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.core.session import Session
from napari_sam2.inference.keeping import pack_state, unpack_state
from napari_sam2.inference.segmenter import Sam2Segmenter
from napari_sam2.io.kept_results import KeptEngine, ResultFile
from napari_sam2.testing import moving_discs, tiny_sam2

FRAMES = ArrayFrames(moving_discs(num_frames=14, size=48)[0])


class Codec:
    def pack(self, state):
        return pack_state(state)

    def unpack(self, data):
        return unpack_state(data)


def make_segmenter(options=NATIVE):
    return Sam2Segmenter(tiny_sam2(), FRAMES, sample_percentiles(FRAMES), options)


def request():
    said = [
        ObjectPrompts(key, (FramePrompts(t, (PromptStep(((y, 20.0),), (True,)),)),))
        for key, t, y in ((1, 3, 12.0), (2, 5, 36.0))
    ]
    return PropagationRequest(1, tuple(said), 0, len(FRAMES))


def told(results):
    return [
        (
            item.frame,
            [
                (m.object_id, m.box, m.mask.tobytes(), m.strength.tobytes(), m.object_score, m.iou)
                for m in item.objects
            ],
        )
        for item in results
    ]


@pytest.mark.parametrize("skip_below", [0.0, 10.0], ids=["every frame conditioned", "taken over"])
@pytest.mark.parametrize("done", [1, 7, 12])
def test_a_segmenter_goes_on_from_the_bytes_of_another_to_the_bit(done, skip_below):
    options = replace(NATIVE, skip_below=skip_below)
    whole = list(make_segmenter(options).propagate(request()))
    point = whole[done - 1].resume
    data = pack_state(point.state)
    again = make_segmenter(options).propagate(request(), ResumePoint(done, unpack_state(data)))
    assert told(again) == told(whole[done:])
    assert pack_state(unpack_state(data)) == data


def test_tensors_lie_in_memory_as_they_did():
    (point,) = [item.resume for item in islice(make_segmenter().propagate(request()), 4, 5)]
    for key, one in point.state.items():
        other = unpack_state(pack_state(point.state))[key]
        assert (one.anchor, one.is_reverse, one.trail) == (
            other.anchor,
            other.is_reverse,
            other.trail,
        )
        assert list(one.recent) == list(other.recent)
        for frame, entry in one.recent.items():
            for name in ("spatial", "pointer"):
                mine, theirs = getattr(entry, name), getattr(other.recent[frame], name)
                assert (mine is None) == (theirs is None)
                if mine is not None:
                    assert torch.equal(mine, theirs)
                    assert mine.stride() == theirs.stride()
                    assert mine.dtype == theirs.dtype


def test_what_is_no_state_is_not_packed_and_not_read():
    assert pack_state(None) is None
    assert pack_state({1: "something else"}) is None
    for data in (b"", b"nonsense", pack_state({})[:-3]):
        with pytest.raises(ValueError, match="no state of a propagation"):
            unpack_state(data)


def test_a_session_whose_run_was_cut_off_ends_the_same(tmp_path):
    def session_with_results():
        session = Session(FRAMES, InlineEngine(make_segmenter()))
        results = ResultFile(tmp_path / "x.run", b"the same stack..", FRAMES.shape)
        session.engine = KeptEngine(session.engine, results, Codec(), state_every=0.0)
        session.add_points(1, 3, [(12, 20)])
        session.add_points(2, 5, [(36, 20)])
        return session, results

    first, results = session_with_results()
    first.propagate().drive(9)
    results.close()
    second, results = session_with_results()
    list(second.propagate())
    results.close()
    fresh = Session(FRAMES, InlineEngine(make_segmenter()))
    fresh.add_points(1, 3, [(12, 20)])
    fresh.add_points(2, 5, [(36, 20)])
    list(fresh.propagate())
    assert second.engine.num_known == 9
    np.testing.assert_array_equal(np.asarray(second.labels[...]), np.asarray(fresh.labels[...]))
