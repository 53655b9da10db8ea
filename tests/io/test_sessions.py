"""Session files: what was said comes back to the bit, and a damaged file is told as one."""

from __future__ import annotations

import json
import random
import zlib
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import (
    FileFormatError,
    ImageError,
    NapariSam2Error,
    StorageError,
)
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.core.options import NATIVE, REFERENCE
from napari_sam2.core.saved import SavedSession
from napari_sam2.core.session import Session
from napari_sam2.io.masklets import write_labels
from napari_sam2.io.prompts import read_prompts
from napari_sam2.io.runs import mask_of, runs_of
from napari_sam2.io.sessions import (
    ImageFacts,
    ModelFacts,
    SessionFile,
    read_session,
    write_session,
)
from napari_sam2.testing import FakeSegmenter, moving_discs

NUM_FRAMES = 6
VIDEO, TRUTH = moving_discs(num_frames=NUM_FRAMES, size=24, num_objects=2)
FRAMES = ArrayFrames(VIDEO)
MAPPING = IntensityMapping(0.1 + 0.2, 250.0, "the layer's contrast limits")
MODEL = ModelFacts("nano", "0123456789abcdef" * 4)


def make():
    return Session(FRAMES, InlineEngine(FakeSegmenter(FRAMES)))


def file_of(session):
    view = StackView(1, 0, 3, ((2, 5),))
    facts = ImageFacts.of(session.frames)
    return SessionFile(session.saved, 1, facts, view, MAPPING, NATIVE, MODEL)


def labels(session):
    return np.asarray(session.labels).tobytes()


def everything(session):
    return session.prompts, session.locks, dict(session.infos), session.overlap


ACTIONS = {
    "click": lambda s, o, t: s.add_points(o, t, [(4.25 + o, 3.1 * t)]),
    "negative": lambda s, o, t: s.add_points(o, t, [(11 + o, 9)], [0]),
    "choose": lambda s, o, t: s.choose_candidate(o, t, 1),
    "box": lambda s, o, t: s.add_box(o, t, (0.5, 1, 12.3, 20)),
    "paint": lambda s, o, t: s.add_mask(o, t, TRUTH[t] == 1 + o % 2, lock=t % 2 == 0),
    "labels": lambda s, o, t: s.add_labels(t, TRUTH[t], lock=o == 1),
    "lock": lambda s, o, t: s.lock(o, t),
    "unlock": lambda s, o, t: s.unlock(o, t),
    "remove": lambda s, o, t: s.remove_prompts(o, t),
    "remove object": lambda s, o, t: s.remove_object(o),
    "name": lambda s, o, t: s.describe(o, ObjectInfo(f"zelle é {t}", "cell")),
    "trim": lambda s, o, t: s.trim_after(o, t),
    "divide": lambda s, o, t: s.divide(o, t),
    "split": lambda s, o, t: s.split(o, t),
    "merge": lambda s, o, t: s.merge(o, 1 + o % 3),
    "run": lambda s, o, t: list(s.propagate(objects=[o])),
    "repair": lambda s, o, t: list(s.propagate_changed()),
    "overlap": lambda s, o, t: s.set_overlap(("keep", "overwrite", "highest")[t % 3]),
    "existing": lambda s, o, t: s.use_existing(
        np.where(TRUTH > 0, np.int32(40 + o), 0), protect=t % 2 == 0
    ),
    "undo": lambda s, o, t: s.undo(),
}
actions = st.lists(
    st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(1, 3), st.integers(0, NUM_FRAMES - 1)),
    min_size=1,
    max_size=14,
)


def acted(steps):
    session = make()
    for name, object_id, t in steps:
        with suppress(NapariSam2Error):
            ACTIONS[name](session, object_id, t)
    return session


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(actions)
def test_a_session_that_is_saved_and_opened_is_the_same(tmp_path_factory, steps):
    session = acted(steps)
    path = tmp_path_factory.mktemp("session") / "x.sam2.json"
    file = file_of(session)
    write_session(path, file)
    read = read_session(path, session.frames)
    assert read == file
    opened = make()
    opened.reopen(read.saved)
    assert everything(opened) == everything(session)
    assert opened.next_object_id == session.next_object_id
    assert opened.saved == session.saved
    write_session(path.with_name("again.json"), file_of(opened))
    assert path.with_name("again.json").read_bytes() == path.read_bytes()
    for item in session.prompts:
        for t in item.frame_indices:
            mine, theirs = session.record(item.object_id, t), opened.record(item.object_id, t)
            assert mine == theirs
    if session.objects:
        list(session.propagate())
        list(opened.propagate())
    assert labels(opened) == labels(session)


