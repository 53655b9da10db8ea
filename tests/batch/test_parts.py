"""One stack split by objects: the joined labels are those of the unsplit run, to the byte."""

from __future__ import annotations

import json
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from tests.batch.fake_work import contents, fake_segmenter, fake_work

from napari_sam2.api import Session
from napari_sam2.batch import opening, parts
from napari_sam2.batch.driving import Drive, ThisProcess
from napari_sam2.batch.plan import find_jobs, make_plan
from napari_sam2.batch.results import WORK_FOLDER
from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.masks import EMPTY_BOX, ObjectMask
from napari_sam2.core.options import NATIVE
from napari_sam2.core.store import MaskRecord
from napari_sam2.io.masklets import read_labels
from napari_sam2.io.sessions import ImageFacts, read_session, write_session


@pytest.fixture
def crowd(inputs, add_stack):
    """Five objects, of which two pairs lie on the same disc and so compete for every pixel; points, a box, a mask."""
    truth = add_stack("crowd", num_objects=2)
    rows, columns = np.nonzero(truth[1] == 1)
    box = [int(rows.min()), int(columns.min()), int(rows.max()), int(columns.max())]
    y, x = int(rows.mean()), int(columns.mean())
    other = [int(value.mean()) for value in np.nonzero(truth[3] == 2)]
    entries = [
        {"object": 1, "frame": 1, "points": [[y, x]]},
        {"object": 1, "frame": 1, "points": [[y + 1, x]]},
        {"object": 4, "frame": 1, "box": box},
        {"object": 5, "frame": 3, "points": [other]},
        {"object": 6, "frame": 3, "points": [other, [2, 2]], "labels": [1, 0]},
        {"object": 9, "frame": 4, "points": [other]},
    ]
    objects = [{"object": 6, "first": 2, "stop": 4}, {"object": 4, "parent": 1}]
    content = {"schema": 2, "prompts": entries, "objects": objects}
    (inputs / "crowd.json").write_text(json.dumps(content))
    return find_jobs(inputs)[0]


def run(job, out, existing="refuse", work=fake_work):
    return Drive(make_plan([job], out, existing), ThisProcess(work)).run()


