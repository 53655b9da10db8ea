"""When memory runs out: caches go, then fewer objects are taken at once, then a sentence says what helps."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import InferenceError, OutOfMemoryError
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.options import NATIVE
from napari_sam2.core.session import Session
from napari_sam2.inference.device import DevicePolicy
from napari_sam2.inference.memory_ladder import MemoryLadder, free_memory
from napari_sam2.inference.segmenter import Sam2Segmenter
from napari_sam2.inference.stopping import checkpoints
from napari_sam2.testing import moving_discs, tiny_sam2

VIDEO, TRUTH = moving_discs(num_frames=3, size=48, num_objects=3, seed=0)
CPU = torch.device("cpu")
HOST = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")
CARD = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


# The ladder alone


def ladder(slots=1):
    dropped = []
    return MemoryLadder(CPU, slots, lambda: dropped.append(1)), dropped


def failing(times, error=HOST):
    """Work that fails so many times, and then counts how often it was called."""
    calls = []

    def work():
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return work


@pytest.mark.parametrize(
    ("times", "slots", "left"), [(0, 8, 8), (1, 8, 8), (2, 8, 4), (3, 8, 2), (4, 8, 1), (1, 1, 1)]
)
def test_each_rung_is_tried_once_and_logged(caplog, times, slots, left):
    climbing, dropped = ladder(slots)
    with caplog.at_level(logging.WARNING):
        assert climbing.climb("tracking frame 3", failing(times)) == times + 1
    assert climbing.slots == left
    assert len(dropped) == min(times, 1)
    assert len(caplog.records) == times
    assert all("tracking frame 3" in record.getMessage() for record in caplog.records)
    assert climbing.climb("later", failing(0)) == 1
    assert climbing.slots == left, "what did not fit once is not tried again"


@pytest.mark.parametrize(("slots", "attempts"), [(1, 2), (2, 3), (8, 5)])
@pytest.mark.parametrize("error", [HOST, CARD, MemoryError()])
def test_it_ends_with_a_sentence_that_says_what_helps(slots, attempts, error):
    climbing, _ = ladder(slots)
    calls = []

    def work():
        calls.append(1)
        raise error

    with pytest.raises(OutOfMemoryError) as caught:
        climbing.climb("tracking frame 3", work)
    assert len(calls) == attempts
    assert "of the computer ran out tracking frame 3" in caught.value.what
    assert "smaller model" in caught.value.remedy
    assert caught.value.kept
    assert caught.value.__cause__ is error


def test_on_a_card_the_cpu_is_offered_first(monkeypatch):
    emptied = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3 << 30, 8 << 30))
    climbing = MemoryLadder(torch.device("cuda"), 1, lambda: None)
    with pytest.raises(
        OutOfMemoryError, match=r"2\.00 GiB were asked for; 3 GiB are free"
    ) as caught:
        climbing.climb("tracking frame 3", failing(9, CARD))
    assert caught.value.remedy.startswith("choose the device 'cpu'")
    assert emptied == [1]


def test_other_errors_are_not_for_the_ladder():
    climbing, dropped = ladder(4)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        climbing.climb("tracking", failing(1, RuntimeError("shapes do not fit")))
    assert not dropped
    assert climbing.slots == 4


def test_what_the_failed_attempt_held_is_let_go_of_before_the_next_one():
    climbing, _ = ladder()
    held = []

    class Tensor:
        def __init__(self):
            held.append(self.__class__)

        def __del__(self):
            held.pop()

    seen = []

    def work():
        seen.append(len(held))
        tensor = Tensor()
        if len(seen) == 1:
            raise HOST
        return tensor is not None

    assert climbing.climb("tracking", work)
    assert seen == [0, 0]


def test_free_memory_is_told_where_it_is_known(monkeypatch):
    import os

    if hasattr(os, "sysconf"):
        assert free_memory(CPU) > 1 << 20
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert free_memory(CPU) is None


# In the segmenter: a fault at every call of the network


@pytest.fixture(scope="module")
def network():
    return tiny_sam2()


def session_of(network, slots=1):
    frames = ArrayFrames(VIDEO)
    segmenter = Sam2Segmenter(
        network,
        frames,
        IntensityMapping(0.0, 255.0),
        replace(NATIVE, slots_per_step=slots),
        DevicePolicy.choose("cpu"),
    )
    return Session(frames, InlineEngine(segmenter))


@contextmanager
def exhausted(network, error, at=None, until=None, allowed=None):
    """Let calls `at` to `until` of the network's parts raise; or those of more objects than `allowed`."""
    calls = []

    def look(part, inputs):
        calls.append(1)
        if at is not None and at <= len(calls) and (until is None or len(calls) < until):
            raise error
        if allowed is not None and getattr(inputs[0], "shape", (1,))[0] > allowed:
            raise error

    handles = [part.register_forward_pre_hook(look) for part in checkpoints(network)]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def click(session, object_id=1):
    y, x = (float(value) for value in (TRUTH[0] == object_id).nonzero()[0][:1].tolist() * 2)
    session.add_points(object_id, 0, [(y, x)])


