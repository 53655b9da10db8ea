"""Prompt files: what a good one says, and the one line that a bad one gets."""

from __future__ import annotations

import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.core.errors import FileFormatError, NapariSam2Error
from napari_sam2.core.extent import Extent
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.io.masklets import write_labels
from napari_sam2.io.prompts import FilePrompt, infos_to_json, read_prompts


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "prompts.json"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write


def one(**prompt):
    return {"schema": 1, "prompts": [{"object": 1, "frame": 0, **prompt}]}


def test_the_example_of_the_design_is_read(tmp_path, write):
    mask = np.zeros((4, 5), np.uint8)
    mask[1:3, 2:4] = 1
    write_labels(tmp_path / "file.tif", mask)
    file = read_prompts(
        write(
            {
                "schema": 1,
                "axis": 2,
                "prompts": [
                    {"object": 1, "frame": 12, "points": [[3, 4.5], [0, 1]], "labels": [1, 0]},
                    {"object": 2, "frame": 0, "box": [0, 1, 2.5, 3]},
                    {"object": 3, "frame": 5, "mask": "file.tif"},
                ],
            }
        )
    )
    assert file.axis == 2
    assert file.prompts[0] == FilePrompt(1, 12, ((3.0, 4.5), (0.0, 1.0)), (1, 0))
    assert file.prompts[1] == FilePrompt(2, 0, box=(0.0, 1.0, 2.5, 3.0))
    assert file.prompts[2].object_id == 3
    np.testing.assert_array_equal(file.prompts[2].mask, mask)


def test_points_without_labels_are_positive_and_the_axis_is_the_first(write):
    file = read_prompts(write(one(points=[[1, 2], [3, 4]])))
    assert file.axis == 0
    assert file.prompts[0].labels == (1, 1)


def named(*objects):
    return {**one(points=[[1, 2]]), "schema": 2, "objects": list(objects)}


def test_names_and_the_like_are_read_and_written(write):
    infos = {
        1: ObjectInfo("left", "cell", None, Extent(0, 5)),
        2: ObjectInfo("", "cell", 1, Extent(5)),
        7: ObjectInfo(),
    }
    written = infos_to_json(infos)
    assert written[1:] == [{"object": 2, "class": "cell", "parent": 1, "first": 5}, {"object": 7}]
    assert read_prompts(write(named(*written))).infos == infos
    assert read_prompts(write(one(points=[[1, 2]]))).infos == {}


