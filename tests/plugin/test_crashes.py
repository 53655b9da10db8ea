"""Crashes and full disks in a real viewer: nothing that was found is lost, and work is never held up."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict, replace

import numpy as np
import pytest
from tests.crash.holding import held_by_another
from tests.faults import FailingDisk

from napari_sam2.io import autosaved
from napari_sam2.io.autosaved import ASIDE
from napari_sam2.io.generations import is_previous
from napari_sam2.io.holding import lock_of
from napari_sam2.io.journal import journal_of
from napari_sam2.io.owners import Owner
from napari_sam2.io.sessions import read_session
from napari_sam2.plugin import autosave
from napari_sam2.testing import moving_discs

GONE = replace(Owner.me(), pid=2**22 - 7)


@pytest.fixture
def folder(home):
    return home / "sessions"


def saved(folder):
    """Return the sessions in a folder, without the versions before."""
    return sorted(item for item in folder.glob("*.sam2.json") if not is_previous(item))


def labels_of(desk):
    return np.asarray(desk.session.labels)


def begin_run(desk, done):
    """Start a run that waits before frame `done` + 1, and let it come there."""
    desk.click(1)
    desk.fake.sleep_at[desk.fake.num_calls + done + 1] = 4.0
    desk.press("Shift-S")
    desk.qtbot.waitUntil(lambda: desk.session.run.done == done, timeout=30_000)


def die(desk, folder):
    """Leave on the disk what a program leaves that is killed now; the desk itself is closed."""
    left = folder.with_name("left")
    shutil.copytree(folder, left)
    desk.controller.close()
    shutil.rmtree(folder)
    left.rename(folder)
    for thread in threading.enumerate():
        if thread.name == "napari-sam2 worker":  # in its frame for longer than closing waits
            thread.join(20)
    for path in saved(folder):
        lock_of(path).write_text(json.dumps({**asdict(GONE), "since": 1e9}))


@pytest.fixture
def crashed(open_desk, folder):
    """What a program left that was killed after five frames of a run; its labels then, and the stack."""
    video, truth = moving_discs()
    desk = open_desk(video, truth=truth)
    begin_run(desk, 5)
    labels = labels_of(desk)
    die(desk, folder)
    return labels, video, truth


def test_every_frame_that_is_shown_is_on_the_disk(desk, folder):
    begin_run(desk, 5)
    (path,) = saved(folder)
    file = read_session(path)
    assert file.num_regained == 5
    assert file.saved.prompts == desk.session.prompts
    assert {mask.record.frame for mask in file.kept.masks} == {0, 1, 2, 3, 4, 5}
    desk.wait_for_run()
    desk.controller.session_files._autosave.flush()
    assert not journal_of(path).exists()
    assert len(read_session(path).kept.masks) == 12


def test_after_a_crash_the_dock_says_what_is_there_and_brings_it_back(open_desk, crashed):
    labels, video, truth = crashed
    desk = open_desk(video.copy(), truth=truth)
    asked = desk.shown().offer
    assert asked.startswith("napari ended without closing it. Restore the session of today ")
    assert asked.endswith("(1 object, 6 frames)?")
    desk.dock.offer.restore.click()
    np.testing.assert_array_equal(labels_of(desk), labels)
    np.testing.assert_array_equal(np.asarray(desk.labels), labels)
    assert "5 frames found after it was saved are there, too" in desk.shown().message.text
    desk.propagate()
    other = open_desk(video.copy(), truth=truth)
    other.click(1)
    other.propagate()
    np.testing.assert_array_equal(labels_of(desk), labels_of(other))


def test_a_crash_while_it_is_brought_back_costs_nothing(open_desk, crashed, folder):
    labels, video, truth = crashed
    for _ in range(3):
        desk = open_desk(video.copy(), truth=truth)
        desk.dock.offer.restore.click()
        die(desk, folder)
    desk = open_desk(video.copy(), truth=truth)
    desk.dock.offer.restore.click()
    np.testing.assert_array_equal(labels_of(desk), labels)


def test_what_is_discarded_can_still_be_opened(open_desk, crashed, folder):
    labels, video, truth = crashed
    desk = open_desk(video.copy(), truth=truth)
    desk.dock.offer.discard.click()
    assert saved(folder) == []
    assert "A copy is kept for a while" in desk.shown().message.text
    (copy,) = saved(folder / ASIDE)
    desk.controller.session_files.open(copy, desk.controller.binding.image)
    np.testing.assert_array_equal(labels_of(desk), labels)


def test_few_discarded_sessions_are_kept(open_desk, folder, monkeypatch):
    monkeypatch.setattr(autosaved, "NUM_ASIDE", 1)
    video, truth = moving_discs()
    for number in range(3):
        desk = open_desk(video.copy(), truth=truth)
        if number:
            desk.dock.offer.discard.click()
        desk.click(1)
        desk.controller.close()
    assert len(saved(folder / ASIDE)) == 1
    assert len(list((folder / ASIDE).glob("*.masks"))) == 1


def test_a_session_in_another_napari_is_neither_offered_nor_removed(
    open_desk, crashed, folder, monkeypatch
):
    monkeypatch.setattr(autosave, "NUM_KEPT", 1)
    _, video, truth = crashed
    (path,) = saved(folder)
    with held_by_another(path):
        desk = open_desk(video.copy(), truth=truth)
        assert desk.shown().offer == ""
        desk.click(1)
        desk.controller.close()
        assert path in saved(folder)


def test_a_file_that_another_napari_saves_to_is_left_alone(desk, folder, tmp_path):
    desk.click(1)
    theirs = tmp_path / "theirs.sam2.json"
    theirs.write_text("of another napari")
    with held_by_another(theirs) as process:
        desk.controller.session_files.save(theirs)
        shown = desk.shown().message
        assert shown.tone == "error"
        assert f"heirs.sam2.json is being worked on by process {process.pid}" in shown.text
    assert theirs.read_text() == "of another napari"
    desk.controller.session_files._autosave.flush()
    assert len(saved(folder)) == 1


def test_on_a_full_disk_the_run_goes_on_and_a_copy_can_be_saved_elsewhere(desk, folder, tmp_path):
    files = desk.controller.session_files
    disk = FailingDisk(folder.parent, errno.ENOSPC, 1, is_lasting=True)
    with disk.failing():
        desk.click(1)
        desk.propagate()
        desk.controller.next_object()
        desk.click(2)
        assert desk.session.objects == (1, 2)
        files._autosave.flush()
        assert "Not saved: " in desk.shown().unsaved
        assert "No space left on device" in desk.dock.files.unsaved.text()
        files.save(tmp_path / "rescue.sam2.json")
        assert desk.shown().message.text == "Saved as rescue.sam2.json."
        assert desk.shown().unsaved == ""
    file = read_session(tmp_path / "rescue.sam2.json")
    assert file.saved == desk.session.saved
    assert len(file.kept.masks) == 13
    assert saved(folder) == []


def test_a_disk_that_works_again_is_used_without_being_asked(desk, folder, monkeypatch, qtbot):
    monkeypatch.setattr(autosave, "DELAY", 20)
    monkeypatch.setattr(autosave, "RETRY", 50)
    disk = FailingDisk(folder.parent, errno.EIO, 1, is_lasting=True)
    with disk.failing():
        desk.click(1)
        qtbot.waitUntil(lambda: "tried again" in desk.shown().message.text, timeout=30_000)
    qtbot.waitUntil(lambda: len(saved(folder)) == 1, timeout=30_000)
    qtbot.waitUntil(lambda: desk.controller.session_files._autosave._error is None, timeout=30_000)
    assert read_session(saved(folder)[0]).saved == desk.session.saved


def test_what_cannot_be_saved_elsewhere_either_goes_on_where_it_was(desk, folder, tmp_path):
    begin_run(desk, 3)
    disk = FailingDisk(tmp_path / "full", errno.ENOSPC, 3, is_lasting=True)
    (tmp_path / "full").mkdir()
    with disk.failing():
        desk.controller.session_files.save(tmp_path / "full" / "x.sam2.json")
    assert desk.shown().message.tone == "error"
    desk.wait_for_run()
    assert len(labels_of(desk).any(axis=(1, 2)).nonzero()[0]) == 12
    desk.controller.session_files._autosave.flush()
    (path,) = saved(folder)
    assert len(read_session(path).kept.masks) == 12
    assert not journal_of(path).exists()


def test_a_run_takes_its_journal_along_when_it_is_saved_elsewhere(desk, folder, tmp_path):
    begin_run(desk, 3)
    path = tmp_path / "mine.sam2.json"
    desk.controller.session_files.save(path)
    assert saved(folder) == []
    assert len(read_session(path).kept.masks) == 4
    desk.fake.sleep_at[desk.fake.num_calls + 4] = 3.0
    desk.qtbot.waitUntil(lambda: desk.session.run.done >= 6, timeout=30_000)
    there = {mask.record.frame for mask in read_session(path).kept.masks}
    assert set(range(desk.session.run.done + 1)) <= there
    desk.wait_for_run()


ABORT = """
import os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
import numpy as np
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
from napari_sam2.plugin.controller import Controller
from napari_sam2.testing import FakeSegmenter, moving_discs

app = QApplication([])
video, truth = moving_discs()
viewer = ViewerModel()
viewer.add_image(video, name="discs")
controller = Controller(viewer, lambda recipe: FakeSegmenter(recipe.frames, delay=0.05))
controller.open()
session = controller.session
inside = np.argwhere(truth[0] == 1)
session.add_points(1, 0, [inside[len(inside) // 2]])
while controller.binding.engine.num_waiting:
    app.processEvents()
controller.running.propagate()
while session.run.done < 6:
    app.processEvents()
os.abort()
"""


@pytest.mark.slow
def test_a_program_that_aborts_in_the_middle_of_a_run_is_brought_back(open_desk, folder):
    done = subprocess.run([sys.executable, "-c", ABORT], capture_output=True, timeout=300)
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    video, truth = moving_discs()
    desk = open_desk(video, truth=truth)
    assert "napari ended without closing it" in desk.shown().offer
    desk.dock.offer.restore.click()
    shown = labels_of(desk).any(axis=(1, 2))
    assert shown[:7].all()
