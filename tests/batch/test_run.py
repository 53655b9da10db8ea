"""Jobs in one process: results, reports, what is done again and what is not; with a fake network."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from tests.batch.fake_work import contents, fake_segmenter, fake_work, troubled_work

from napari_sam2.batch import opening, results, runtime
from napari_sam2.batch.driving import Drive, ThisProcess
from napari_sam2.batch.plan import find_jobs, make_plan
from napari_sam2.batch.tasks import Task, run_task
from napari_sam2.core.errors import FileFormatError, FrameReadError
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.options import NATIVE
from napari_sam2.io.masklets import Spacing, read_labels, read_spacing, write_labels
from napari_sam2.io.sessions import ImageFacts, ModelFacts, read_session, write_session


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def drive(out):
    """Plan some jobs and do them in this process; return the summary."""

    def drive(jobs, existing="refuse", out=out, work=fake_work, **options):
        return Drive(make_plan(jobs, out, existing, **options), ThisProcess(work)).run()

    return drive


def report_of(out, name):
    return json.loads((out / f"{name}_report.json").read_text())


def test_every_image_of_a_folder_with_prompts_beside_it_gets_labels_and_a_report(
    drive, add_stack, inputs, out
):
    truth = add_stack("b")
    add_stack("a", labels=True, prompts=False)
    add_stack("nothing", prompts=False)
    (inputs / "b.csv").write_text("also called b")
    summary = drive(find_jobs(inputs))
    assert summary.states == {"a": "done", "b": "done"}
    assert summary.is_complete
    for name in ("a", "b"):
        labels = read_labels(out / f"{name}_labels.tif")
        assert (labels.shape, labels.dtype) == (truth.shape, np.uint16)
        assert set(np.unique(labels)) == {0, 1, 2}
    report = report_of(out, "b")
    assert report["sha256"] == results.sha256_of(out / "b_labels.tif")
    assert report["propagated"] == 4
    assert report["objects"][0]["prompted"] == [1]
    assert report["objects"][0]["frames"] > 0
    assert set(report["seconds"]) == {"open", "prompts", "propagate", "write"}
    assert {"napari-sam2", "python", "numpy", "platform"} <= set(report["versions"])
    assert (report["seed"], report["model"]["name"]) == (0, "nano")


def test_labels_that_give_the_prompts_stand_on_their_frame_as_they_were(
    drive, add_stack, inputs, out
):
    truth = add_stack("a", labels=True, prompts=False)
    drive(find_jobs(inputs))
    np.testing.assert_array_equal(read_labels(out / "a_labels.tif")[0], truth[0])


def test_labels_have_the_axes_and_the_spacing_of_the_image(drive, inputs, tmp_path, out):
    stack = np.zeros((20, 4, 22), np.uint16)
    mask = np.zeros((20, 22), np.uint8)
    mask[3:9, 5:9] = 1
    spacing = Spacing((2.0, 0.5, 0.5), "um")
    write_labels(inputs / "a.tif", stack, spacing=spacing)
    write_labels(inputs / "mask.tif", mask)
    prompts = [{"object": 70000, "frame": 2, "mask": "mask.tif"}]
    (inputs / "a.json").write_text(json.dumps({"schema": 1, "axis": 1, "prompts": prompts}))
    drive(find_jobs(inputs))
    labels = read_labels(out / "a_labels.tif")
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels[:, 2], mask * np.uint32(70000))
    assert read_spacing(out / "a_labels.tif") == spacing


def test_a_single_picture_gets_labels_of_its_shape(drive, inputs, out):
    np.save(inputs / "a.npy", np.zeros((20, 22), np.uint8))
    write_labels(inputs / "a_labels.tif", np.eye(20, 22, dtype=np.uint8))
    assert drive(find_jobs(inputs)).is_complete
    assert read_labels(out / "a_labels.tif").shape == (20, 22)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"direction": "forward"}, {"propagated": 3}),
        ({"direction": "backward"}, {"propagated": 1}),
        ({"limits": (3.0, 90.0)}, {"limits": [3.0, 90.0, "given"]}),
        ({"seed": 5}, {"seed": 5}),
        ({"axis": 0}, {"axis": 0}),
    ],
)
def test_options_of_a_job_reach_its_session(drive, add_stack, inputs, out, options, expected):
    add_stack("a")
    (job,) = find_jobs(inputs)
    assert drive([replace(job, **options)]).is_complete
    report = report_of(out, "a")
    assert {key: report[key] for key in expected} == expected


def test_what_a_session_file_says_holds_unless_the_job_says_otherwise(
    drive, add_stack, inputs, out
):

    add_stack("a")
    (job,) = find_jobs(inputs)
    file = read_session(job.prompts)
    session = opening.prepared_session(job, file)
    said = replace(
        file,
        image=ImageFacts.of(session.frames),
        stack_view=session.stack_view,
        mapping=IntensityMapping(1.0, 2.0),
        options=replace(NATIVE, focus=False, multimask=False),
        model=ModelFacts("small", "0" * 64),
    )
    write_session(inputs / "a.sam2.json", said)
    (job,) = find_jobs(inputs)
    assert job.session is not None
    said = read_session(job.session)
    assert opening.options_of(job, said) == replace(NATIVE, focus=False, multimask=False)
    assert opening.options_of(replace(job, focus=True), said).focus
    chosen = opening.options_of(replace(job, quality="fast", precision="float32"), said)
    assert (chosen.quality, chosen.precision, chosen.focus) == ("fast", "float32", False)
    assert opening.model_of(job, said) == "small"
    assert opening.model_of(replace(job, model="nano"), said) == "nano"
    assert drive([replace(job, model="nano", limits=(1.0, 3.0))]).is_complete
    report = report_of(out, "a")
    assert report["model_is_that_of_the_session"] is False
    assert report["limits"][:2] == [1.0, 3.0]
    opened = opening.prepared_session(replace(job, model="nano"), said)
    assert (opened.mapping.low, opened.mapping.high) == (1.0, 2.0)


def test_resuming_does_only_what_is_missing_or_damaged_or_other(drive, add_stack, inputs, out):
    for name in "abcd":
        add_stack(name, seed=ord(name))
    jobs = find_jobs(inputs)
    drive(jobs)
    before = contents(out)
    (out / "b_labels.tif").write_bytes(b"damaged")
    (out / "c_report.json").unlink()
    jobs = (*jobs[:3], replace(jobs[3], direction="forward"))
    done = []

    def noting(payload):
        done.append(payload["spec"]["name"])
        return fake_work(payload)

    summary = drive(jobs, "resume", work=noting)
    assert done == ["b", "c", "d"]
    assert summary.states == {"a": "already", "b": "done", "c": "done", "d": "done"}
    after = contents(out)
    assert {name for name in after if after[name] != before[name]} == {"d_labels.tif"}
    done.clear()
    assert drive(jobs, "resume", work=noting).count("already") == 4
    assert done == []


def test_a_changed_input_is_done_again(drive, add_stack, inputs):
    add_stack("a")
    drive(find_jobs(inputs))
    add_stack("a", seed=3, num_objects=1)
    assert drive(find_jobs(inputs), "resume").states == {"a": "done"}


def test_overwriting_does_everything_anew(drive, add_stack, inputs, out):
    add_stack("a")
    drive(find_jobs(inputs))
    first = report_of(out, "a")
    assert drive(find_jobs(inputs), "overwrite").states == {"a": "done"}
    assert report_of(out, "a")["sha256"] == first["sha256"]


def test_a_folder_with_something_in_it_is_left_alone(drive, add_stack, inputs, out):
    add_stack("a")
    out.mkdir()
    (out / "thesis.txt").write_text("x")
    with pytest.raises(FileFormatError, match="--resume"):
        drive(find_jobs(inputs))
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_results_do_not_go_where_inputs_lie(drive, add_stack, inputs):
    add_stack("a")
    with pytest.raises(FileFormatError, match="which is read from"):
        drive(find_jobs(inputs), "overwrite", out=inputs)
    assert not (inputs / ".batch").exists()


def test_a_file_in_the_way_of_the_output_folder_is_a_clear_error(
    drive, add_stack, inputs, tmp_path
):
    add_stack("a")
    (tmp_path / "file").touch()
    with pytest.raises(FileFormatError, match="cannot be written to"):
        drive(find_jobs(inputs), out=tmp_path / "file" / "out")


def test_a_folder_without_jobs_and_one_that_is_not_there_are_refused(inputs, add_stack):
    add_stack("a", prompts=False)
    with pytest.raises(FileFormatError, match="no image with prompts"):
        find_jobs(inputs)
    with pytest.raises(FrameReadError, match="no file or folder"):
        find_jobs(inputs / "no")


def test_an_item_that_fails_twice_is_set_aside_with_its_cause_and_others_finish(
    drive, add_stack, inputs, out
):
    for name in ("a", "b", "flaky"):
        add_stack(name)
    (inputs / "a.tif").write_bytes(b"no picture")
    summary = drive(find_jobs(inputs), work=troubled_work)
    assert summary.states == {"a": "failed", "b": "done", "flaky": "done"}
    summary.write()
    items = json.loads((out / "summary.json").read_text())["items"]
    assert items[0]["tries"] == 2
    assert items[0]["error"] in ("file-format", "frame-read")
    assert "a.tif" in items[0]["cause"]
    assert items[1]["labels"] == "b_labels.tif"
    assert not [path for path in out.iterdir() if path.name.startswith("a_")]


def test_an_image_that_is_not_there_fails_its_job_only(drive, add_stack, inputs):
    add_stack("a")
    add_stack("b")
    jobs = find_jobs(inputs)
    (inputs / "a.tif").unlink()
    summary = drive(jobs)
    assert summary.states == {"a": "failed", "b": "done"}
    assert "no file or folder" in summary.failures["a"][1].cause


def test_two_tasks_for_one_output_have_one_winner(add_stack, inputs, out):
    add_stack("slow")
    plan = make_plan(find_jobs(inputs), out)
    payload = plan.jobs[0].task.to_payload()
    states, count = [], threading.Barrier(2)

    def work():
        count.wait()
        states.append(run_task(payload)["state"])

    with (  # patched once, since patches of two threads would undo each other
        patch("napari_sam2.api.make_segmenter", fake_segmenter),
        patch.object(runtime, "prepare", lambda seed, threads: None),
        patch.object(runtime, "facts", lambda device: {}),
    ):
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(states) == ["already", "done"]
    assert plan.jobs[0].task.is_done()
    assert sorted(path.name for path in out.iterdir()) == [
        ".batch",
        "slow_labels.tif",
        "slow_report.json",
    ]


def test_a_task_survives_being_sent_as_texts_and_numbers(add_stack, inputs, out):
    add_stack("a")
    task = make_plan(find_jobs(inputs), out, threads=2).jobs[0].task
    assert Task.from_payload(json.loads(json.dumps(task.to_payload()))) == task


def test_the_checksum_of_a_folder_is_that_of_names_and_contents(tmp_path):
    def folder(name, files):
        for file, text in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return results.sha256_of(tmp_path / name)

    same = folder("one", {"a": "1", "b/c": "2"})
    assert folder("two", {"b/c": "2", "a": "1"}) == same
    assert folder("three", {"a": "1", "b/d": "2"}) != same
    assert folder("four", {"a": "12", "b/c": ""}) != same
