"""Propagation: order, cancelling, resuming, undo, and a worker that drives it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from tests.core.discs import centre_in

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import InferenceError, PropagationError
from napari_sam2.core.messages import FrameResult
from napari_sam2.core.session import Session
from napari_sam2.core.store import MemoryMaskStore
from napari_sam2.testing import FakeSegmenter, moving_discs

VIDEO, TRUTH = moving_discs(num_frames=10, size=48, num_objects=2)
centre = centre_in(TRUTH)


def make(*clicks, video=VIDEO, **kwargs):
    frames = ArrayFrames(video)
    session = Session(frames, InlineEngine(FakeSegmenter(frames)), **kwargs)
    for object_id, t in clicks:
        session.add_points(object_id, t, [centre(object_id, t)])
    return session


def everything(session):
    """All that is shown: labels, and every mask with its scores and strengths, but not when it was made."""
    records = []
    for object_id in session.objects:
        for t in range(len(session.frames)):
            record = session.record(object_id, t)
            if record is not None:
                parts = record.box, record.bits, record.strength, record.object_score, record.iou
                records.append((object_id, t, record.provenance, *parts))
    return np.asarray(session.labels).tobytes(), records


# The course of a run


def test_a_run_carries_the_objects_to_all_frames():
    session = make((1, 3), (2, 3))
    run = session.propagate()
    assert run.total == 9
    frames = [result.frame for result in run]
    assert frames == [4, 5, 6, 7, 8, 9, 2, 1, 0]
    assert (run.done, run.is_complete, run.is_finished) == (9, True, True)
    np.testing.assert_array_equal(np.asarray(session.labels), TRUTH)


def test_every_frame_is_shown_before_it_is_yielded():
    session = make((1, 3), (2, 3))
    told = []
    session.frame_committed.connect(lambda t, box: told.append(t))
    run = session.propagate()
    for number, result in enumerate(run, start=1):
        assert isinstance(result, FrameResult)
        np.testing.assert_array_equal(session.labels[result.frame], TRUTH[result.frame])
        assert told[-1] == result.frame
        assert run.done == number
        assert result.total == run.total


@pytest.mark.parametrize(
    ("direction", "frames"), [("forward", {4, 5, 6, 8, 9}), ("backward", {0, 1, 2, 4, 5, 6})]
)
def test_one_direction_goes_only_that_way_from_conditioning_frames(direction, frames):
    session = make((1, 3), (1, 7))
    assert {result.frame for result in session.propagate(direction)} == frames
    assert {t for t in range(10) if session.record(1, t)} == frames | {3, 7}


def test_a_range_limits_the_frames_that_are_tracked():
    session = make((1, 3))
    list(session.propagate(frames=(2, 6)))
    assert [t for t in range(10) if session.record(1, t)] == [2, 3, 4, 5]
    list(session.propagate(frames=range(8, 10)))
    assert [t for t in range(10) if session.record(1, t)] == [2, 3, 4, 5, 8, 9]


def test_only_the_objects_asked_for_are_tracked():
    session = make((1, 3), (2, 3))
    list(session.propagate(objects=[2]))
    assert session.record(1, 4) is None
    assert session.record(2, 4) is not None


def test_prompted_and_locked_frames_are_never_written():
    session = make((1, 3), (2, 0))
    list(session.propagate())
    session.lock(1, 6)
    session.add_mask(1, 8, TRUTH[8] == 2)
    kept = {t: session.record(1, t) for t in (3, 6, 8)}
    results = list(session.propagate())
    assert {t: session.record(1, t) for t in kept} == kept
    written = {(mask.object_id, result.frame) for result in results for mask in result.objects}
    assert written.isdisjoint((1, t) for t in kept)


def test_a_segmenter_that_writes_on_a_prompted_frame_is_ignored():
    session = make((1, 3), (2, 3))
    shown = session.record(1, 3)
    run = session.propagate()
    first = next(iter(FakeSegmenter(session.frames).propagate(run.request)))
    rogue = FrameResult(3, first.objects, first.total, first.resume)
    run.commit(run.store(rogue))
    run.finish()
    assert session.record(1, 3) is shown


def test_one_frame_has_nothing_to_propagate_and_that_is_no_error():
    session = make((1, 0), video=VIDEO[:1])
    run = session.propagate()
    assert list(run) == []
    assert (run.total, run.is_complete) == (0, True)
    assert session.undo_action == "add point"


def test_backwards_from_frame_zero_is_no_error():
    run = make((1, 0)).propagate("backward")
    assert list(run) == []
    assert run.is_complete


def test_without_prompts_a_run_is_refused_with_the_next_step():
    with pytest.raises(PropagationError, match="no object has a prompt yet; click one first"):
        make().propagate()


@pytest.mark.parametrize("blank", [0, 5, 9])
@pytest.mark.parametrize("value", [np.nan, 7.0])
def test_a_blank_frame_shows_nothing_and_the_run_goes_on(blank, value):
    video = VIDEO.astype(np.float32)
    video[blank] = value
    session = make((1, 3), (2, 3), video=video)
    run = session.propagate()
    list(run)
    assert run.is_complete
    assert not session.labels[blank].any()
    assert session.record(1, blank).object_score < 0
    assert session.labels[4].any()


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 3, 5), (2, 1, 2000)])
def test_tiny_frames_work(shape):
    frames = ArrayFrames(np.zeros(shape, np.uint8))
    session = Session(frames, InlineEngine(FakeSegmenter(frames)))
    session.add_points(1, 0, [(0, 0)])
    assert len(list(session.propagate())) == shape[0] - 1
    assert session.labels[0].shape == shape[1:]


# One entry a run


def test_a_run_is_one_entry():
    session = make((1, 3), (2, 3))
    before = everything(session)
    list(session.propagate())
    after = everything(session)
    session.undo()
    assert everything(session) == before
    session.redo()
    assert everything(session) == after


def test_a_run_that_gave_nothing_leaves_no_entry():
    session = make((1, 3))
    run = session.propagate()
    run.cancel()
    assert list(run) == []
    assert session.undo_action == "add point"


def test_prompts_may_be_given_while_a_run_goes_on():
    session = make((1, 3))
    run = iter(session.propagate())
    for _ in range(3):
        next(run)
    session.add_points(2, 3, [centre(2, 3)])
    session.add_points(1, 8, [centre(1, 8)])
    clicked = session.record(1, 8)
    rest = list(run)
    assert len(rest) == 6
    assert session.record(1, 8) is clicked
    session.undo()
    assert session.record(1, 8).provenance == "tracked"
    session.undo()
    assert session.objects == (1,)
    np.testing.assert_array_equal(np.asarray(session.labels), np.where(TRUTH == 1, 1, 0))
    session.undo()
    assert session.record(1, 4) is None


@pytest.mark.parametrize("act", ["undo", "remove_object", "clear"])
def test_taking_its_ground_away_cancels_a_run(act):
    session = make((1, 3))
    run = session.propagate()
    course = iter(run)
    next(course)
    session.remove_object(1) if act == "remove_object" else getattr(session, act)()
    assert run.is_cancelled
    assert list(course) == []
    assert run.is_finished
    assert session.run is None
    assert [t for t in range(10) if session.labels[t].any()] == ([3] if act == "undo" else [])


def test_results_of_a_removed_object_never_reach_a_new_one_of_its_id():
    session = make((1, 3), (2, 3))
    course = iter(session.propagate())
    next(course)
    session.remove_object(1)
    session.add_points(1, 5, [centre(1, 5)])
    list(course)
    assert [t for t in range(10) if session.record(1, t)] == [5]
    assert all(session.record(2, t) for t in range(10))


@pytest.mark.parametrize("others", [[], [(2, 3)]])
def test_an_object_made_anew_before_the_first_result_has_no_part_in_the_run(others):
    session = make((1, 3), *others)
    run = session.propagate()
    session.remove_object(1)
    session.add_points(1, 5, [centre(1, 5)])
    list(run)
    assert [t for t in range(10) if session.record(1, t)] == [5]
    assert all(session.record(2, 4) for _ in others)


# Cancel and resume


@pytest.mark.parametrize("stop", range(1, 9))
@pytest.mark.parametrize("how", ["cancel", "break", "close", "error"])
def test_resuming_gives_what_an_uninterrupted_run_gives(stop, how):
    clicks = (1, 3), (2, 5), (1, 8)
    whole, cut = make(*clicks), make(*clicks)
    list(whole.propagate())
    run = cut.propagate()
    total = run.total
    if how == "error":
        cut.engine.segmenter.fail_next(after=stop)
        with pytest.raises(InferenceError):
            list(run)
    else:
        course = iter(run)
        for number, _ in enumerate(course, start=1):
            if number == stop and how == "cancel":
                run.cancel()
            elif number == stop:
                break
        course.close()
    assert (run.is_finished, run.is_complete, run.done) == (True, False, stop)
    calls = cut.engine.segmenter.num_calls
    rest = cut.propagate()
    assert (rest.number, rest.done, rest.total) == (run.number, stop, total)
    assert len(list(rest)) == total - stop
    assert cut.engine.segmenter.num_calls - calls == total - stop
    assert rest.is_complete
    assert everything(cut) == everything(whole)
    cut.undo()
    assert cut.undo_action == "add point"
    assert all(cut.record(1, t) is None for t in (4, 6, 9))


def test_a_run_may_be_cut_at_every_frame():
    whole, cut = make((1, 3), (2, 5)), make((1, 3), (2, 5))
    list(whole.propagate())
    num_runs = 0
    while True:
        run = cut.propagate()
        num_runs += 1
        for _ in run:
            break
        if run.is_complete:
            break
    assert num_runs == run.total
    assert everything(cut) == everything(whole)


def _cut(session, after=3):
    run = session.propagate()
    for _, _ in zip(range(after), run, strict=False):
        pass
    run.cancel()
    run.finish()
    return run


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.add_points(1, 6, [centre(1, 6)]),
        lambda s: s.remove_prompts(1, 3),
        lambda s: s.undo(),
        lambda s: s.lock(2, 6),
        lambda s: list(s.propagate(objects=[2])),
        lambda s: (s.remove_object(2), s.add_points(2, 5, [centre(2, 5)])),
    ],
)
def test_after_a_change_a_run_starts_anew(change):
    session = make((1, 3), (1, 8), (2, 5))
    first = _cut(session)
    change(session)
    run = session.propagate()
    assert (run.resume, run.done) == (None, 0)
    assert run.number > first.number
    list(run)
    fresh = make()
    fresh.restore(session.prompts, session.locks)
    list(fresh.propagate())
    assert everything(session) == everything(fresh)


@pytest.mark.parametrize(
    "detour",
    [
        lambda s: (s.undo(), s.redo()),
        lambda s: (s.lock(1, 4), s.unlock(1, 4)),
        lambda s: (s.add_points(2, 6, [centre(2, 6)]), s.undo()),
        lambda s: _cut(s, 2),
    ],
)
def test_after_a_detour_that_left_everything_as_it_was_a_run_resumes(detour):
    whole, session = make((1, 3), (2, 5)), make((1, 3), (2, 5))
    list(whole.propagate())
    first = _cut(session)
    detour(session)
    run = session.propagate()
    assert run.number == first.number
    assert run.resume is not None
    list(run)
    assert everything(session) == everything(whole)


@pytest.mark.parametrize("other", [{"direction": "forward"}, {"frames": (0, 9)}, {"objects": [1]}])
def test_another_question_does_not_resume(other):
    session = make((1, 3), (2, 5))
    _cut(session)
    assert session.propagate(**other).resume is None


def test_another_engine_does_not_resume():
    session = make((1, 3))
    _cut(session)
    session.engine = InlineEngine(FakeSegmenter(session.frames))
    assert session.propagate().resume is None


def test_a_complete_run_is_not_resumed():
    session = make((1, 3))
    list(session.propagate())
    run = session.propagate()
    assert run.resume is None
    assert len(list(run)) == 9


class FullStore(MemoryMaskStore):
    """A store that has no room left at one point."""

    room = 10**9

    def append(self, record):
        if len(self) >= self.room:
            raise OSError(28, "No space left on device")
        return super().append(record)


def test_when_the_store_is_full_what_is_done_is_kept_and_the_run_resumes():
    whole, store = make((1, 3), (2, 5)), FullStore()
    list(whole.propagate())
    cut = make((1, 3), (2, 5), store=store)
    store.room = len(store) + 6
    run = cut.propagate()
    with pytest.raises(OSError, match="No space left"):
        list(run)
    assert run.is_finished
    assert 0 < run.done < run.total
    before = everything(cut)
    for prompt in (
        lambda: cut.add_points(1, 8, [centre(1, 8)]),
        lambda: cut.add_mask(1, 8, TRUTH[8] == 1),
    ):
        with pytest.raises(OSError, match="No space left"):
            prompt()
    assert everything(cut) == before
    assert cut.undo_action == "propagate"
    store.room = 10**9
    rest = cut.propagate()
    assert rest.number == run.number
    list(rest)
    assert everything(cut) == everything(whole)


# One at a time


def test_a_second_run_is_refused_while_one_goes_on():
    session = make((1, 3))
    course = iter(session.propagate())
    next(course)
    with pytest.raises(PropagationError, match=r"going on \(1 of 9 frames\)"):
        session.propagate()
    with pytest.raises(PropagationError):
        session.engine = session.engine
    assert len(list(course)) == 8
    assert session.propagate().total == 9


def test_a_run_that_was_never_driven_can_be_cancelled_and_asked_for_again():
    session = make((1, 3))
    session.propagate().cancel()
    assert len(list(session.propagate())) == 9


def test_a_finished_run_gives_nothing_more():
    session = make((1, 3))
    run = session.propagate()
    assert len(list(run)) == 9
    assert list(run) == []


def test_runs_tell_when_they_start_and_end():
    session = make((1, 3))
    told = []
    session.run_started.connect(lambda run: told.append(("started", run.done, session.run is run)))
    session.run_finished.connect(lambda run: told.append(("finished", run.done, session.run)))
    list(session.propagate())
    assert told == [("started", 0, True), ("finished", 9, None)]


# Driven by a worker


def test_a_worker_stores_and_the_session_commits():
    inline, threaded = make((1, 3), (2, 5)), make((1, 3), (2, 5))
    list(inline.propagate())
    run, stored, shown = threaded.propagate(), [], []

    def work():
        for result in threaded.engine.propagate(run.request, run.resume):
            stored.append(run.store(result))
            shown.append(np.asarray(threaded.labels)[result.frame].any())

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert not all(shown)  # nothing is shown before it is committed
    assert run.done == 0
    for item in stored:
        run.commit(item)
    run.finish()
    run.finish()
    assert run.is_complete
    assert everything(threaded) == everything(inline)


@pytest.mark.parametrize("committed", [0, 1, 4])
def test_what_a_cancelled_worker_had_stored_but_not_committed_is_made_again(committed):
    whole, cut = make((1, 3), (2, 5)), make((1, 3), (2, 5))
    list(whole.propagate())
    run = cut.propagate()
    results = [run.store(result) for result in cut.engine.propagate(run.request, run.resume)]
    for item in results[:committed]:
        run.commit(item)
    run.cancel()
    rest = cut.propagate()
    assert run.is_finished
    run.commit(results[committed])  # came too late
    assert rest.done == committed
    list(rest)
    assert everything(cut) == everything(whole)


def test_a_cancelled_run_keeps_what_is_committed_until_it_is_finished():
    session = make((1, 3))
    run = session.propagate()
    results = [run.store(result) for result in session.engine.propagate(run.request, run.resume)]
    run.cancel()
    run.commit(results[0])
    run.finish()
    run.commit(results[1])
    assert (run.done, session.record(1, 5)) == (1, None)
    assert session.record(1, 4) is not None
