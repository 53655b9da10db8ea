"""``run`` that is interrupted, terminated or fails: what is done is kept, and ``--resume`` ends with the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tests.crash.holding import held_by_another

from napari_sam2.cli import keeping
from napari_sam2.core.errors import StorageError
from napari_sam2.io.images import open_image
from napari_sam2.io.kept_results import ResultFile
from napari_sam2.testing import moving_discs

NUM_FRAMES = 6


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "image.npy", moving_discs(num_frames=NUM_FRAMES, size=48)[0])
    prompts = [{"object": 1, "frame": 1, "points": [[20, 20]]}]
    (tmp_path / "p.json").write_text(json.dumps({"schema": 1, "prompts": prompts}))
    return tmp_path / "image.npy", tmp_path / "p.json"


@pytest.fixture
def run(call, files, tmp_path, random_nano):
    def run(*more, out=tmp_path / "labels.tif"):
        return call("run", files[0], "-p", files[1], "-o", out, "-m", random_nano, "--json", *more)

    return run


@pytest.fixture
def at_frame(monkeypatch):
    """Let something happen once so many frames are kept."""

    def at_frame(count, happen):
        append = ResultFile.append

        def appending(self, request, result):
            append(self, request, result)
            if len(self) == count:
                monkeypatch.setattr(ResultFile, "append", append)
                happen()

        monkeypatch.setattr(ResultFile, "append", appending)

    return at_frame


def kept_files(home):
    return sorted(path.name.split(".", 1)[1] for path in (home / "runs").iterdir())


def labels_of(path):
    return np.asarray(open_image(path).array[...])


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to this process")
@pytest.mark.parametrize(
    ("happen", "code", "word", "ending"),
    [(interrupt, 130, "interrupted", "tif"), (terminate, 143, "terminated", "ome.zarr")],
)
def test_what_is_done_is_kept_and_the_same_command_goes_on(
    run, at_frame, home, tmp_path, random_nano, files, happen, code, word, ending
):
    out = tmp_path / f"labels.{ending}"
    whole = tmp_path / f"whole.{ending}"
    assert run(out=whole)[0] == 0
    before = signal.getsignal(signal.SIGTERM)
    at_frame(3, happen)
    result, text, err = run("--overwrite", out=out)
    assert result == code
    assert signal.getsignal(signal.SIGTERM) is before
    assert err == (
        f"napari-sam2: {word} after 3 frames; go on with: napari-sam2 run {files[0]} -p {files[1]} "
        f"-o {out} -m {random_nano} --json --overwrite --resume; what is done is kept\n"
    )
    assert not out.exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    result, text, err = run("--resume", out=out)
    assert result == 0, err
    assert json.loads(text)["resumed"] == 3
    np.testing.assert_array_equal(labels_of(out), labels_of(whole))
    assert kept_files(home) == []


def test_without_resume_it_begins_anew_and_the_earlier_work_is_set_aside(run, at_frame, home):
    at_frame(3, interrupt)
    assert run()[0] == 130
    result, text, err = run()
    assert result == 0, err
    assert json.loads(text)["resumed"] == 0
    assert len([name for name in kept_files(home) if name.endswith(".previous")]) == 1


def test_what_was_kept_of_another_question_is_not_used(run, at_frame, files):
    at_frame(3, interrupt)
    assert run()[0] == 130
    result, text, _ = run("--resume", "--direction", "forward")
    assert result == 0
    assert json.loads(text)["resumed"] == 0


def test_what_was_kept_of_another_image_is_not_used(run, at_frame, files):
    at_frame(3, interrupt)
    assert run()[0] == 130
    np.save(files[0], np.load(files[0])[:, ::-1])
    result, text, _ = run("--resume")
    assert result == 0
    assert json.loads(text)["resumed"] == 0


def test_a_full_disk_keeps_what_was_found_and_says_how_to_go_on(run, at_frame):
    def fill():
        raise StorageError("the disk is full", remedy="make room")

    at_frame(2, fill)
    code, _, err = run()
    assert code == 2
    assert "the disk is full; make room, then go on with: napari-sam2 run" in err
    assert err.endswith("--resume; 2 frames that were found are kept\n")
    assert json.loads(run("--resume")[1])["resumed"] == 2


def test_an_interruption_before_the_first_frame_leaves_nothing(run, home, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_sam2.cli.run._segment", stop)
    code, _, err = run()
    assert code == 130
    assert err == "napari-sam2: interrupted; no file was written\n"
    assert kept_files(home) == []


def test_two_commands_do_not_make_the_same_file_at_once(run, tmp_path, home):
    (home / "runs").mkdir(parents=True)
    path = keeping._path_for([tmp_path / "labels.tif"])
    with held_by_another(path) as process:
        code, _, err = run()
        assert code == 2
        assert f"is being worked on by process {process.pid}" in err
    assert run()[0] == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
def test_a_process_that_is_terminated_ends_with_143_and_another_goes_on(
    run, files, home, tmp_path, random_nano
):
    np.save(files[0], moving_discs(num_frames=400, size=48)[0])
    command = [sys.executable, "-m", "napari_sam2", "run", files[0], "-p", files[1]]
    command += ["-o", tmp_path / "labels.ome.zarr", "-m", random_nano, "--json"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    begun = time.monotonic()
    while not (runs := [*home.glob("runs/*.run")]) or runs[0].stat().st_size < 2000:
        assert time.monotonic() - begun < 240
        assert process.poll() is None
        time.sleep(0.1)
    process.terminate()
    err = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 143
    assert "Traceback" not in err
    assert "--resume; what is done is kept" in err
    done = subprocess.run([*command, "--resume"], capture_output=True, timeout=400)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["resumed"] > 0
    assert report["propagated"] == 399
