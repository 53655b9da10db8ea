"""The dock: what it shows, what its buttons do, and that it is usable after every failure."""

from __future__ import annotations

import time

import numpy as np
import pytest
from napari.utils import progress
from qtpy.QtCore import QTimer

from napari_sam2.core.errors import InferenceError, OutOfMemoryError
from napari_sam2.plugin.hints import Situation, next_step
from napari_sam2.plugin.panels.columns import FRAMES, LOWEST, NAME, NUMBER, PROMPTED
from napari_sam2.plugin.scope import Scope
from napari_sam2.plugin.settings import PluginSettings
from napari_sam2.testing import moving_discs

pytestmark = pytest.mark.gui

RAISED = [
    RuntimeError("CUDA error"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
    StopIteration(),
    KeyboardInterrupt(),
    SystemExit(1),
    InferenceError("of ours", remedy="try again"),
]


@pytest.fixture
def notified(monkeypatch):
    """Texts of all notifications."""
    texts = []
    for name in ("show_error", "show_warning"):
        monkeypatch.setattr(f"napari_sam2.plugin.reports.{name}", texts.append)
    return texts


def bars():
    return [bar for bar in progress._all_instances if "SAM 2" in bar.desc]


def test_an_empty_viewer_says_the_next_step_and_offers_samples(open_desk):
    desk = open_desk(False)
    state = desk.shown()
    assert "Open an image" in state.message.text
    dock = desk.dock
    assert not dock.empty.isHidden()
    assert dock.image.isHidden()
    assert dock.objects.isHidden()
    assert dock.run.isHidden()


def test_opening_an_image_begins_a_session_without_any_further_step(open_desk):
    video, truth = moving_discs()
    desk = open_desk(False)
    desk.truth = truth
    desk.viewer.add_image(video, name="later")
    desk.qtbot.waitUntil(lambda: desk.session is not None)
    assert [layer.name for layer in desk.viewer.layers] == [
        "later",
        "later SAM2 labels",
        "later SAM2 points",
    ]
    assert desk.dock.empty.isHidden() or not desk.shown().images == ()
    desk.click(1)
    assert desk.labels[0].any()


def test_the_sentence_follows_what_was_done(desk):
    assert desk.shown().message.text == "Click an object in the image."
    desk.click(1)
    assert "propagate" in desk.shown().message.text
    desk.press("M")
    assert desk.shown().message.text == "Click the next object in the image."
    desk.press("Shift-M")
    desk.propagate()
    assert desk.shown().message.text.startswith("All frames are done")
    desk.click(1, frame=5, button=2)
    assert "propagate" in desk.shown().message.text


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (Situation(has_image=True), "Choose the image"),
        (Situation(True, True, num_waiting=1, is_loaded=False), "Loading the model"),
        (Situation(True, True, num_waiting=1), "Finding the object"),
        (Situation(True, True, is_running=True), "Esc stops"),
        (Situation(True, True, is_running=True, is_stopping=True), "Stopping"),
        (Situation(True, True, missing_model="tiny"), "Download the model tiny"),
        (Situation(True, True, True, num_objects=1, has_active=True), "press M"),
    ],
)
def test_every_situation_has_its_sentence(now, said):
    assert said in next_step(now).text


def test_the_table_shows_the_colours_of_the_labels_and_choosing_a_row_activates_it(desk):
    desk.click(1)
    desk.press("M")
    desk.click(2)
    rows = desk.shown().objects
    assert [row.object_id for row in rows] == [1, 2]
    for row in rows:
        np.testing.assert_allclose(row.color, desk.bridge.labels.get_color(row.object_id))
    table = desk.dock.objects.table
    table.setCurrentCell(0, NAME)
    assert desk.controller.active_object == 1
    desk.propagate()
    desk.shown()
    assert [table.item(1, column).text() for column in (NUMBER, FRAMES, PROMPTED)] == [
        "2",
        "12",
        "1",
    ]
    assert table.item(1, FRAMES).toolTip() == "12 of 12 frames"
    assert table.item(1, LOWEST).text().endswith("%")


def test_the_buttons_do_what_the_keys_do(desk):
    dock = desk.dock
    desk.click(1)
    desk.shown()
    dock.objects.next.click()
    assert desk.controller.active_object == 2
    dock.prompts.negative.click()
    assert not desk.controller.is_positive
    dock.prompts.positive.click()
    desk.click(2)
    desk.shown()
    dock.run.propagate.click()
    desk.wait_for_run()
    np.testing.assert_array_equal(desk.labels, np.asarray(desk.session.labels))
    desk.shown()
    dock.run.undo.click()
    assert not desk.labels[5].any()
    desk.shown()
    dock.run.redo.click()
    assert desk.labels[5].any()


