"""Checkpoints of people's own: converted in a process of its own, which has nothing to give away."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.security import crafted

from napari_sam2.core.errors import CheckpointError, MissingWeightsError, OptionError
from napari_sam2.io import checkpoint_child, checkpoints
from napari_sam2.io.checkpoints import convert

ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")


@pytest.fixture
def place(tmp_path):
    """A folder with an honest checkpoint, and where it goes."""
    (tmp_path / "own.pt").write_bytes(crafted.archive())
    return tmp_path


def left(folder):
    return sorted(item.name for item in folder.iterdir() if item.suffix != ".pt")


def attempt(folder, content, match):
    """Convert something that must be refused; nothing is left of it."""
    (folder / "bad.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=match) as caught:
        convert(folder / "bad.pt", folder / "bad.safetensors")
    assert "nothing was written" in str(caught.value)
    assert caught.value.what.startswith("bad.pt: ")
    assert left(folder) == []


def test_an_honest_checkpoint_keeps_every_number(place, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    shapes = {}
    assert convert(place / "own.pt", place / "own.safetensors", fits=shapes.update) == 2
    tensors = load_file(place / "own.safetensors")
    np.testing.assert_array_equal(tensors["weight"], np.arange(6, dtype=np.float32).reshape(2, 3))
    np.testing.assert_array_equal(tensors["bias"], np.float32([1, 2]))
    assert shapes == {"weight": (2, 3), "bias": (2,)}
    assert left(place) == ["own.safetensors"]


def test_numbers_that_are_none_are_refused(place):
    parts = crafted.STORAGES | {"data/0": struct.pack("<6f", 1, 2, float("nan"), 4, 5, 6)}
    attempt(place, crafted.archive(parts=parts), "tensor 'weight' holds NaN")


@pytest.mark.parametrize(
    "name",
    [
        "in an archive, protocol 2.pth",
        "calls builtins.eval.pt",
        "a bomb.pt",
        "cut off.pt",
        "TorchScript.pt",
    ],
)
def test_a_hostile_checkpoint_is_refused_by_the_process(place, name):
    attempt(place, dict(crafted.checkpoints())[name], "its|it is")


def test_what_fits_no_model_is_not_written(place):
    def fits(shapes):
        raise CheckpointError("no model has these")

    with pytest.raises(CheckpointError, match="no model has these"):
        convert(place / "own.pt", place / "own.safetensors", fits=fits)
    assert left(place) == []


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os.kill(os.getpid(), 9)", "ended with code -9"),
        ("print('{}')", "ended with code 0"),
        ("import sys; sys.stderr.write('x' * 200_000); sys.exit(3)", "ended with code 3"),
        ("import sys; sys.stderr.write('[' * 60_000); sys.exit(1)", "ended with code 1"),
        ("import sys; sys.stderr.write('[1]')", "ended with code 0"),
        ('import sys; sys.stderr.write(\'{"refused": "so"}\'); sys.exit(1)', "so"),
        ('import sys; sys.stderr.write(\'{"refused": "so"}\')', "so"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="no signals on Windows")
def test_however_the_process_ends_it_is_told_and_nothing_is_left(place, monkeypatch, program, said):
    monkeypatch.setattr(checkpoints, "_command", lambda: [sys.executable, "-I", "-c", program])
    attempt(place, crafted.archive(), said)


def test_a_process_that_takes_too_long_is_ended(place, monkeypatch):
    slow = [sys.executable, "-I", "-c", "import time; time.sleep(100)"]
    monkeypatch.setattr(checkpoints, "_command", lambda: slow)
    monkeypatch.setattr(checkpoints, "_PATIENCE", 0.5)
    attempt(place, crafted.archive(), "takes longer")


def test_output_that_is_no_safetensors_is_refused(place, monkeypatch):
    program = "import sys; print('evil'); sys.stderr.write('{\"tensors\": 1}')"
    monkeypatch.setattr(checkpoints, "_command", lambda: [sys.executable, "-I", "-c", program])
    with pytest.raises(CheckpointError, match="the safetensors file"):
        convert(place / "own.pt", place / "own.safetensors")
    assert left(place) == []


def test_the_process_gets_no_switch_token_or_proxy():
    mine = {
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
        "HF_TOKEN": "x",
        "HTTPS_PROXY": "y",
        "PATH": "z",
    }
    mine |= {"PYTHONPATH": "evil", "LD_PRELOAD": "evil.so"}
    given = checkpoints._environment(mine)
    assert given == {"PATH": "z", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    assert "-I" in checkpoints._command()


def test_targets_that_exist_or_are_called_otherwise_are_refused(place):
    (place / "there.safetensors").write_bytes(b"mine")
    with pytest.raises(OptionError, match="exists already"):
        convert(place / "own.pt", place / "there.safetensors")
    assert (place / "there.safetensors").read_bytes() == b"mine"
    with pytest.raises(OptionError, match=r"does not end in \.safetensors"):
        convert(place / "own.pt", place / "other.pt")


def test_a_target_that_cannot_be_written_is_told(place):
    with pytest.raises(CheckpointError, match="cannot be written"):
        convert(place / "own.pt", place / "nowhere" / "own.safetensors")


def test_sources_that_are_no_files_are_told_without_waiting(place, monkeypatch):
    with pytest.raises(MissingWeightsError):
        convert(place / "none.pt", place / "a.safetensors")
    with pytest.raises(CheckpointError, match="cannot be opened"):
        convert(place, place / "a.safetensors")
    if hasattr(os, "mkfifo"):
        os.mkfifo(place / "pipe.pt")
        with pytest.raises(CheckpointError, match="a pipe or a device"):
            convert(place / "pipe.pt", place / "a.safetensors")
    monkeypatch.setattr(checkpoints, "MAX_BYTES", 10)
    with pytest.raises(CheckpointError, match="at most 0 GiB are read"):
        convert(place / "own.pt", place / "a.safetensors")


@pytest.mark.parametrize("version", ["1.13.1", "2.5.1+cpu", "2.9.1"])
def test_a_torch_that_was_passed_by_loads_nothing_of_others(version):
    with pytest.raises(CheckpointError, match=r"cannot be trusted.*install torch 2\.10"):
        checkpoint_child.require_safe_torch(version)


@pytest.mark.parametrize("version", ["2.10.0", "2.13.0+cpu", "3.0.0a1"])
def test_a_newer_torch_is_taken(version):
    checkpoint_child.require_safe_torch(version)


# The process's own fetters, tried in a process


def in_a_process(code):
    """Run code that has the module of the child as `child`; return what it prints."""
    folder = Path(checkpoint_child.__file__).parents[2]
    head = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    head += "from napari_sam2.io import checkpoint_child as child, checkpoint_archive\n"
    done = subprocess.run(
        [sys.executable, "-I", "-c", head + code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_is_started_written_or_called_once_the_hook_is_there(tmp_path):
    (tmp_path / "there").write_text("x")
    code = f"""
