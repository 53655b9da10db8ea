"""Session files in a real viewer: saved by themselves, saved by a person, offered, and opened again."""

from __future__ import annotations

import threading
import time
from datetime import datetime

import numpy as np
import pytest
import tifffile

from napari_sam2.io.generations import is_previous
from napari_sam2.io.sessions import read_session
from napari_sam2.plugin import autosave
from napari_sam2.plugin.autosave import in_words
from napari_sam2.testing import moving_discs


@pytest.fixture
def folder(home):
    """The folder that sessions are saved in by themselves."""
    return home / "sessions"


@pytest.fixture
def soon(monkeypatch):
    """Let changes be saved after a moment."""
    monkeypatch.setattr(autosave, "DELAY", 20)


@pytest.fixture
def image_file(tmp_path):
    video, truth = moving_discs()
    tifffile.imwrite(tmp_path / "discs.tif", video, photometric="minisblack")
    return tmp_path / "discs.tif", video, truth


def saved(folder):
    return sorted(path for path in folder.glob("*.sam2.json") if not is_previous(path))


def labels_of(desk):
    return np.asarray(desk.session.labels)


def begin(desk, object_id, frame=0):
    desk.controller.next_object()
    desk.click(object_id, frame)


def worked(desk):
    desk.click(1)
    desk.propagate()
    begin(desk, 2, frame=3)
    desk.session.rename(1, "left")
    desk.session.lock(1, 4)


def test_a_change_is_saved_by_itself(desk, folder, qtbot, soon):
    desk.click(1)
    qtbot.waitUntil(lambda: len(saved(folder)) == 1, timeout=20_000)
    files = desk.controller.session_files
    qtbot.waitUntil(lambda: not files._autosave._thread.is_alive(), timeout=20_000)
    file = read_session(saved(folder)[0])
    assert file.saved.prompts == desk.session.prompts
    assert file.log == desk.session.log
    assert len(file.kept.masks) == 1


def test_the_main_thread_hardly_notices(desk, folder):
    worked(desk)
    files = desk.controller.session_files
    start = time.perf_counter()
    files._autosave._begin()
    seconds = time.perf_counter() - start
    files._autosave._thread.join()
    assert len(saved(folder)) == 1
    assert seconds < 0.5  # 0.05 on a quiet machine


def test_what_is_not_saved_yet_is_saved_when_the_dock_closes(desk, folder):
    worked(desk)
    session = desk.session
    desk.controller.close()
    (path,) = saved(folder)
    assert read_session(path).saved == session.saved
    assert not [item for item in threading.enumerate() if item.name == "napari-sam2 autosave"]


def test_a_session_in_which_nothing_is_left_is_removed(desk, folder):
    desk.click(1)
    desk.controller.session_files._autosave.flush()
    assert len(list(folder.iterdir())) == 2
    desk.session.undo()
    desk.controller.session_files._autosave.flush()
    assert list(folder.iterdir()) == []


def test_saving_that_fails_is_said_once_and_work_goes_on(desk, folder, qtbot):
    folder.parent.mkdir()
    folder.write_text("a file where the folder would be")
    files = desk.controller.session_files
    desk.click(1)
    files._autosave.flush()
    assert "cannot be saved by itself" in desk.shown().message.text
    begin(desk, 2)
    assert desk.session.objects == (1, 2)
    files._autosave.flush()
    assert "cannot be saved" not in desk.shown().message.text
    folder.unlink()
    desk.click(1, frame=2)
    files._autosave.flush()
    assert len(saved(folder)) == 1