def test_propagation_fills_all_frames_and_labels_are_what_the_session_shows(desk):
    desk.click(1, frame=4)
    desk.press("M")
    desk.click(2, frame=7)
    desk.propagate()
    np.testing.assert_array_equal(desk.labels, np.asarray(desk.session.labels))
    np.testing.assert_array_equal(desk.labels, desk.truth)
    assert desk.labels.dtype == np.uint16


def test_results_appear_frame_by_frame_with_progress_in_dock_and_activity_area(open_desk):
    desk = open_desk(fake={"delay": 0.05})
    desk.click(1)
    seen = []
    desk.session.frame_committed.connect(
        lambda frame, box: seen.append((frame, int(desk.labels.any(axis=(1, 2)).sum())))
    )
    desk.press("Shift-S")
    desk.qtbot.waitUntil(lambda: len(seen) >= 4)
    (bar,) = bars()
    assert bar.total == 11
    assert bar.n >= 3
    state = desk.shown()
    assert 0 < state.progress.done < 11
    assert desk.dock.run.propagate.isHidden()
    assert not desk.dock.run.bar.isHidden()
    desk.wait_for_run()
    tracked = [(frame, count) for frame, count in seen if frame]
    assert [frame for frame, _ in tracked] == list(range(1, 12))
    assert [count for _, count in tracked] == list(range(2, 13))
    assert not bars()
    desk.shown()
    assert desk.dock.run.bar.isHidden()


def test_escape_stops_within_a_frame_keeps_what_is_done_and_resuming_gives_the_same(open_desk):
    calm = open_desk()
    calm.click(1)
    calm.propagate()
    desk = open_desk(fake={"delay": 0.1})
    desk.click(1)
    desk.press("Shift-S")
    desk.qtbot.waitUntil(lambda: desk.session.run.done >= 3)
    run = desk.session.run
    at = run.done
    before = time.perf_counter()
    desk.press("Escape")
    desk.wait_for_run()
    assert time.perf_counter() - before < 1.0
    assert run.done <= at + 2
    kept = desk.labels.copy()
    assert kept[1 : run.done + 1].any(axis=(1, 2)).all()
    assert not kept[run.done + 2 :].any()
    assert "Stopped" in desk.shown().message.text
    desk.propagate()
    np.testing.assert_array_equal(desk.labels, calm.labels)
    np.testing.assert_array_equal(desk.labels[1 : run.done + 1], kept[1 : run.done + 1])


def test_a_click_during_a_run_is_answered_before_the_run_ends(open_desk):
    desk = open_desk(fake={"delay": 0.1})
    desk.click(1)
    desk.press("Shift-S")
    desk.qtbot.waitUntil(lambda: desk.session.run.done >= 1)
    desk.press("M")
    desk.click(2)
    assert desk.session.run is not None
    assert desk.labels[0][tuple(int(v) for v in desk.centre(2))] == 2
    desk.wait_for_run()
    assert (desk.labels == 1).any(axis=(1, 2)).all()


def test_undo_during_a_run_ends_it_and_leaves_nothing_of_it(open_desk):
    desk = open_desk(fake={"delay": 0.05})
    desk.click(1)
    clicked = desk.labels.copy()
    desk.press("Shift-S")
    desk.qtbot.waitUntil(lambda: desk.session.run.done >= 3)
    desk.press("Control-Z")
    desk.wait_for_run()
    desk.qtbot.wait(100)
    np.testing.assert_array_equal(desk.labels, clicked)


def test_pressing_propagate_twice_is_refused_and_the_first_goes_on(open_desk, notified):
    desk = open_desk(fake={"delay": 0.02})
    desk.click(1)
    desk.press("Shift-S")
    desk.press("Shift-S")
    assert len(notified) == 1
    assert "going on" in notified[0]
    desk.wait_for_run()
    assert desk.labels.any(axis=(1, 2)).all()


def test_propagating_nothing_says_what_to_do(desk, notified):
    desk.press("Shift-S")
    assert len(notified) == 1
    assert "Click one first" in notified[0]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: f"{type(error).__name__}")