import ctypes, os, shutil, socket, subprocess, tempfile, urllib.request
here = {str(tmp_path / "there")!r}
tries = [
    lambda: subprocess.run(["true"]), lambda: os.system("true"), lambda: os.popen("true"),
    lambda: os.execv("/bin/true", ["true"]), lambda: os.posix_spawn("/bin/true", ["true"], {{}}),
    lambda: os.fork(), lambda: socket.socket(), lambda: socket.getaddrinfo("localhost", 1),
    lambda: open(here, "w"), lambda: open(here, "r+"), lambda: os.open(here, os.O_WRONLY),
    lambda: open(here + "2", "x"), lambda: os.remove(here), lambda: os.rename(here, here + "2"),
    lambda: os.mkdir(here + "2"), lambda: os.symlink(here, here + "2"), lambda: shutil.rmtree(here),
    lambda: tempfile.TemporaryFile(), lambda: ctypes.CDLL(None), lambda: os.kill(os.getpid(), 9),
    lambda: urllib.request.urlopen("http://localhost"), lambda: os.truncate(here, 0),
]
sys.addaudithook(child._refuse)
for number, one in enumerate(tries):
    try:
        one()
        print(number, "was allowed")
    except checkpoint_archive.CheckpointError as error:
        assert "tried what no table of tensors needs" in error.what
assert open(here).read() == "x"
"""
    assert in_a_process(code) == ""
    assert [item.name for item in tmp_path.iterdir()] == ["there"]


@ONLY_LINUX
def test_memory_time_and_output_are_limited(tmp_path):
    code = f"""
import resource
child._limit("RLIMIT_AS", child._memory_in_use() + (64 << 20))
try:
    bytearray(1 << 30)
except MemoryError:
    print("memory")
child._limit("RLIMIT_FSIZE", 1000)
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    with open({str(tmp_path / "large")!r}, "wb", buffering=0) as file:
        file.write(bytes(1000)); file.write(b"x")
except OSError:
    print("output")
child._limit("RLIMIT_CPU", 1)
print(resource.getrlimit(resource.RLIMIT_CPU))
child._limit("RLIMIT_CPU", 5)  # a lower one stays
print(resource.getrlimit(resource.RLIMIT_CPU))
child._limit("RLIMIT_OF_NO_SYSTEM", 5)
"""
    assert in_a_process(code).split("\n") == ["memory", "output", "(1, 1)", "(1, 1)", ""]


@ONLY_LINUX
def test_a_limit_that_is_not_final_is_lifted_again():
    code = """
import resource
before = resource.getrlimit(resource.RLIMIT_AS)
child._limit("RLIMIT_AS", 1 << 40, is_final=False)
assert resource.getrlimit(resource.RLIMIT_AS) == (1 << 40, before[1])
child._limit("RLIMIT_AS", None, is_final=False)
assert resource.getrlimit(resource.RLIMIT_AS)[0] == before[1]
"""
    assert in_a_process(code) == ""


@ONLY_LINUX
def test_the_network_is_left_where_the_system_allows_it():
    code = """
import os, subprocess
before = os.readlink("/proc/self/ns/net")
child._leave_the_network()
print(before != os.readlink("/proc/self/ns/net"))
"""
    has_left = in_a_process(code).strip()
    if shutil.which("unshare") is None:  # nobody to ask whether it was allowed
        assert has_left in ("True", "False")
        return
    asked = subprocess.run(["unshare", "-Un", "true"], capture_output=True, check=False)
    assert has_left == str(asked.returncode == 0)
