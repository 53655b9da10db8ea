"""A cancellation is looked at inside a frame, wherever that is; what was finished is kept and continued exactly."""

from __future__ import annotations

from itertools import count

import pytest
import torch
from tests.core.segmenter_contract import VIDEO, course, question, said

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.session import Session
from napari_sam2.inference.device import DevicePolicy
from napari_sam2.inference.segmenter import Sam2Segmenter
from napari_sam2.inference.stopping import StoppedError, checkpoints, stoppable
from napari_sam2.testing import tiny_sam2

NETWORK = tiny_sam2()
FRAMES = ArrayFrames(VIDEO)


class AskedAt(Cancellation):
    """Is asked when it is looked at for the `number`th time, from 1; 0 for never."""

    def __init__(self, number: int = 0) -> None:
        super().__init__()
        self.number, self.looks = number, 0

    @property
    def is_asked(self) -> bool:
        self.looks += 1
        if self.looks == self.number:
            self.ask()
        return super().is_asked


def make():
    cpu = torch.device("cpu")
    return Sam2Segmenter(NETWORK, FRAMES, IntensityMapping(0, 255), policy=DevicePolicy(cpu, cpu))


@pytest.mark.slow
def test_cancelling_at_any_checkpoint_keeps_whole_frames_and_resuming_continues_exactly():
    request = question(said(1, 1), said(2, 2), stop=4)
    whole = course(make().propagate(request))
    seen = AskedAt()
    assert course(make().propagate(request, None, seen)) == whole, "looking changes nothing"
    # Blocks of the trunk once a frame, the rest once an object.
    assert seen.looks > len(whole) * (len(NETWORK.trunk.blocks) + 4)
    lengths = []
    for number in range(1, seen.looks + 1):
        segmenter, cancellation = make(), AskedAt(number)
        head = list(segmenter.propagate(request, None, cancellation))
        assert cancellation.looks == number, "it ended at once"
        lengths.append(len(head))
        resume = head[-1].resume if head else None
        for other in (segmenter, make()) if number % 10 == 0 else (segmenter,):
            assert course(head) + course(other.propagate(request, resume)) == whole
    assert lengths == sorted(lengths)
    assert set(lengths) == set(range(len(whole)))


def test_every_larger_part_of_the_network_is_a_checkpoint():
    parts = checkpoints(NETWORK)
    assert set(NETWORK.trunk.blocks) < set(parts)
    for layer in NETWORK.memory_attention.layers:
        assert {layer.self_attn, layer.cross_attn, layer.linear1} < set(parts)
    assert {NETWORK.neck, NETWORK.mask_decoder, NETWORK.memory_encoder} < set(parts)


def test_outside_the_context_nothing_stops_the_network():
    cancellation, image = Cancellation(), torch.zeros(1, 3, 64, 64)
    with torch.inference_mode():
        with stoppable(NETWORK, cancellation):
            NETWORK.encode_image(image)
            cancellation.ask()
            with pytest.raises(StoppedError):
                NETWORK.encode_image(image)
        NETWORK.encode_image(image)
    assert not any(part._forward_pre_hooks for part in NETWORK.modules())


def test_a_session_continues_a_run_that_was_cancelled_inside_a_frame():
    def begin():
        session = Session(FRAMES, InlineEngine(make()))
        session.add_points(1, 1, [(20, 20)])
        session.add_points(2, 4, [(30, 30)])
        return session

    session, fresh = begin(), begin()
    for number in count(25, 17):
        run = session.propagate()
        run.cancellation = AskedAt(number)
        before = run.done
        frames = [result.frame for result in run]
        assert run.done == before + len(frames)
        if run.is_complete:
            break
        assert run.is_cancelled
        assert session.run is None
    assert number > 25, "at least one was cancelled"
    list(fresh.propagate())
    assert session.labels[:].tobytes() == fresh.labels[:].tobytes()
    records = [
        [other.record(item, t) for item in (1, 2) for t in range(len(FRAMES))]
        for other in (session, fresh)
    ]
    facts = [[(r.box, r.bits, r.object_score, r.iou) for r in known] for known in records]
    assert facts[0] == facts[1]