def test_the_order_of_runs_decides_about_overlaps_after_opening_too(tmp_path):
    session = make()
    for object_id in (2, 1):
        session.add_points(object_id, 2, np.argwhere(TRUTH[2] == 1)[:1])
        list(session.propagate(objects=[object_id]))
    write_session(tmp_path / "x.json", file_of(session))
    opened = make()
    opened.reopen(read_session(tmp_path / "x.json").saved)
    np.testing.assert_array_equal(opened.project(2), session.project(2))
    assert opened.project(2).max() == 2
    opened.set_overlap("overwrite")
    session.set_overlap("overwrite")
    np.testing.assert_array_equal(opened.project(2), session.project(2))
    opened.add_mask(3, 2, TRUTH[2] == 1)
    for _ in range(3):
        opened.undo()
    assert opened.objects == ()


def test_opening_is_one_entry_and_one_line_that_does_it_again():
    session = acted([("paint", 1, 2), ("existing", 2, 2), ("click", 2, 3), ("name", 1, 1)])
    opened, again = make(), make()
    opened.add_mask(7, 1, TRUTH[1] == 1)
    opened.reopen(session.saved)
    assert opened.undo_action == "open"
    from napari_sam2.core import script

    names = {name: getattr(script, name) for name in script.__all__} | {"session": again}
    for line in opened.log:
        exec(line, names)
    assert everything(again) == everything(opened)
    assert labels(again) == labels(opened) == labels(session)
    opened.undo()
    assert opened.objects == (7,)
    assert opened.state.existing is None


@given(arrays(bool, (5, 7)))
def test_runs_give_a_mask_back(array):
    mask = PackedMask.from_array(array)
    assert mask_of(runs_of(mask), mask.box, mask.shape) == mask


@pytest.mark.parametrize("options", [NATIVE, REFERENCE])
def test_every_switch_of_the_options_is_kept(tmp_path, options):
    write_session(tmp_path / "x.json", replace(file_of(make()), options=options))
    assert read_session(tmp_path / "x.json").options == options
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["options"].keys() == {item.name for item in fields(options)}


def test_a_session_of_another_image_is_refused(tmp_path):
    write_session(tmp_path / "x.json", file_of(make()))
    with pytest.raises(ImageError, match="6 x 24 x 24 uint8, and this one is 6 x 24 x 24 uint16"):
        read_session(tmp_path / "x.json", ArrayFrames(VIDEO.astype(np.uint16)))


