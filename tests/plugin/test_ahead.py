"""Frames are encoded before anybody asks: the shown one first, and never in anybody's way."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from napari_sam2.core.errors import FrameReadError
from napari_sam2.plugin.ahead import CALM, IdleWork, Outlook, outward
from napari_sam2.plugin.settings import PluginSettings
from napari_sam2.testing import moving_discs

pytestmark = pytest.mark.gui


def wait_until_all(desk, count=12):
    desk.qtbot.waitUntil(lambda: len(set(desk.fake.prepared)) >= count, timeout=20_000)


# The order


def test_frames_to_be_seen_next_come_first_and_every_frame_once():
    assert list(outward(5, 1, 10)) == [6, 7, 4, 8, 9, 3, 2, 1, 0]
    assert list(outward(5, -1, 10)) == [4, 3, 6, 2, 1, 7, 0, 8, 9]
    assert list(outward(0, -1, 4)) == [1, 2, 3]
    assert list(outward(3, 1, 4)) == [2, 1, 0]
    assert list(outward(0, 1, 1)) == []


def test_idle_work_waits_for_calm_and_only_for_the_model_that_is_there():
    now = [100.0]
    work, recipe = IdleWork(lambda: now[0]), SimpleNamespace(frames=range(3))
    assert work.pause(recipe) is None
    work.turn_to(Outlook(recipe, 1, 1, (0, 0, 5, 5)))
    assert work.pause(recipe) == pytest.approx(CALM)
    assert work.pause(None) is None
    now[0] += CALM / 2
    work.rest()
    now[0] += CALM
    assert work.pause(recipe) == 0
    first, second = work.next_job(), work.next_job()
    assert (first.frame, first.box, first.may_forget) == (1, (0, 0, 5, 5), True)
    assert (second.frame, second.box, second.may_forget) == (2, None, False)
    earlier = first.outlook
    work.turn_to(Outlook(recipe, 0))
    work.end(earlier)
    now[0] += 2 * CALM
    assert work.pause(recipe) == 0, "a person has moved on: that is another outlook"
    assert [work.next_job().frame for _ in range(3)] == [0, 1, 2]
    assert work.next_job() is None
    assert work.pause(recipe) is None


# In the dock


def test_the_shown_frame_is_encoded_without_a_click_then_those_around_it(open_desk):
    video, truth = moving_discs()
    desk = open_desk(False)
    desk.truth = truth
    desk.viewer.add_image(video)
    desk.qtbot.waitUntil(lambda: desk.session is not None)
    wait_until_all(desk)
    here = desk.bridge.current_frame
    assert desk.fake.num_calls == 0, "nobody clicked"
    assert desk.fake.prepared == [here, *outward(here, 1, 12)]
    desk.click(1)
    assert desk.labels[0].any()


def test_a_click_goes_before_the_rest(open_desk, monkeypatch):
    desk = open_desk(fake={"delay": 0.2})
    desk.qtbot.waitUntil(lambda: len(desk.makers) == 1 and len(desk.fake.prepared) >= 2)
    fake, before = desk.fake, []
    prompt = fake.prompt
    monkeypatch.setattr(
        fake, "prompt", lambda request: before.append(len(fake.prepared)) or prompt(request)
    )
    begun = len(fake.prepared)
    desk.click_at(desk.bridge.current_frame, *desk.centre(1))
    desk.wait_for_answers()
    assert before[0] <= begun + 2, "the frames in work, no more, came before it"
    wait_until_all(desk)


def test_scrolling_changes_what_is_encoded_next(open_desk):
    video, truth = moving_discs(num_frames=30)
    desk = open_desk(video, truth=truth, fake={"delay": 0.1})
    desk.qtbot.waitUntil(lambda: len(desk.makers) == 1 and len(desk.fake.prepared) >= 2)
    desk.viewer.dims.set_current_step(0, 26)
    desk.viewer.dims.set_current_step(0, 25)
    known = len(desk.fake.prepared) + 1  # one may be in work
    desk.qtbot.waitUntil(lambda: len(desk.fake.prepared) >= known + 6, timeout=20_000)
    prepared = desk.fake.prepared
    at = prepared.index(25)
    assert at <= known
    seen = set(prepared[:at])
    backwards = [frame for frame in outward(25, -1, 30) if frame not in seen]
    assert prepared[at + 1 : at + 5] == backwards[:4]
    assert backwards[:3] == [24, 23, 26]


def test_where_an_object_is_known_its_window_is_prepared_too(desk):
    desk.click(1)
    desk.propagate()
    desk.viewer.dims.set_current_step(0, 6)
    desk.qtbot.waitUntil(lambda: desk.fake.prepared_boxes[-1:] != [None] or 6 in desk.fake.prepared)
    desk.qtbot.waitUntil(
        lambda: (
            (6, desk.session.record(1, 6).box)
            in zip(desk.fake.prepared, desk.fake.prepared_boxes, strict=False)
        )
    )


def test_it_ends_when_there_is_no_room_and_the_shown_frame_is_always_encoded(open_desk):
    desk = open_desk(fake={"room": 4})
    wait_until_all(desk, 4)
    desk.qtbot.wait(round(2500 * CALM))
    here = desk.bridge.current_frame
    assert desk.fake.prepared == [here, *outward(here, 1, 12)][:4]
    desk.viewer.dims.set_current_step(0, 9)
    desk.qtbot.waitUntil(lambda: len(desk.fake.prepared) == 5, timeout=20_000)
    desk.qtbot.wait(round(2500 * CALM))
    assert desk.fake.prepared[4:] == [9]


def test_a_run_is_not_interrupted_by_it(open_desk):
    desk = open_desk(fake={"delay": 0.05})
    desk.click(1)
    desk.press("Shift-S")
    desk.qtbot.waitUntil(lambda: desk.session.run.done >= 2)
    during = len(desk.fake.prepared)
    desk.qtbot.waitUntil(lambda: desk.session.run.done >= 6)
    assert len(desk.fake.prepared) == during
    desk.wait_for_run()


def test_closing_ends_it(open_desk):
    desk = open_desk(fake={"delay": 0.1})
    desk.qtbot.waitUntil(lambda: len(desk.makers) == 1 and len(desk.fake.prepared) >= 2)
    desk.controller.close()
    assert not [item for item in threading.enumerate() if item.name == "napari-sam2 worker"]
    done = list(desk.fake.prepared)
    desk.qtbot.wait(300)
    assert desk.fake.prepared == done


def test_it_can_be_switched_off(open_desk):
    desk = open_desk(settings=PluginSettings(ahead=False))
    desk.click(1)
    desk.viewer.dims.set_current_step(0, 5)
    desk.qtbot.wait(round(2500 * CALM))
    assert not desk.fake.prepared


def test_another_model_is_made_ready_for_the_shown_frame_as_well(desk):
    wait_until_all(desk)
    desk.controller.choose_focus(False)
    desk.qtbot.waitUntil(lambda: len(desk.makers) == 2, timeout=20_000)
    wait_until_all(desk)


def test_what_fails_is_told_when_somebody_asks_for_it(open_desk, monkeypatch):
    told = []
    for name in ("show_error", "show_warning"):
        monkeypatch.setattr(f"napari_sam2.plugin.reports.{name}", told.append)
    desk = open_desk()
    frames, read = desk.controller.binding.frames, desk.controller.binding.frames.read
    tried = []

    def failing(t):
        tried.append(t)
        raise FrameReadError(f"frame {t} cannot be read")

    monkeypatch.setattr(frames, "read", failing)
    desk.viewer.dims.set_current_step(0, 3)
    desk.qtbot.waitUntil(lambda: 3 in tried, timeout=20_000)
    desk.qtbot.wait(round(2500 * CALM))
    assert not told
    desk.click(1, frame=3)
    assert len(told) == 1
    assert "Frame 3 cannot be read" in told[0]
    monkeypatch.setattr(frames, "read", read)
    desk.click(1, frame=3)
    assert desk.labels[3].any()
