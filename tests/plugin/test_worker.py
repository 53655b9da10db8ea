"""SafeWorker: nothing that is raised on its thread is lost, and it always ends."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.errors import DeviceLostError, InferenceError, NapariSam2Error
from napari_sam2.core.messages import PromptRequest
from napari_sam2.core.prompts import FramePrompts, PromptStep
from napari_sam2.core.session import Session
from napari_sam2.plugin.engine import WorkerEngine
from napari_sam2.plugin.recipe import Recipe, mapping_for
from napari_sam2.plugin.worker import MAX_UNHEARD, AskJob, CallJob, LoadJob, SafeWorker
from napari_sam2.testing import FakeSegmenter, moving_discs

pytestmark = pytest.mark.gui

RAISED = [
    RuntimeError("cuda went away"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
    StopIteration(),
    KeyboardInterrupt(),
    SystemExit(1),
    ValueError("of a kind nobody foresaw"),
]


@pytest.fixture
def frames():
    return ArrayFrames(moving_discs()[0])


@pytest.fixture
def start(qtbot):
    workers = []

    def make(maker):
        workers.append(SafeWorker(maker))
        return workers[-1]

    yield make
    for worker in workers:
        assert worker.stop(5)


def ask(frames, object_id=1, y=20.0, generation=1):
    prompts = FramePrompts(0, (PromptStep(points=((y, 20.0),), positives=(True,)),))
    return AskJob(Recipe("fake", frames), PromptRequest(generation, object_id, prompts))


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_everything_raised_on_the_thread_comes_back_as_one_of_ours(frames, start, qtbot, error):
    worker = start(lambda recipe: FakeSegmenter(recipe.frames, raise_at={1: error}))
    replies = []
    worker.submit(ask(frames), replies.append)
    qtbot.waitUntil(lambda: bool(replies))
    (reply,) = replies
    assert reply.kind == "error"
    assert isinstance(reply.value, NapariSam2Error)
    assert not isinstance(reply.value, RuntimeError | StopIteration)
    assert reply.value.__cause__ is error
    worker.submit(ask(frames), replies.append)
    qtbot.waitUntil(lambda: len(replies) == 2)
    assert replies[1].kind == "answer", "the thread survived"


def test_a_graphics_card_that_was_lost_is_not_asked_again_but_the_cpu_is(frames, start, qtbot):
    lost = RuntimeError("CUDA error: device-side assert triggered\nmore")
    made = []

    def make(recipe):
        made.append(recipe)
        raise_at = {1: lost} if recipe.device == "auto" else {}
        return FakeSegmenter(recipe.frames, raise_at=raise_at)

    worker, replies = start(make), []
    on_card = ask(frames)
    for number in (1, 2):
        worker.submit(on_card, replies.append)
        qtbot.waitUntil(lambda number=number: len(replies) == number)
        assert isinstance(replies[-1].value, DeviceLostError)
    assert len(made) == 1, "the second question never reached the card"
    assert "restart" in replies[0].value.remedy
    on_cpu = replace(on_card, recipe=replace(on_card.recipe, device="cpu"))
    worker.submit(on_cpu, replies.append)
    qtbot.waitUntil(lambda: len(replies) == 3)
    assert replies[-1].kind == "answer"


def test_an_error_while_the_model_is_made_is_an_answer_too(frames, start, qtbot):
    def broken(recipe):
        raise OSError("[WinError 1114] c10.dll")

    replies = []
    start(broken).submit(LoadJob(Recipe("fake", frames)), replies.append)
    qtbot.waitUntil(lambda: bool(replies))
    assert "WinError 1114" in str(replies[0].value)


def test_the_model_is_made_and_used_on_one_other_thread(frames, start, qtbot):
    threads = []

    class Watched(FakeSegmenter):
        def prompt(self, request):
            threads.append(threading.current_thread())
            return super().prompt(request)

    def make(recipe):
        threads.append(threading.current_thread())
        return Watched(recipe.frames)

    handled_on = []
    worker = start(make)
    worker.submit(ask(frames), lambda reply: handled_on.append(threading.current_thread()))
    qtbot.waitUntil(lambda: bool(handled_on))
    assert len(set(threads)) == 1
    assert threads[0] is not threading.main_thread()
    assert handled_on == [threading.main_thread()]


def test_a_newer_question_about_the_same_place_overtakes_the_older_ones(frames, start, qtbot):
    fakes, kinds = [], []

    def make(recipe):
        fakes.append(FakeSegmenter(recipe.frames, delay=0.05))
        return fakes[-1]

    worker = start(make)
    for number in range(5):
        job = ask(frames, y=20.0 + number, generation=number)
        worker.submit(job, lambda reply: kinds.append(reply.kind))
    qtbot.waitUntil(lambda: len(kinds) == 5)
    assert kinds[-1] == "answer"
    assert kinds.count("answer") <= 2, "the first may have been under way"
    assert fakes[0].num_calls == kinds.count("answer")


def test_replies_of_a_forgotten_job_are_dropped(frames, start, qtbot):
    worker = start(lambda recipe: FakeSegmenter(recipe.frames))
    forgotten, others = [], []
    number = worker.submit(ask(frames), forgotten.append)
    worker.forget(number)
    worker.submit(ask(frames, object_id=2), others.append)
    qtbot.waitUntil(lambda: bool(others))
    assert not forgotten


def test_replies_are_handled_in_order_also_if_a_handler_processes_events(start, qtbot):
    seen = []

    def many(report):
        for number in range(30):
            report(number)

    def handle(reply):
        seen.append(("begun", reply.value))
        QApplication.processEvents()
        seen.append(("done", reply.value))

    worker = start(lambda recipe: None)
    worker.submit(CallJob(many), handle)
    qtbot.waitUntil(lambda: ("done", None) in seen, timeout=20_000)
    values = [*range(30), None]
    assert seen == [(what, value) for value in values for what in ("begun", "done")]


def test_a_handler_that_fails_costs_nobody_else_a_reply(start, qtbot):
    seen = []
    may_end, has_ended = threading.Event(), threading.Event()

    def many(report):
        for number in range(4):
            report(number)
        may_end.wait(20)

    def handle(reply):
        seen.append(reply.value)
        if reply.value == 0:
            # The others arrive in the middle of it, and the end is on its way when it fails.
            qtbot.waitUntil(lambda: len(worker._arrived) == 3, timeout=20_000)
            may_end.set()
            assert has_ended.wait(20)
            raise ValueError("of the handler")

    worker = start(lambda recipe: None)
    with qtbot.captureExceptions() as caught:
        worker.submit(CallJob(many), handle)
        worker.submit(CallJob(lambda report: has_ended.set()), lambda reply: None)
        qtbot.waitUntil(lambda: None in seen, timeout=20_000)
    assert len(caught) == 1
    assert seen == [0, 1, 2, 3, None]


def test_nothing_is_delivered_after_stop(frames, start, qtbot):
    worker = start(lambda recipe: FakeSegmenter(recipe.frames, delay=0.1))
    replies = []
    worker.submit(ask(frames), replies.append)
    time.sleep(0.03)
    assert worker.stop()
    assert not worker.is_alive
    qtbot.wait(50)
    assert not replies


def test_stop_waits_for_the_step_in_work_and_no_longer(frames, start):
    worker = start(lambda recipe: FakeSegmenter(recipe.frames))
    begun = threading.Event()

    def step(report):
        begun.set()
        time.sleep(0.3)

    worker.submit(CallJob(step), print)
    assert begun.wait(5)
    before = time.perf_counter()
    assert worker.stop()
    assert time.perf_counter() - before < 1.0


def test_a_script_can_drive_a_run_through_the_worker(frames, start):
    worker = start(lambda recipe: FakeSegmenter(recipe.frames))
    recipe = Recipe("fake", frames)
    engine = WorkerEngine(worker, recipe, lambda *_: None, lambda: None)
    session = Session(frames, engine)
    mask = np.zeros((64, 64), bool)
    mask[10:20, 10:20] = True
    session.add_mask(1, 0, mask)
    seen = [result.frame for result in session.propagate()]
    assert seen == list(range(1, 12))
    for _ in session.propagate():
        break  # left early: the worker must not wait for a reader who is gone
    assert session.run is None
    assert len(list(session.propagate())) == 10


def test_a_cancelled_run_gives_up_the_frame_in_work_and_continues_there(frames, start, qtbot):
    in_work, go_on = threading.Event(), threading.Event()

    class Slow(FakeSegmenter):
        def _count_call(self):
            super()._count_call()
            if self.num_calls == 3:
                in_work.set()
                go_on.wait(10)

    worker = start(lambda recipe: Slow(recipe.frames))
    engine = WorkerEngine(worker, Recipe("fake", frames), lambda *_: None, lambda: None)
    session = Session(frames, engine)
    session.add_mask(1, 0, np.ones((64, 64), bool))
    ended = []
    run = session.propagate()
    engine.drive(run, ended.append)
    assert in_work.wait(10)
    run.cancel()
    go_on.set()
    qtbot.waitUntil(lambda: bool(ended))
    assert ended == [None], "stopping is no error"
    assert run.done == 2
    assert session.record(1, 3) is None
    assert [result.frame for result in session.propagate()] == list(range(3, 12))


def test_an_error_in_a_run_that_a_script_drives_reaches_the_script(frames, start):
    worker = start(lambda recipe: FakeSegmenter(recipe.frames, raise_at={3: RuntimeError("boom")}))
    engine = WorkerEngine(worker, Recipe("fake", frames), lambda *_: None, lambda: None)
    session = Session(frames, engine)
    mask = np.ones((64, 64), bool)
    session.add_mask(1, 0, mask)
    with pytest.raises(InferenceError, match="boom"):
        list(session.propagate())
    assert session.run is None


def test_contrast_limits_count_only_if_they_cut_something_off(frames):
    robust = mapping_for(frames, None)
    assert mapping_for(frames, (0.0, 255.0)) == robust
    chosen = mapping_for(frames, (50.0, 100.0))
    assert (chosen.low, chosen.high) == (50.0, 100.0)
    assert "contrast limits" in chosen.provenance


def test_a_window_that_is_slow_holds_the_worker_up_and_loses_no_frame(start, qtbot):
    video, truth = moving_discs(num_frames=80, size=24)
    frames = ArrayFrames(video)
    worker = start(lambda recipe: FakeSegmenter(recipe.frames))
    engine = WorkerEngine(worker, Recipe("fake", frames), lambda *_: None, lambda: None)
    session = Session(frames, engine)
    session.add_points(1, 0, np.argwhere(truth[0] == 1)[:1])
    qtbot.waitUntil(lambda: engine.num_waiting == 0, timeout=20_000)
    run, ended, behind, shown = session.propagate(), [], [], []
    first = len(session.store)

    def consume(frame, box):
        time.sleep(0.005)
        shown.append(frame)
        behind.append(len(session.store) - first - run.done)

    session.frame_committed.connect(consume)
    engine.drive(run, ended.append)
    time.sleep(0.5)  # nobody listens at all
    assert len(session.store) - first <= MAX_UNHEARD + 1
    session.add_points(
        1, 40, np.argwhere(truth[40] == 1)[:1]
    )  # and a click is answered all the same
    qtbot.waitUntil(lambda: bool(ended), timeout=60_000)
    assert ended == [None]
    assert set(range(1, 80)) <= set(shown)
    assert 2 < max(behind) <= MAX_UNHEARD + 3  # the answer, and the frame in work