BAD = {
    "unknown key": ({**one(points=[[1, 2]]), "extra": 1}, "extra: extra inputs"),
    "unknown key of a prompt": (one(points=[[1, 2]], lables=[1]), r"prompts\[0\].lables"),
    "no schema": (
        {"prompts": [{"object": 1, "frame": 0, "box": [0, 0, 1, 1]}]},
        "schema: field req",
    ),
    "newer schema": ({**one(points=[[1, 2]]), "schema": 4}, "schema: .*newer napari-sam2"),
    "whole session": ({**one(points=[[1, 2]]), "schema": 3}, "schema: .*holds a whole session"),
    "objects of the first schema": (
        {**one(points=[[1, 2]]), "objects": [{"object": 1}]},
        "schema 2, and the file says 1",
    ),
    "object twice": (named({"object": 1}, {"object": 1}), "occurs twice in objects"),
    "object without id": (named({"name": "a"}), r"objects\[0\].object: .*the keys of an object"),
    "object that ends first": (named({"object": 1, "first": 4, "stop": 4}), "ends at frame 4"),
    "object of itself": (named({"object": 1, "parent": 1}), "its own parent"),
    "name of two lines": (named({"object": 1, "name": "a\nb"}), "one line"),
    "no prompts": ({"schema": 1, "prompts": []}, "prompts: list should have at least 1"),
    "nothing said": (one(), "just one of points, box and mask, got none"),
    "two things said": (one(points=[[1, 2]], box=[0, 0, 1, 1]), "got points and box"),
    "labels of a box": (one(box=[0, 0, 1, 1], labels=[1]), "1 labels for 0 points"),
    "too few labels": (one(points=[[1, 2], [3, 4]], labels=[1]), "1 labels for 2 points"),
    "label 2": (one(points=[[1, 2]], labels=[2]), r"labels\[0\]: .*, got 2;"),
    "label true": (one(points=[[1, 2]], labels=[True]), r"labels\[0\]"),
    "flat points": (one(points=[1, 2]), r"points\[0\]"),
    "3-D point": (one(points=[[1, 2, 3]]), r"points\[0\]"),
    "no points": (one(points=[]), "points: list should have at least 1"),
    "text for a number": (one(points=[["1", 2]]), r"points\[0\]\[0\]: .*, got '1';"),
    "short box": (one(box=[1, 2, 3]), r"prompts\[0\].box"),
    "object 0": (
        {"schema": 1, "prompts": [{"object": 0, "frame": 0, "box": [0, 0, 1, 1]}]},
        "object",
    ),
    "object 1.5": (
        {"schema": 1, "prompts": [{"object": 1.5, "frame": 0, "box": [0, 0, 1, 1]}]},
        "object: .*, got 1.5;",
    ),
    "frame -1": (
        {"schema": 1, "prompts": [{"object": 1, "frame": -1, "box": [0, 0, 1, 1]}]},
        "frame: .*, got -1;",
    ),
    "a list": ([1, 2], "the file: "),
    "not JSON": (b"{schema: 1}", "is not JSON"),
    "not a number": (
        b'{"schema":1,"prompts":[{"object":1,"frame":0,"points":[[NaN,1]]}]}',
        "finite number, got nan;",
    ),
    "infinite": (b'{"schema":1,"prompts":[{"object":1,"frame":0,"points":[[1e999,1]]}]}', "finite"),
    "twice": (b'{"schema":1,"schema":1,"prompts":[]}', "'schema' occurs twice"),
    "empty": (b"", "is not JSON"),
    "binary": (b"\xff\xfe\x00", "is not JSON"),
    "nested too deep": (b"[" * 100_000, "is not JSON"),
    "mask missing": (one(mask="none.tif"), r"prompts\[0\].mask: there is no file"),
    "mask absolute": (one(mask="/etc/hostname"), "relative to the prompt file"),
    "mask not labels": (one(mask="prompts.json"), r"prompts\[0\].mask: files of kind '.json'"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_a_bad_file_gets_one_line_that_names_the_place(write, content, message):
    path = write(content)
    with pytest.raises(FileFormatError, match=f"(?s)^{path}.*{message}") as failure:
        read_prompts(path)
    assert "\n" not in str(failure.value)


def test_a_mask_that_is_a_stack_is_refused(tmp_path, write):
    write_labels(tmp_path / "stack.tif", np.ones((3, 4, 5), np.uint8))
    with pytest.raises(FileFormatError, match="one frame"):
        read_prompts(write(one(mask="stack.tif")))


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be read: No such file"):
        read_prompts(tmp_path / "none.json")


def test_every_truncation_is_refused(write):
    whole = json.dumps(one(points=[[1, 2]], labels=[1])).encode()
    for length in range(len(whole)):
        with pytest.raises(FileFormatError):
            read_prompts(write(whole[:length]))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    key=st.sampled_from(["object", "frame", "points", "labels", "box", "mask"]), value=json_values
)
def test_any_value_anywhere_is_read_or_refused_and_nothing_else_happens(
    tmp_path_factory, key, value
):
    path = tmp_path_factory.mktemp("prompts") / "p.json"
    prompt = {"object": 1, "frame": 0, "points": [[1, 2]], key: value}
    path.write_text(json.dumps({"schema": 1, "prompts": [prompt]}), encoding="utf-8")
    with suppress(NapariSam2Error):
        read_prompts(path)