def test_an_earlier_session_is_offered_and_restored(open_desk, folder):
    video, truth = moving_discs()
    desk = open_desk(video, truth=truth)
    worked(desk)
    before, log, expected = desk.session.saved, desk.session.log, labels_of(desk)
    changed = desk.session.changed
    desk.controller.close()
    other = open_desk(video.copy(), truth=truth)
    assert other.shown().offer.startswith("Restore the session of today ")
    other.dock.offer.restore.click()
    assert other.session.saved == before
    assert other.session.log == log
    np.testing.assert_array_equal(labels_of(other), expected)
    np.testing.assert_array_equal(np.asarray(other.labels), expected)
    assert other.session.changed == changed
    assert other.shown().offer == ""
    assert "Everything is as it was" in other.shown().message.text


def test_an_offer_can_be_discarded_or_is_gone_when_work_begins(open_desk, folder):
    video, truth = moving_discs()
    desk = open_desk(video, truth=truth)
    desk.click(1)
    desk.controller.close()
    second = open_desk(video.copy(), truth=truth)
    assert second.shown().offer
    second.click(1)
    assert second.shown().offer == ""
    second.controller.close()
    assert len(saved(folder)) == 2
    third = open_desk(video.copy(), truth=truth)
    third.dock.offer.discard.click()
    assert third.shown().offer == ""
    assert len(saved(folder)) == 1


def test_no_more_than_three_sessions_of_an_image_are_kept(open_desk, folder):
    video, truth = moving_discs()
    for _ in range(4):
        desk = open_desk(video.copy(), truth=truth)
        desk.click(1)
        desk.controller.close()
    assert len(saved(folder)) == 3


def test_where_a_person_saved_it_is_saved_from_then_on(desk, folder, tmp_path):
    desk.click(1)
    files = desk.controller.session_files
    files._autosave.flush()
    path = tmp_path / "mine.sam2.json"
    desk.dock.files.save_asked.emit(str(path))
    assert desk.shown().message.text == "Saved as mine.sam2.json."
    assert saved(folder) == []
    assert files.proposed == path
    begin(desk, 2)
    files._autosave.flush()
    assert read_session(path).saved == desk.session.saved
    assert saved(folder) == []


def test_a_session_keeps_its_place_while_another_image_is_chosen(desk, folder, tmp_path):
    desk.click(1)
    image = desk.controller.binding.image
    other = desk.viewer.add_image(np.zeros((3, 8, 8), np.uint8))
    files = desk.controller.session_files
    for place in (None, tmp_path / "mine.sam2.json"):
        if place is not None:
            files.save(place)
        desk.controller.choose_image(other)
        desk.controller.choose_image(image)
        assert desk.shown().offer == ""
        desk.click(1, frame=2 if place is None else 4)
        files._autosave.flush()
        assert len(saved(folder)) == (place is None)
    assert read_session(tmp_path / "mine.sam2.json").saved == desk.session.saved


def test_saving_where_nothing_can_be_written_is_told(desk, tmp_path):
    desk.click(1)
    desk.controller.session_files.save(tmp_path / "nowhere" / "x.sam2.json")
    shown = desk.shown().message
    assert shown.tone == "error"
    assert "cannot be written" in shown.text


def test_opening_a_session_opens_its_image_and_restores_everything(
    open_desk, image_file, tmp_path, qtbot
):
    path, video, truth = image_file
    desk = open_desk(False, truth=truth)
    desk.viewer.open(str(path), plugin="napari")
    qtbot.waitUntil(lambda: desk.session is not None, timeout=20_000)
    worked(desk)
    desk.controller.session_files.save(tmp_path / "x.sam2.json")
    expected, before = labels_of(desk), desk.session.saved
    desk.controller.close()

    other = open_desk(False, truth=truth)
    (layer,) = other.viewer.open(str(tmp_path / "x.sam2.json"), plugin="napari-sam2")
    qtbot.waitUntil(lambda: other.session is not None, timeout=20_000)
    assert other.session.saved == before
    np.testing.assert_array_equal(labels_of(other), expected)
    np.testing.assert_array_equal(np.asarray(layer.data), video)
    other.click(1, frame=6)  # and work goes on
    assert other.session.undo_action == "add point"
    other.controller.session_files.save(tmp_path / "y.sam2.json")
    assert read_session(tmp_path / "y.sam2.json").place.path == str(path)