def work(session):
    click(session)
    list(session.propagate())
    return shown(session)


def shown(session):
    records = [session.record(key, t) for key in session.objects for t in range(len(VIDEO))]
    return [(item.box, item.bits, item.object_score) for item in records]


@pytest.fixture(scope="module")
def expected(network):
    return work(session_of(network))


@pytest.mark.parametrize("error", [HOST, CARD], ids=["host", "card"])
def test_a_fault_at_any_call_costs_nothing_but_time(network, expected, error):
    with exhausted(network, error) as calls:
        work(session_of(network))
    number = len(calls)
    assert number > 20, "there is something to sweep over"
    for at in range(1, number + 1):
        session = session_of(network)
        with exhausted(network, error, at, until=at + 1):
            assert work(session) == expected, f"call {at}"


@pytest.mark.parametrize("error", [HOST, CARD], ids=["host", "card"])
def test_a_click_for_which_memory_stays_short_was_never_made(network, contract, error):
    with exhausted(network, error) as calls:
        click(session_of(network))
    for at in range(1, len(calls) + 1):
        session = session_of(network)
        with exhausted(network, error, at) as tried:
            with pytest.raises(OutOfMemoryError):
                click(session)
            assert len(tried) == at + 1, "two attempts, and no more"

        def short(session=session, at=at):
            with exhausted(network, error, at):
                click(session)

        contract.session(session, short, lambda session=session: click(session), OutOfMemoryError)


@pytest.mark.parametrize("error", [HOST, CARD], ids=["host", "card"])
def test_a_run_for_which_memory_stays_short_ends_and_is_continued(
    network, expected, contract, error
):
    counted = session_of(network)
    click(counted)
    with exhausted(network, error) as calls:
        list(counted.propagate())
    for at in range(1, len(calls) + 1):
        session = session_of(network)
        click(session)

        def short(session=session, at=at):
            with exhausted(network, error, at):
                list(session.propagate())

        contract.session(
            session, short, lambda session=session: list(session.propagate()), OutOfMemoryError
        )
        assert shown(session) == expected, f"call {at}"


def test_too_many_objects_at_once_are_taken_one_by_one(network, caplog):
    usual, short = session_of(network, 4), session_of(network, 4)
    for session in (usual, short):
        for object_id in (1, 2, 3):
            click(session, object_id)
    list(usual.propagate())
    with caplog.at_level(logging.WARNING), exhausted(network, HOST, allowed=1):
        list(short.propagate())
    for one, other in zip(shown(usual), shown(short), strict=True):
        assert one[2] == pytest.approx(other[2], abs=1e-3)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3, "the caches, 2 objects, 1 object: once in the whole run"
    assert "dropping what was kept" in said[0]
    assert "taking 2 objects at once" in said[1]
    assert "taking 1 objects at once" in said[2]


def test_a_model_that_does_not_fit_is_told_with_what_helps():
    from napari_sam2 import Session as NamedSession

    def too_large(*_args, **_kwargs):
        raise CARD

    session = NamedSession(VIDEO)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_sam2.api.make_segmenter", too_large)
        with pytest.raises(OutOfMemoryError) as caught:
            session.add_points(1, 0, [(8, 8)])
    assert "device 'cpu'" in caught.value.remedy
    assert not session.objects
    assert not isinstance(caught.value, InferenceError)
    session.add_points(1, 0, [(8, 8)])
    assert session.objects == (1,)