@pytest.mark.parametrize("split", [1, 2, 4])
@pytest.mark.parametrize("direction", ["both", "forward"])
def test_joined_labels_are_those_of_the_unsplit_run(crowd, tmp_path, split, direction):
    whole = replace(crowd, direction=direction)
    assert run(whole, tmp_path / "whole").is_complete
    summary = run(replace(whole, split_objects=split), tmp_path / "split")
    assert summary.is_complete, summary.failures
    assert contents(tmp_path / "split") == contents(tmp_path / "whole")
    seen = set(np.unique(read_labels(tmp_path / "whole" / "crowd_labels.tif")))
    assert len(seen) > 3
    assert not list((tmp_path / "split" / WORK_FOLDER).glob("*.npz"))
    one, other = (
        json.loads((tmp_path / name / "crowd_report.json").read_text())
        for name in ("whole", "split")
    )
    assert one["objects"] == other["objects"]
    assert other["parts"] == -(-5 // split)


@pytest.mark.parametrize("overlap", ["keep", "overwrite", "highest"])
def test_ranks_overlap_and_labels_that_were_there_before_hold_in_a_split_session(
    crowd, tmp_path, inputs, overlap
):

    with patch("napari_sam2.api.make_segmenter", fake_segmenter):
        session = Session.open(crowd.prompts, crowd.image)
        session.set_overlap(overlap)
        existing = np.zeros(session.labels.shape, np.uint16)
        existing[:, :20, :24] = 100
        session.use_existing(existing)
        list(session.propagate(objects=[4, 6]))
        session.lock(6, 2)
        session.save(inputs / "crowd.sam2.json")
    (job,) = find_jobs(inputs)
    assert job.session is not None
    run(job, tmp_path / "whole")
    assert run(replace(job, split_objects=2), tmp_path / "split").is_complete
    assert contents(tmp_path / "split") == contents(tmp_path / "whole")
    assert 100 in read_labels(tmp_path / "split" / "crowd_labels.tif")


def test_a_job_with_no_more_objects_than_a_part_is_not_split(crowd, tmp_path):
    plan = make_plan([replace(crowd, split_objects=5)], tmp_path / "out")
    assert (plan.jobs[0].parts, plan.num_tasks) == ((), 1)


def test_resuming_tracks_only_missing_parts(crowd, tmp_path):
    job, out, done = replace(crowd, split_objects=2), tmp_path / "out", []

    def stopping(payload):
        if payload["part"] is None and not done.count("stopped"):
            done.append("stopped")
            raise KeyboardInterrupt
        done.append(payload["part"])
        return fake_work(payload)

    with pytest.raises(KeyboardInterrupt):
        run(job, out, work=stopping)
    assert done == [0, 1, 2, "stopped"]
    (out / WORK_FOLDER / "crowd.1-of-3.npz").write_bytes(b"PK damaged")
    (out / WORK_FOLDER / "crowd.7-of-9.npz").write_bytes(b"of an earlier table")
    (out / WORK_FOLDER / "crowd.b.0-of-2.npz").write_bytes(b"of another job")
    assert run(job, out, "resume", work=stopping).is_complete
    assert done[4:] == [1, None]
    assert [path.name for path in (out / WORK_FOLDER).glob("*.npz")] == ["crowd.b.0-of-2.npz"]
    run(crowd, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


def test_a_part_that_fails_sets_its_job_aside(crowd, tmp_path):
    def failing(payload):
        if payload["part"] == 1:
            return {"state": "failed", "error": "image", "cause": "no memory"}
        return fake_work(payload)

    summary = run(replace(crowd, split_objects=2), tmp_path / "out", work=failing)
    assert summary.states == {"crowd": "failed"}
    assert summary.to_json()["items"][0]["task"] == "crowd, part 2 of 3"


def test_a_session_whose_objects_share_steps_is_not_split(crowd, tmp_path, inputs):
    file = read_session(crowd.prompts)
    session = opening.prepared_session(crowd, file)
    facts = ImageFacts.of(session.frames)
    options = replace(NATIVE, slots_per_step=4)
    said = replace(file, image=facts, stack_view=session.stack_view, options=options)
    write_session(inputs / "crowd.sam2.json", said)
    (job,) = find_jobs(inputs)
    summary = run(replace(job, split_objects=2), tmp_path / "out")
    assert "slots_per_step=1" in summary.failures["crowd"][1].cause


def records():
    empty = np.zeros((0, 0))
    mask = np.array([[True, False], [True, True]])
    strength = np.where(mask, 200, 0).astype(np.uint8)
    seen = ObjectMask(3, (2, 3, 4, 5), mask, 1.25, 0.1 + 0.2, strength, (1, 1, 6, 6))
    gone = ObjectMask(4, EMPTY_BOX, empty.astype(bool), -3.5, 0.0, empty.astype(np.uint8))
    return (
        MaskRecord.from_mask(seen, 7, 0, "prompt"),
        MaskRecord.from_mask(gone, 8, 0, "tracked"),
        MaskRecord.from_mask(seen, 9, 0, "tracked"),
    )


def test_records_come_back_as_they_were(tmp_path):
    given = records()
    for some in (given, ()):
        parts.write_part(tmp_path / "a.npz", some, "key")
        found = parts.read_part(tmp_path / "a.npz", "key")
        assert [replace(item, run=0) for item in found] == [replace(item, run=0) for item in some]
        assert [item.bits + item.strength for item in found] == [
            item.bits + item.strength for item in some
        ]


def test_a_part_of_another_job_or_cut_short_is_none(tmp_path):
    path = tmp_path / "a.npz"
    parts.write_part(path, records(), "key")
    assert parts.is_part(path, "key")
    assert not parts.is_part(path, "other")
    path.write_bytes(path.read_bytes()[:-30])
    assert not parts.is_part(path, "key")
    assert not parts.is_part(tmp_path / "no.npz", "key")


def test_a_question_that_the_parts_do_not_answer_is_an_error(crowd, tmp_path):
    file = read_session(crowd.prompts)
    session = opening.prepared_session(crowd, file)
    opening.with_segmenter(session, parts.ReplayingSegmenter(records()))
    with pytest.raises(FileFormatError, match="no prompt mask of object"):
        session.reopen(file.saved)