def test_after_any_failure_of_a_run_the_dock_is_usable_and_the_run_continues(
    open_desk, notified, contract, error
):
    desk = open_desk(fake={"raise_at": {5: error}})
    desk.click(1)

    def fails():
        desk.propagate()
        assert len(notified) == 1, "one notification for one error"
        assert desk.shown().message.tone == "error"
        assert desk.labels[1:4].any(axis=(1, 2)).all(), "finished frames are kept"

    contract.desk(desk, fails, desk.propagate)
    assert len(notified) == 1
    np.testing.assert_array_equal(desk.labels == 1, desk.truth == 1)


@pytest.mark.parametrize("error", RAISED, ids=lambda error: f"{type(error).__name__}")
def test_a_click_that_fails_leaves_no_trace_and_the_next_one_works(
    open_desk, notified, contract, error
):
    desk = open_desk(fake={"raise_at": {1: error}})

    def fails():
        desk.click(1)
        assert len(notified) == 1
        assert not desk.session.objects
        assert not len(desk.bridge.prompts.points.data)

    contract.desk(desk, fails, lambda: desk.click(1))
    assert desk.session.objects == (1,)
    assert len(desk.bridge.prompts.points.data) == 1
    assert len(notified) == 1


def test_running_out_of_memory_says_what_helps(open_desk, notified):
    desk = open_desk(fake={"raise_at": {1: MemoryError()}})
    failures = []
    desk.controller.failed.connect(failures.append)
    desk.click(1)
    assert isinstance(failures[0], OutOfMemoryError)
    assert "smaller model" in notified[0]


def test_an_image_that_cannot_be_used_is_refused_with_a_sentence(open_desk, notified):
    desk = open_desk(np.zeros((3, 8, 8), complex).real.astype(np.float32))
    desk.viewer.add_image(np.zeros((2, 8, 8, 4), np.uint8), rgb=True, name="with alpha")
    desk.controller.choose_image(desk.viewer.layers["with alpha"])
    assert len(notified) == 1
    assert "alpha" in notified[0]
    assert desk.session is not None, "the image in use stays"


def test_the_event_loop_stays_alive_during_a_run(open_desk):
    desk = open_desk(fake={"delay": 0.02})
    desk.click(1)
    beats = []
    heart = QTimer()
    heart.setInterval(10)
    heart.timeout.connect(lambda: beats.append(time.perf_counter()))
    heart.start()
    desk.press("Shift-S")
    desk.wait_for_run()
    heart.stop()
    gaps = np.diff(beats)
    assert len(beats) >= 8
    assert np.median(gaps) < 0.05


def test_only_the_frame_on_display_is_redrawn_and_not_more_often_than_allowed(open_desk):
    video, truth = moving_discs(num_frames=60)
    settings = PluginSettings(refresh_per_second=5.0)
    desk = open_desk(video, truth=truth, settings=settings)
    desk.click(1)
    # On a busy computer, what the click drew may still be on its way.
    desk.qtbot.waitUntil(lambda: not desk.bridge._timer.isActive())
    refreshed = []
    labels = desk.bridge.labels
    original = labels.refresh
    labels.refresh = lambda *args, **kwargs: (refreshed.append(1), original(*args, **kwargs))
    desk.propagate()
    # Of 60 frames the one on display was prompted: it is drawn when its object joins the run, and at the end; on a busy
    # computer once more in between.
    assert 2 <= len(refreshed) <= 3
    del refreshed[:]
    started = time.perf_counter()
    for frame in range(20, 40):
        desk.viewer.dims.set_current_step(0, frame)
        desk.bridge._write(frame, (0, 0, 5, 5))
    allowed = 2 + 5 * (time.perf_counter() - started)
    assert len(refreshed) <= min(allowed, 19)
    desk.qtbot.wait(300)
    assert not desk.bridge._is_stale, "what was put off is drawn in the end"
    labels.refresh = original


def test_choosing_a_model_that_is_not_here_offers_a_download(desk):
    desk.controller.choose_model("tiny")
    state = desk.shown()
    assert state.download_size == 156
    assert not desk.dock.image.download.isHidden()
    assert "156 MB" in desk.dock.image.download.text()
    desk.controller.choose_model("nano")
    assert desk.shown().download_size == 0
    assert desk.dock.image.download.isHidden()


