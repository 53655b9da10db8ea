"""Sessions with their masks: opened without a model they are what they were, and an odd file loses masks at most."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from tests.io.test_sessions import FRAMES, acted, actions, everything, file_of, labels, make

from napari_sam2.core import script
from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import FileFormatError, StorageError
from napari_sam2.core.fingerprint import Fingerprint
from napari_sam2.core.placement import Placement
from napari_sam2.core.session import Session
from napari_sam2.core.sources import ImageSource
from napari_sam2.io.session_parts import ImagePlace
from napari_sam2.io.sessions import read_session, write_session

OLD = Path(__file__).with_name("old_sessions") / "schema3.sam2.json"


class NoModel(InlineEngine):
    """Nothing can be asked."""

    def __init__(self):
        super().__init__(None)


def whole_file_of(session):
    placement = Placement.from_scale((1, -0.3, 0.3), (0, 1, 2), ("s", "um", "um"), ("t", "y", "x"))
    return replace(
        file_of(session),
        place=ImagePlace(ImageSource("stack", placement), 1, (2, 0)),
        fingerprint=Fingerprint.of(FRAMES),
        kept=session.kept,
        log=session.log,
    )


def freshness(session):
    return {
        number: (session.is_changed(number), session.stale_frames(number))
        for number in session.objects
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(actions)
def test_a_session_with_its_masks_is_opened_without_a_model(tmp_path_factory, steps):
    session = acted(steps)
    path = tmp_path_factory.mktemp("session") / "x.sam2.json"
    file = whole_file_of(session)
    write_session(path, file)
    read = read_session(path, session.frames)
    assert read == file
    opened = Session(FRAMES, NoModel())
    opened.take_up(read.saved, read.kept, read.log)
    assert everything(opened) == everything(session)
    assert labels(opened) == labels(session)
    assert freshness(opened) == freshness(session)
    assert opened.log == session.log
    for number in session.objects:
        for frame in range(len(FRAMES)):
            one, other = session.record(number, frame), opened.record(number, frame)
            assert (one is None) == (other is None)
            assert one is None or replace(one, run=0) == replace(other, run=0)
    again = path.with_name("again.sam2.json")
    write_session(again, whole_file_of(opened))
    assert read_session(again).kept == read.kept


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(actions)
def test_going_on_after_opening_gives_what_going_on_gives(tmp_path_factory, steps):
    session = acted(steps)
    path = tmp_path_factory.mktemp("session") / "x.sam2.json"
    write_session(path, whole_file_of(session))
    read = read_session(path)
    opened = make()
    opened.take_up(read.saved, read.kept, read.log)
    if session.objects:
        for item in (session, opened):
            list(item.propagate_changed())
    assert labels(opened) == labels(session)


def clicked():
    session = make()
    session.add_points(1, 2, [(8, 8)])
    list(session.propagate())
    return session


def test_undo_ends_where_a_session_was_opened_and_the_log_stays_true():
    session = clicked()
    opened = make()
    opened.take_up(session.saved, session.kept, session.log)
    assert opened.undo_action == ""
    assert not opened.undo()
    opened.add_points(2, 0, [(15, 15)])
    opened.undo()
    assert opened.objects == (1,)
    again = make()
    names = {name: getattr(script, name) for name in script.__all__} | {"session": again}
    for line in opened.log:
        exec(line, names)
    assert labels(again) == labels(opened)


def test_a_file_of_masks_that_belongs_to_no_session_is_not_left(tmp_path, monkeypatch):
    from napari_sam2.io import sessions

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    path = tmp_path / "x.sam2.json"
    monkeypatch.setattr(sessions, "replacing", fail)
    with pytest.raises(StorageError, match="No space left"):
        write_session(path, whole_file_of(clicked()))
    assert list(tmp_path.iterdir()) == []


def test_masks_lie_beside_the_file_and_only_those_of_the_version_before_stay(tmp_path):
    path = tmp_path / "x.sam2.json"
    session = clicked()
    write_session(path, whole_file_of(session))
    (first,) = tmp_path.glob("*.masks")
    session.add_points(2, 0, [(15, 15)])
    write_session(path, whole_file_of(session))
    (second,) = set(tmp_path.glob("*.masks")) - {first}
    other = tmp_path / "y.sam2.json"
    write_session(other, whole_file_of(session))
    write_session(path, replace(whole_file_of(session), kept=None))
    assert {item for item in tmp_path.glob("*.masks") if item.name[0] == "x"} == {second}
    assert read_session(tmp_path / "x.previous.sam2.json").kept == session.kept
    write_session(path, replace(whole_file_of(session), kept=None))
    assert [item.name[0] for item in tmp_path.glob("*.masks")] == ["y"]


def test_when_the_session_file_cannot_be_written_the_earlier_one_has_its_masks(
    tmp_path, monkeypatch
):
    from napari_sam2.io import sessions

    path = tmp_path / "x.sam2.json"
    session = clicked()
    write_session(path, whole_file_of(session))
    before = read_session(path)
    session.add_points(2, 0, [(15, 15)])

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sessions, "replacing", fail)
    with pytest.raises(StorageError, match="No space left"):
        write_session(path, whole_file_of(session))
    assert read_session(path) == before
    assert before.notice == ""


@pytest.mark.parametrize("way", ["gone", "empty", "of another file", "of another session"])
def test_without_its_masks_a_session_is_opened_all_the_same(tmp_path, way):
    path = tmp_path / "x.sam2.json"
    write_session(path, whole_file_of(clicked()))
    (masks,) = tmp_path.glob("*.masks")
    if way == "gone":
        masks.unlink()
    elif way == "of another session":
        write_session(tmp_path / "y.sam2.json", whole_file_of(clicked()))
        (other,) = tmp_path.glob("y.*.masks")
        masks.write_bytes(other.read_bytes()[:-1])
    else:
        masks.write_bytes(b"" if way == "empty" else b"NSAM2MK1")
    read = read_session(path)
    assert read.kept is None
    assert masks.name in read.notice
    assert read.saved == clicked().saved


def test_a_flipped_byte_costs_one_mask_and_tracking_again_brings_it_back(tmp_path):
    path = tmp_path / "x.sam2.json"
    session = clicked()
    write_session(path, whole_file_of(session))
    (masks,) = tmp_path.glob("*.masks")
    data = bytearray(masks.read_bytes())
    data[len(data) * 3 // 5] ^= 4
    masks.write_bytes(data)
    read = read_session(path)
    count = len(session.kept.masks)
    assert len(read.kept.masks) == count - 1
    assert set(read.kept.masks) < set(session.kept.masks)
    assert read.notice.startswith(f"1 of the {count} masks of x.sam2.json")
    opened = make()
    opened.take_up(read.saved, read.kept, read.log)
    list(opened.propagate_changed())
    assert labels(opened) == labels(session)


def test_a_flipped_byte_in_the_header_of_the_masks_costs_none(tmp_path):
    path = tmp_path / "x.sam2.json"
    write_session(path, whole_file_of(clicked()))
    (masks,) = tmp_path.glob("*.masks")
    data = bytearray(masks.read_bytes())
    data[3] ^= 1
    masks.write_bytes(data)
    assert read_session(path).kept == clicked().kept
    assert read_session(path).notice == ""


@pytest.mark.parametrize("name", ["../evil", "a/b", "a\\b", "c:d", "", "x\0y"])
def test_masks_are_looked_for_beside_the_file_only(tmp_path, name):
    path = tmp_path / "x.sam2.json"
    write_session(path, whole_file_of(clicked()))
    content = json.loads(path.read_text())
    content["masks"]["file"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match=r"masks\.file"):
        read_session(path)


# The image


def place_after(tmp_path, image, session_folder, moved_to=None):
    source = ImageSource("a.npy", Placement.plain(3), "npy", str(image))
    session_folder.mkdir(exist_ok=True)
    path = session_folder / "x.sam2.json"
    write_session(path, replace(whole_file_of(clicked()), place=ImagePlace(source)))
    if moved_to is not None:
        path = path.rename(moved_to / path.name)
    return read_session(path).place.path


def test_the_image_is_found_beside_the_session_or_where_it_was(tmp_path):
    (tmp_path / "data").mkdir()
    image = tmp_path / "data" / "a.npy"
    np.save(image, np.zeros((2, 3, 3)))
    assert place_after(tmp_path, image, tmp_path / "s") == str(image)
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "s").mkdir()
    assert place_after(tmp_path, image, tmp_path / "s", tmp_path / "far" / "s") == str(image)
    (tmp_path / "data").rename(tmp_path / "far" / "data")
    write = tmp_path / "far" / "s" / "x.sam2.json"
    assert read_session(write).place.path == str(tmp_path / "far" / "data" / "a.npy")


def test_of_two_images_the_one_beside_the_session_is_meant(tmp_path):
    for folder in ("here", "there"):
        (tmp_path / folder / "data").mkdir(parents=True)
        np.save(tmp_path / folder / "data" / "a.npy", np.zeros((2, 3, 3)))
    (tmp_path / "there" / "s").mkdir()
    image = tmp_path / "here" / "data" / "a.npy"
    found = place_after(tmp_path, image, tmp_path / "here" / "s", tmp_path / "there" / "s")
    assert found == str(tmp_path / "there" / "data" / "a.npy")


def test_an_image_that_is_nowhere_is_named_where_it_was(tmp_path):
    image = tmp_path / "a.npy"
    assert place_after(tmp_path, image, tmp_path / "s") == str(image)
    path = tmp_path / "s" / "x.sam2.json"
    assert read_session(path).place.level == 0
    content = json.loads(path.read_text())
    del content["source"]["absolute"]
    path.write_text(json.dumps(content))
    assert read_session(path).place.path == str(tmp_path / "s" / ".." / "a.npy")


@pytest.mark.parametrize(
    "path", ["\\\\server\\share\\a.npy", "//server/a.npy", "\\/server/a.npy", "https://x/a.npy"]
)
def test_an_image_on_another_computer_is_never_opened_by_a_file(tmp_path, path):
    write_session(tmp_path / "x.sam2.json", whole_file_of(clicked()))
    content = json.loads((tmp_path / "x.sam2.json").read_text())
    content["source"] |= {"path": path, "absolute": path}
    (tmp_path / "x.sam2.json").write_text(json.dumps(content))
    assert read_session(tmp_path / "x.sam2.json").place.path is None


def test_a_fingerprint_names_the_frames_that_are_others():
    known = Fingerprint.of(FRAMES)
    assert known.frames == (0, 1, 2, 4, 5)
    assert known.differing(FRAMES) == ()
    changed = np.array([FRAMES.read(t) for t in range(len(FRAMES))])
    changed[4, 0, 0] += 1
    changed[3] = 0
    assert known.differing(ArrayFrames(changed)) == (4,)
    assert known.differing(ArrayFrames(changed[:3])) == (4, 5)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"source": {"kind": "gif"}}, r"source\.kind"),
        ({"source": {"matrix": [[1.0]], "units": ["a"], "labels": ["b"]}}, "source"),
        ({"fingerprint": {"frames": [0], "hashes": []}}, "fingerprint"),
        ({"fingerprint": {"frames": [0], "hashes": ["xyz"]}}, "fingerprint"),
        ({"masks": {"file": "a", "sha256": "1"}}, r"masks\.sha256"),
        ({"log": [1]}, "log"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, place):
    path = tmp_path / "x.sam2.json"
    write_session(path, whole_file_of(clicked()))
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FileFormatError, match=place):
        read_session(path)


def test_a_log_that_does_anything_else_is_refused(tmp_path):
    path = tmp_path / "x.sam2.json"
    content = json.loads(OLD.read_text("utf-8"))
    content |= {"schema": 4, "log": ["session.undo()", "__import__('os').system('true')"]}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"log\[1\] is no action of a session"):
        read_session(path)


def test_a_place_tells_its_path():
    source = ImageSource("a", Placement.plain(3), "npy", "/data/a.npy")
    assert ImagePlace(source).path == "/data/a.npy"
    assert ImagePlace(ImageSource("a", Placement.plain(3))).path is None


def test_an_image_on_another_drive_is_found_where_it_was(tmp_path, monkeypatch):
    def other_drive(path, start):
        raise ValueError(f"path is on mount 'D:', start on mount {start!r}")

    image = tmp_path / "a.npy"
    np.save(image, np.zeros((2, 3, 3)))
    monkeypatch.setattr("os.path.relpath", other_drive)
    assert place_after(tmp_path, image, tmp_path / "s") == str(image)


def test_a_file_that_holds_no_masks_under_the_right_checksum_is_told(tmp_path):
    path = tmp_path / "x.sam2.json"
    write_session(path, whole_file_of(clicked()))
    (masks,) = tmp_path.glob("*.masks")
    masks.write_bytes(b"something else")
    content = json.loads(path.read_text())
    content["masks"]["sha256"] = hashlib.sha256(b"something else").hexdigest()
    path.write_text(json.dumps(content))
    read = read_session(path)
    assert read.kept is None
    assert "cannot be read" in read.notice
    assert read.saved == clicked().saved


@pytest.mark.parametrize("way", ["no folder", "a folder of this name"])
def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path, contract, way):
    path = tmp_path / ("none/x.sam2.json" if way == "no folder" else "x.sam2.json")
    if way == "a folder of this name":
        path.mkdir()
    session = clicked()
    contract.folder(
        tmp_path,
        lambda: write_session(path, whole_file_of(session)),
        lambda: write_session(tmp_path / "y.sam2.json", whole_file_of(session)),
    )
    assert read_session(tmp_path / "y.sam2.json").saved == session.saved


def test_a_part_of_an_image_is_named(tmp_path):
    source = ImageSource("scan", Placement.plain(3), "dicom", str(tmp_path), part="1.2.840.1")
    path = tmp_path / "x.sam2.json"
    write_session(path, replace(whole_file_of(clicked()), place=ImagePlace(source)))
    assert read_session(path).place == ImagePlace(source)