@pytest.mark.parametrize("schema", [1, 2])
def test_a_prompt_file_is_opened_as_a_session(tmp_path, schema):
    write_labels(tmp_path / "mask.tif", (TRUTH[5] == 2).astype(np.uint8))
    content = {
        "schema": schema,
        "axis": 2,
        "prompts": [
            {"object": 2, "frame": 5, "mask": "mask.tif"},
            {"object": 1, "frame": 2, "points": [[6, 9], [1, 1]], "labels": [1, 0]},
            {"object": 1, "frame": 2, "box": [2, 1, 12, 20]},
            {"object": 1, "frame": 2, "points": [[7, 9.5]]},
        ],
    }
    if schema == 2:
        content["objects"] = [{"object": 1, "name": "left"}, {"object": 3, "parent": 1}]
    path = tmp_path / "p.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    file, session, by_hand = read_session(path), make(), make()
    session.reopen(file.saved)
    for prompt in read_prompts(path).prompts:
        place = prompt.object_id, prompt.frame
        if prompt.mask is not None:
            by_hand.add_mask(*place, prompt.mask)
        elif prompt.box is not None:
            by_hand.add_box(*place, prompt.box)
        else:
            by_hand.add_points(*place, prompt.points, prompt.labels)
    assert file.axis == 2
    assert session.prompts == by_hand.prompts
    assert session.info(1).name == ("left" if schema == 2 else "")
    list(session.propagate())
    list(by_hand.propagate())
    assert labels(session) == labels(by_hand)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The text of a file with something in each of its parts."""
    session = make()
    session.add_points(1, 1, [np.argwhere(TRUTH[1] == 1).mean(0)])
    session.choose_candidate(1, 1, 1)
    list(session.propagate())
    session.lock(1, 2)
    session.add_points(1, 4, [np.argwhere(TRUTH[4] == 1)[0]], [0])
    session.add_box(2, 3, (10.5, 1, 22.3, 20))
    session.add_mask(3, 2, TRUTH[2] == 2, lock=True)
    session.divide(2, 3)
    session.rename(1, "zelle é")
    session.use_existing(np.where(TRUTH > 0, np.int32(42), 0))
    file = file_of(session)
    assert any(
        step.candidate for item in session.prompts for said in item.frames for step in said.steps
    )
    assert any(said.refines for item in session.prompts for said in item.frames)
    assert any(lock.from_tracking for lock in session.locks)
    path = tmp_path_factory.mktemp("good") / "x.json"
    write_session(path, file)
    return path.read_bytes()


def refining(content):
    """Return the prompts that refine a tracked mask."""
    return next(item for item in content["prompts"] if "refines" in item)


BAD = {
    "newer": (
        lambda c: c.update(schema=5, version="99.1"),
        r"schema: 5 is of a newer napari-sam2 \(99\.1\); this is .* up to 4",
    ),
    "no schema": (lambda c: c.pop("schema"), "schema: field required"),
    "unknown key": (lambda c: c.update(extra=1), "extra: extra inputs"),
    "unknown option": (lambda c: c["options"].update(speed=2), "options.speed"),
    "impossible option": (lambda c: c["options"].update(memory_stride=0), "memory_stride must"),
    "text for a number": (lambda c: c["mapping"].update(low="1"), "mapping.low"),
    "limits upside down": (lambda c: c["mapping"].update(low=999.0), "low <= high"),
    "no hash": (lambda c: c["model"].update(sha256="abc"), "model.sha256"),
    "view twice": (lambda c: c.update(axis=0), "every axis once"),
    "object twice": (lambda c: c["objects"].append(c["objects"][0]), "twice in objects"),
    "prompt twice": (lambda c: c["prompts"].append(c["prompts"][0]), "twice in prompts"),
    "lock twice": (lambda c: c["locks"].append(c["locks"][0]), "twice in locks"),
    "no step": (lambda c: c["prompts"][0].update(steps=[]), r"prompts\[0\].steps"),
    "two things": (
        lambda c: c["prompts"][0]["steps"][0].update(box=[0, 0, 1, 1]),
        "one of points, box and mask, got 2",
    ),
    "labels missing": (lambda c: c["prompts"][0]["steps"][0].pop("labels"), "0 labels for 1"),
    "box outside": (
        lambda c: refining(c)["refines"].update(box=[0, 0, 99, 99]),
        r"prompts\[\d\]: box .* frame of 24 x 24",
    ),
    "runs too short": (
        lambda c: refining(c)["refines"]["runs"].pop(),
        r"prompts\[\d\]: the runs",
    ),
    "huge frames": (lambda c: c["image"].update(shape=[1, 1 << 20, 1 << 20]), "too large"),
    "too many masks": (
        lambda c: refining(c)["refines"].update(runs=[1 << 30] * 9),
        "masks would take",
    ),
    "frame missing": (lambda c: c["existing"]["frames"].pop(), "existing: 5 frames of 6"),
    "no base64": (lambda c: c["existing"]["frames"].__setitem__(0, "?"), r"frames\[0\]: "),
    "no zlib": (lambda c: c["existing"]["frames"].__setitem__(0, "AAAA"), r"frames\[0\]: Error -3"),
    "bomb": (
        lambda c: c["existing"]["frames"].__setitem__(
            0, b64encode(zlib.compress(bytes(1 << 24))).decode()
        ),
        r"existing.frames\[0\] has not the 2304 bytes",
    ),
    "labels of numbers": (lambda c: c["existing"].update(dtype="<f8"), "existing.dtype"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_a_bad_file_gets_one_line_that_names_the_place(tmp_path, good, change, message):
    content = json.loads(good)
    change(content)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(FileFormatError, match=f"(?s)^{path}.*{message}") as failure:
        read_session(path)
    assert "\n" not in str(failure.value)
    assert failure.value.remedy


REFUSED = {
    "frame beyond": lambda c: c["prompts"][0].update(frame=6),
    "point outside": lambda c: c["prompts"][0]["steps"][0].update(points=[[99, 1]]),
    "lock of nothing": lambda c: c["locks"].append({"object": 2, "frame": 0}),
    "object of itself": lambda c: [item.update(parent=4) for item in c["objects"]],
    "label and object": lambda c: c["prompts"][0].update(object=42),
    "id too high": lambda c: c.update(highest_object=70_000),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_the_stack_is_refused_and_changes_nothing(tmp_path, good, change):
    content = json.loads(good)
    change(content)
    (tmp_path / "x.json").write_text(json.dumps(content), encoding="utf-8")
    session = make()
    session.add_mask(1, 0, TRUTH[0] == 1)
    before = session.saved, session.state, len(session.store)
    with pytest.raises(NapariSam2Error):
        session.reopen(read_session(tmp_path / "x.json").saved)
    assert (session.saved, session.state, len(session.store)) == before


def damaged(text, rng):
    """Return a text with a few of the damages that files suffer."""
    for _ in range(rng.randint(1, 3)):
        place, kind = rng.randrange(len(text)), rng.randrange(5)
        end = min(len(text), place + rng.randint(1, 40))
        if kind == 0:
            text = text[:place] + bytes([text[place] ^ (1 << rng.randrange(8))]) + text[place + 1 :]
        elif kind == 1:
            text = text[:place] + text[end:]
        elif kind == 2:
            text = text[:end] + text[place:end] + text[end:]
        elif kind == 3:
            text = text[: max(place, 1)]
        else:
            mark = rng.choice([b"[", b"}", b'"', b",", b"\xff", b"\0"])
            text = text[:place] + mark + text[place:]
    return text


ODD_VALUES = (0, 1, -1, 3, 5, 24, 41, 70_000, 1 << 40, 0.5, 1e308, True, None, "", "keep", [], {})


def changed(text, rng):
    """Return a file in which one value is another: still JSON, but nonsense, or something else that makes sense."""
    content = json.loads(text)
    place, key = content, rng.choice([key for key in content if key != "schema"])
    while isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.9:
        place = place[key]
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
    if rng.random() < 0.2:
        del place[key]
    else:
        place[key] = rng.choice(ODD_VALUES)
    return json.dumps(content).encode()


@pytest.mark.parametrize("damage", [damaged, changed])
def test_five_hundred_damaged_files_are_opened_or_refused_and_nothing_else_happens(
    tmp_path, good, damage
):
    rng, path = random.Random(4), tmp_path / "x.json"
    refused, lines = {"reading": 0, "opening": 0}, []
    for _ in range(500):
        path.write_bytes(damage(good, rng))
        session, step = make(), "reading"
        try:
            file = read_session(path, FRAMES)
            step = "opening"
            session.reopen(file.saved)
        except NapariSam2Error as error:
            refused[step] += 1
            lines.append(str(error))
            empty = session.saved == SavedSession(())
            lines.append("something was opened\n") if not empty else None
    assert not [line for line in lines if "\n" in line]
    assert refused["reading"] > 200
    if damage is changed:
        assert refused["opening"] > 5
        assert sum(refused.values()) < 490


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, good, monkeypatch):
    path = tmp_path / "x.json"
    path.write_bytes(good)
    session = acted([("click", 1, 1)])
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(StorageError, match="cannot be written: No space"):
        write_session(path, file_of(session))
    assert path.read_bytes() == good
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_too_large_to_be_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_sam2.io.sessions.MAX_BYTES", 200)
    with pytest.raises(FileFormatError, match="at most 0 MiB are read"):
        write_session(tmp_path / "x.json", file_of(make()))
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_small_and_a_line_tells_a_prompt(tmp_path, good):
    lines = good.decode().splitlines()
    assert sum('"steps"' in line for line in lines) == len(json.loads(good)["prompts"])
    frames = json.loads(good)["existing"]["frames"]
    assert len(zlib.decompress(b64decode(frames[0]))) == 24 * 24 * 4


def test_a_file_of_schema_3_is_opened_as_ever():
    read = read_session(Path(__file__).with_name("old_sessions") / "schema3.sam2.json")
    assert (read.place, read.fingerprint, read.kept, read.log) == (None, None, None, ())
    opened = make()
    opened.reopen(read.saved)
    list(opened.propagate())
    assert opened.objects == (1, 2, 3)
    assert opened.info(1) == ObjectInfo("cell é", "cell")
    assert [(lock.object_id, lock.frame) for lock in opened.locks] == [(2, 0), (3, 4)]
    assert read.mapping == MAPPING


def test_what_a_session_does_not_know_is_left_out(tmp_path):
    path = tmp_path / "x.sam2.json"
    file = replace(file_of(make()), mapping=None, options=None, model=None)
    write_session(path, file)
    assert read_session(path) == file
    assert "mapping" not in json.loads(path.read_text())


def test_a_session_without_its_image_is_not_written(tmp_path):
    with pytest.raises(FileFormatError, match="saved with the image"):
        write_session(tmp_path / "x.sam2.json", SessionFile(SavedSession(()), 0))
    assert list(tmp_path.iterdir()) == []


def test_a_mask_of_a_prompt_file_that_says_nothing_is_refused_by_its_place(tmp_path):
    write_labels(tmp_path / "empty.tif", np.zeros((24, 24), np.uint8))
    entry = {"object": 1, "frame": 0, "mask": "empty.tif"}
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"schema": 1, "axis": 0, "prompts": [entry]}))
    with pytest.raises(FileFormatError, match=r"prompts\[0\].*empty") as caught:
        read_session(path, FRAMES)
    assert caught.value.remedy
