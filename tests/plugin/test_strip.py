"""The quality strip: what it shows of the active object, and where its clicks go."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, Qt

from napari_sam2.plugin.quality import QualityWatch
from napari_sam2.plugin.state import FrameMark
from napari_sam2.plugin.strip import columns_of, in_words

pytestmark = pytest.mark.gui


def kinds(desk):
    desk.shown()
    return [mark.kind for mark in desk.dock.review.strip.marks]


def test_the_strip_says_how_every_frame_stands(desk):
    assert kinds(desk) == ["missing"] * 12
    desk.click(1)
    desk.press("Shift-F")
    desk.wait_for_run()
    desk.viewer.dims.set_current_step(0, 6)
    desk.press("G")
    found = kinds(desk)
    assert found[0] == "prompted"
    assert found[6] == "locked"
    assert set(found[1:6]) <= {"done", "doubtful"}
    desk.press("M")
    assert kinds(desk) == ["missing"] * 12, "it is about the active object"


def test_it_follows_the_slider_and_a_click_moves_the_slider(desk):
    desk.click(1)
    desk.shown()
    panel = desk.dock.review
    desk.viewer.dims.set_current_step(0, 4)
    assert panel.strip.frame == 4
    assert panel.caption.text() == "4: not tracked yet"
    panel.strip.resize(240, panel.strip.height())
    desk.qtbot.mouseClick(panel.strip, Qt.MouseButton.LeftButton, pos=QPoint(150, 12))
    assert desk.bridge.current_frame == 7
    assert panel.strip.frame == 7


def test_what_a_stopped_run_found_is_hatched_until_it_is_resumed(open_desk):
    desk = open_desk(fake={"delay": 0.05})
    desk.click(1)
    desk.press("Shift-S")
    desk.qtbot.waitUntil(lambda: desk.session.run.done >= 3)
    desk.press("Escape")
    desk.wait_for_run()
    desk.shown()
    marks = desk.dock.review.strip.marks
    assert [mark.is_stopped for mark in marks[:4]] == [False, True, True, True]
    assert not any(mark.is_stopped for mark in marks[6:])
    desk.propagate()
    desk.shown()
    assert not any(mark.is_stopped for mark in desk.dock.review.strip.marks)


def test_during_a_run_the_quality_is_looked_into_only_now_and_then(desk):
    desk.click(1)
    looks, now = [], [0.0]

    class Watched:
        """The session, as this watch alone sees it: the dock has a watch of its own, with a real clock."""

        def __getattr__(self, name):
            return getattr(desk.session, name)

        def quality(self, object_id):
            looks.append(1)
            return desk.session.quality(object_id)

    watch = QualityWatch(Watched(), clock=lambda: now[0])
    run = desk.session.propagate()
    for done in range(1, 6):
        run.drive(done)
        watch.marks_of(1)
    assert len(looks) == 1
    now[0] = 1.0
    watch.marks_of(1)
    assert len(looks) == 2
    run.drive()
    watch.marks_of(1)
    assert len(looks) == 3, "when it has ended, everything is up to date"
    watch.marks_of(1)
    watch.lowest_of(1)
    assert len(looks) == 3


@pytest.mark.parametrize(("count", "width"), [(12, 276), (200, 276), (5000, 276), (1, 276)])
def test_columns_fill_the_width_and_doubt_is_never_hidden(count, width):
    marks = [FrameMark("done")] * count
    marks[count // 2] = FrameMark("doubtful", 0.9)
    columns = list(columns_of(marks, width))
    assert columns[0][0] == 0
    assert width - 1 <= columns[-1][1] <= width
    assert all(x1 > x0 for x0, x1, _ in columns)
    assert [mark.kind for _, _, mark in columns].count("doubtful") == 1


def test_kinds_have_words():
    assert in_words(FrameMark("doubtful", 0.63)) == "doubtful (63%)"
    assert in_words(FrameMark("done", is_stopped=True)) == "tracked, before the stop"
