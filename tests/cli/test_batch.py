"""``batch`` at the command line: exit codes, one line of complaint, and the real `nano` on two processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tests.batch.fake_work import contents, fake_segmenter

from napari_sam2.io.masklets import write_labels
from napari_sam2.testing import moving_discs

TWO_JOBS = """
[defaults]
prompt_frame = "first"
[[job]]
image = "a.tif"
labels = "a_truth.tif"
[[job]]
image = "b.tif"
labels = "b_truth.tif"
split_objects = 1
"""


@pytest.fixture
def table(tmp_path):
    """A table of two jobs on small stacks, one of them split by objects."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, name in enumerate("ab"):
        stack, labels = moving_discs(num_frames=3, size=64, num_objects=2, seed=seed)
        write_labels(folder / f"{name}.tif", stack)
        write_labels(folder / f"{name}_truth.tif", labels)
    path = folder / "JOBS.toml"
    path.write_text(TWO_JOBS)
    return path


@pytest.fixture
def fake(monkeypatch):
    """No network in this process."""
    from napari_sam2.batch import runtime

    monkeypatch.setattr("napari_sam2.api.make_segmenter", fake_segmenter)
    monkeypatch.setattr(runtime, "prepare", lambda seed, threads: None)
    monkeypatch.setattr(runtime, "facts", lambda device: {"threads": 1})


@pytest.fixture
def batch(call, table, tmp_path):
    def batch(*options, jobs=table, out=tmp_path / "out"):
        return call("batch", jobs, "--out", out, *options)

    return batch


@pytest.mark.slow
def test_nano_on_two_processes_and_on_a_scheduler_gives_the_bytes_of_one(batch, tmp_path):
    pytest.importorskip("distributed")
    from napari_sam2.batch import cluster

    code, out, err = batch("--workers", 2, "--threads", 1)
    assert code == 0, err
    assert "2 jobs: 2 done" in out
    with cluster.local_client(1) as client:
        address = client.scheduler.address
        own = ["--scheduler", address, "--insecure-cluster", "--threads", 1]
        code, out, err = batch(*own, out=tmp_path / "own")
    assert code == 0, err
    assert contents(tmp_path / "own") == contents(tmp_path / "out")
    code, out, err = batch("--workers", 0, "--threads", 1, "--json", out=tmp_path / "one")
    assert code == 0, err
    assert contents(tmp_path / "one") == contents(tmp_path / "out")
    summary = json.loads(out)
    assert (summary["done"], summary["failed"]) == (2, 0)
    assert summary == json.loads((tmp_path / "one" / "summary.json").read_text())
    report = json.loads((tmp_path / "out" / "a_report.json").read_text())
    assert report["runtime"]["device"] in ("cpu", "cuda", "mps")
    assert report["runtime"]["threads"] == 1
    assert len(report["model"]["sha256"]) == 64


def test_a_table_is_done_and_then_resumed_or_done_anew(batch, fake, tmp_path):
    assert batch("--workers", 0)[0] == 0
    code, out, err = batch("--workers", 0)
    assert (code, out) == (2, "")
    assert "--resume" in err
    assert "2 jobs: 2 there already" in batch("--resume")[1]
    assert "2 jobs: 2 done" in batch("--overwrite", "--workers", 0)[1]


def test_an_item_that_fails_makes_the_exit_code_one_and_is_named(batch, fake, table, tmp_path):
    (table.parent / "a.tif").write_bytes(b"II*\0 no picture")
    code, out, err = batch("--workers", 0)
    assert code == 1
    assert "1 done, 1 set aside" in out
    assert "a.tif" in out
    assert "Traceback" not in out + err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [item["state"] for item in summary["items"]] == ["failed", "done"]


def test_a_model_for_all_jobs_stands_in_their_reports(batch, fake, tmp_path, random_nano):
    assert batch("--workers", 0, "--model", random_nano)[0] == 0
    report = json.loads((tmp_path / "out" / "a_report.json").read_text())
    assert report["model"]["name"] == str(random_nano)


def test_a_folder_is_a_batch(batch, fake, table):
    (table.parent / "a_truth.tif").rename(table.parent / "a_labels.tif")
    code, out, _ = batch("--workers", 0, jobs=table.parent)
    assert (code, "1 job: 1 done" in out) == (0, True)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--resume", "--overwrite"], "exclude each other"),
        (["--scheduler", "tcp://10.0.0.1:8786"], "does not speak TLS"),
        (["--scheduler", "tls://h:1", "--workers", "2"], "give one of them"),
        (["--workers", "-1"], "--workers"),
        (["--threads", "0"], "--threads"),
        (["--model", "sam2.1_large", "--workers", "0"], "models pull"),
        (["--model", "no such", "--workers", "0"], "no such"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_two(refuse, table, tmp_path, options, complaint):
    assert complaint in refuse("batch", table, "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "complaint"), [("[[job]]\nimage = 1", "job[0].image"), ("x = ", "is not TOML")]
)
def test_a_wrong_table_is_one_line_and_exit_code_two(refuse, table, tmp_path, text, complaint):
    table.write_text(text)
    assert complaint in refuse("batch", table, "--out", tmp_path / "out")
    assert "JOBS.toml" in refuse("batch", table, "--out", tmp_path / "out")


def test_without_dask_everything_is_done_in_this_process(batch, fake, monkeypatch, tmp_path):
    from napari_sam2.batch import cluster

    monkeypatch.setattr(cluster, "is_available", lambda: False)
    assert batch()[0] == 0
    code, _, err = batch("--workers", 2, out=tmp_path / "other")
    assert code == 2
    assert "napari-sam2[dask]" in err


def test_an_interrupted_batch_says_how_to_go_on_and_does_what_is_missing(batch, fake, monkeypatch):
    from napari_sam2.batch import run

    write, calls = run.write_result, []

    def interrupted(session, path, format):
        calls.append(path.name)
        if calls == ["a_labels.tif", "b_labels.tif"]:
            raise KeyboardInterrupt
        write(session, path, format)

    monkeypatch.setattr(run, "write_result", interrupted)
    code, out, err = batch("--workers", 0)
    assert code == 130
    assert "--resume" in err
    assert "1 done, 1 not done" in out
    assert "1 done, 1 there already" in batch("--workers", 0, "--resume")[1]
    assert calls == ["a_labels.tif", "b_labels.tif", "b_labels.tif"]


def test_a_lost_scheduler_ends_with_a_hint_and_a_summary(batch, fake, monkeypatch, tmp_path):
    from napari_sam2.batch import cluster
    from napari_sam2.batch.driving import ThisProcess

    def lose(self):
        raise cluster._lost("it was killed")

    monkeypatch.setattr(ThisProcess, "next_done", lose)
    code, out, err = batch("--workers", 0)
    assert code == 1
    assert "2 not done" in out
    assert "--resume" in err
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["missing"] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process")
@pytest.mark.slow
def test_ctrl_c_ends_the_processes_and_a_rerun_completes(table, tmp_path):
    pytest.importorskip("distributed")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "napari_sam2", "batch", str(table), "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--workers", "1", "--threads", "1"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while not list(out.glob(".batch/*.tries")):  # a worker is at work
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130, err
    assert "--resume" in err
    assert "Traceback" not in err
    done = subprocess.run([*command, "--workers", "0", "--resume"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(contents(out)) == 2
    for labels in out.glob("*_labels.tif"):
        from napari_sam2.io.masklets import read_labels

        assert np.any(read_labels(labels))