def test_an_image_that_is_open_already_is_taken(open_desk, image_file, tmp_path, qtbot):
    _, video, truth = image_file
    desk = open_desk(video, truth=truth)
    worked(desk)
    desk.controller.session_files.save(tmp_path / "x.sam2.json")
    before = desk.session.saved
    desk.session.clear()
    assert desk.viewer.open(str(tmp_path / "x.sam2.json"), plugin="napari-sam2") == []
    qtbot.waitUntil(lambda: bool(desk.session.objects), timeout=20_000)
    assert desk.session.saved.prompts == before.prompts
    images = [item for item in desk.viewer.layers if item.name == "discs"]
    assert len(images) == 1


def test_a_session_without_its_image_says_what_to_do(open_desk, image_file, tmp_path):
    desk = open_desk(image_file[1], truth=image_file[2])
    desk.click(1)
    desk.controller.session_files.save(tmp_path / "x.sam2.json")
    other = open_desk(False)
    with pytest.raises(OSError, match="open the image in napari first, then the session"):
        other.viewer.open(str(tmp_path / "x.sam2.json"), plugin="napari-sam2")
    assert len(other.viewer.layers) == 0


@pytest.mark.parametrize("is_beside", [True, False])
def test_an_image_that_lies_elsewhere_is_opened_and_shown(
    open_desk, image_file, tmp_path, qtbot, monkeypatch, is_beside
):
    import napari.utils.notifications

    told = []
    monkeypatch.setattr(napari.utils.notifications, "show_info", told.append)
    path, _, truth = image_file
    desk = open_desk(False, truth=truth)
    desk.viewer.open(str(path), plugin="napari")
    qtbot.waitUntil(lambda: desk.session is not None, timeout=20_000)
    desk.click(1)
    folder = path.parent if is_beside else tmp_path / "elsewhere"
    folder.mkdir(exist_ok=True)
    desk.controller.session_files.save(folder / "x.sam2.json")
    desk.controller.close()
    told.clear()
    other = open_desk(False, truth=truth)
    other.viewer.open(str(folder / "x.sam2.json"), plugin="napari-sam2")
    assert told == ([] if is_beside else [f"x.sam2.json opens its image: {path}"])


def test_sessions_that_are_saved_by_themselves_are_private_and_not_put_among_others(
    desk, folder, home
):
    desk.click(1)
    autosave = desk.controller.session_files._autosave
    autosave.flush()
    assert folder.stat().st_mode & 0o777 == home.stat().st_mode & 0o777 == 0o700
    desk.click(2)
    home.chmod(0o777)
    autosave.flush()
    assert "others may write" in desk.shown().message.text
    home.chmod(0o700)
    desk.click(1, frame=3)
    autosave.flush()
    assert autosave.earlier() == []  # the previous version of this one is no other session
    assert [item.name for item in folder.glob("*.previous.sam2.json")]


def test_a_session_of_another_image_is_refused_and_nothing_is_lost(desk, tmp_path):
    worked(desk)
    desk.controller.session_files.save(tmp_path / "x.sam2.json")
    before = desk.session
    image = desk.viewer.add_image(np.zeros((12, 32, 64), np.uint8))
    desk.controller.session_files.open(tmp_path / "x.sam2.json", image)
    assert "was made on an image of 12 x 64 x 64" in desk.shown().message.text
    assert desk.session is before


@pytest.mark.parametrize(
    ("then", "words"),
    [
        (datetime(2026, 3, 1, 9, 5), "today 09:05"),
        (datetime(2026, 2, 28, 23, 59), "yesterday 23:59"),
        (datetime(2026, 2, 27, 9, 5), "2026-02-27 09:05"),
    ],
)
def test_moments_are_told_as_people_do(then, words):
    assert in_words(then, datetime(2026, 3, 1, 12, 0)) == words