def test_a_download_shows_progress_and_a_failure_is_told_once(desk, notified, monkeypatch):
    from napari_sam2.core.errors import DownloadError

    def fetch(name, *, progress, is_cancelled):
        progress(40_000_000, 156_000_000)
        time.sleep(0.2)
        raise DownloadError("the server does not answer")

    monkeypatch.setattr("napari_sam2.io.weights.fetch", fetch)
    desk.controller.choose_model("tiny")
    desk.shown()
    desk.dock.image.download.click()
    desk.qtbot.waitUntil(lambda: "40 of 156 MB" in desk.shown().progress.text)
    desk.qtbot.waitUntil(lambda: desk.controller.download is None)
    assert notified == ["The server does not answer."]
    assert desk.shown().progress is None


def test_a_download_can_be_stopped(desk, monkeypatch):
    from napari_sam2.core.errors import DownloadCancelledError

    def fetch(name, *, progress, is_cancelled):
        while not is_cancelled():
            time.sleep(0.01)
        raise DownloadCancelledError("stopped")

    monkeypatch.setattr("napari_sam2.io.weights.fetch", fetch)
    desk.controller.choose_model("tiny")
    desk.controller.download_model()
    desk.press("Escape")
    desk.qtbot.waitUntil(lambda: desk.controller.download is None)
    assert desk.shown().message.tone == "warning", "still asks for the download, no error"


def test_another_model_answers_from_now_on_and_results_stay(desk):
    desk.click(1)
    before = desk.labels.copy()
    makers = len(desk.makers)
    desk.controller._workspace.use(PluginSettings(model="another"))
    desk.press("M")
    desk.click(2)
    assert len(desk.makers) == makers + 1
    assert desk.controller.binding.engine.recipe.model == "another"
    np.testing.assert_array_equal(desk.labels == 1, before == 1)


def test_the_axis_can_be_changed_only_while_there_is_no_object(open_desk, notified):
    desk = open_desk(moving_discs(num_frames=20)[0])
    desk.truth = moving_discs(num_frames=20)[1]
    desk.controller.choose_axis(2)
    assert desk.session.stack_view.frame_axis == 2
    assert len(desk.viewer.layers) == 3, "the layers are used again"
    desk.controller.choose_axis(0)
    desk.click(1)
    desk.controller.choose_axis(2)
    assert desk.session.stack_view.frame_axis == 0
    assert len(notified) == 1
    assert desk.shown().axis_locked


def test_the_slider_moved_last_is_the_frame_axis(open_desk):
    desk = open_desk(np.zeros((4, 5, 16, 16), np.uint8))
    assert desk.session.stack_view.frame_axis == 0
    other = open_desk(False)
    other.viewer.add_image(np.zeros((4, 5, 16, 16), np.uint8))
    other.viewer.dims.last_used = 1
    other.qtbot.waitUntil(lambda: other.session is not None)
    assert other.session.stack_view.frame_axis == 1


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_is_clipped_at_300_pixels(open_desk, theme):
    from qtpy.QtWidgets import QLabel, QPushButton, QScrollArea

    desk = open_desk(name="a very long name of an image that comes from a very long file name")
    desk.viewer.theme = theme
    desk.click(1)
    desk.controller.shaping.rename(1, "a very long name of an object")
    desk.propagate()
    desk.press("N")
    dock = desk.dock
    dock.log.fold.click()
    dock.run.more.fold.click()
    for frames in ("near", "range", "all"):
        desk.controller.running.choose_scope(Scope("active", frames, 10, 0, 11))
        desk.shown()
        dock.setFixedWidth(300)
        dock.resize(300, 800)
        dock.grab()  # lays everything out, as on a screen
        area = dock.findChild(QScrollArea)
        content, room = area.widget(), 300 - area.verticalScrollBar().sizeHint().width()
        assert content.minimumSizeHint().width() <= room
        assert not area.horizontalScrollBar().isVisible()
        assert not dock.log.text.horizontalScrollBar().isVisible()
        for part in [*dock.findChildren(QPushButton), *dock.findChildren(QLabel)]:
            if part.isVisibleTo(dock):
                needed = part.minimumSizeHint().width() if isinstance(part, QLabel) else 0
                if isinstance(part, QPushButton):
                    needed = part.fontMetrics().horizontalAdvance(part.text())
                if part is not dock.review.caption:
                    assert needed <= part.width(), part.text()
    caption = dock.review.caption
    assert caption.fontMetrics().horizontalAdvance(caption.text()) <= caption.width()
