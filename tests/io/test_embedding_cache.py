"""A folder of embeddings: never wrong, never in the way, never larger than its quota."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from napari_sam2.io import embedding_cache
from napari_sam2.io.embedding_cache import STALE_AFTER, DiskEmbeddings

GENEROUS = 1 << 30
is_posix = pytest.mark.skipif(os.name == "nt", reason="rights and links of POSIX")


def arrays(number: int = 0, size: int = 100) -> dict[str, np.ndarray]:
    return {"a": np.full(size, number, np.float32), "b": np.array(number % 2 == 0)}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "embeddings"


@pytest.fixture
def store(folder):
    return DiskEmbeddings(folder, GENEROUS)


def number_in(store: DiskEmbeddings, key: str) -> int | None:
    found = store.get(key)
    return None if found is None else int(found["a"][0])


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_was_put_is_there_for_another_store_of_the_folder(store, folder):
    assert store.get("one") is None
    store.put("one", arrays(1))
    assert number_in(store, "one") == number_in(DiskEmbeddings(folder, GENEROUS), "one") == 1
    store.put("one", arrays(2))
    assert number_in(store, "one") == 2
    assert len(names(folder)) == 1


def test_reading_makes_no_folder(store, folder):
    assert store.get("one") is None
    assert store.entries() == []
    assert not folder.exists()


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "foreign", "other"])
def test_a_file_that_is_not_what_it_should_be_is_a_miss_and_goes(store, folder, caplog, harm):
    store.put("one", arrays(1))
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[-50] ^= 4
    store.put("two", arrays(2))
    (other,) = set(folder.iterdir()) - {path}
    path.write_bytes(
        {
            "flip": content,
            "cut": content[:-9],
            "empty": b"",
            "foreign": b"something else" * 30,
            "other": other.read_bytes(),  # whole, but of another frame
        }[harm]
    )
    assert store.get("one") is None
    assert "removed" in caplog.text
    assert not path.exists()
    store.put("one", arrays(3))
    assert number_in(store, "one") == 3


@is_posix
@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "huge"])
def test_what_is_no_plain_file_is_a_miss(store, folder, kind, tmp_path, caplog):
    store.put("one", arrays(1))
    (path,) = folder.iterdir()
    target = tmp_path / "target"
    path.rename(target)
    if kind == "link":
        path.symlink_to(target)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        with path.open("wb") as file:
            file.truncate(embedding_cache.MAX_FILE + 1)
    assert store.get("one") is None
    assert "not used" in caplog.text
    assert target.exists()


def test_deleting_the_folder_in_the_middle_of_a_run_costs_only_what_was_in_it(store, folder):
    import shutil

    store.put("one", arrays(1))
    shutil.rmtree(folder)
    assert store.get("one") is None
    store.put("one", arrays(1))
    assert number_in(store, "one") == 1


# Quota


def test_what_was_not_used_for_longest_goes_first(folder):
    store = DiskEmbeddings(folder, GENEROUS)
    for number in range(6):
        store.put(str(number), arrays(number))
        _age(folder, store, str(number), 100 - number)
    one = store.entries()[0].size
    assert number_in(store, "0") == 0  # used now
    small = DiskEmbeddings(folder, 6 * one)
    small.put("6", arrays(6))
    left = [key for key in map(str, range(7)) if small.get(key) is not None]
    assert left == ["0", "3", "4", "5", "6"]
    assert sum(entry.size for entry in small.entries()) <= 6 * one


def test_an_embedding_that_is_larger_than_the_quota_is_kept_alone(folder):
    store = DiskEmbeddings(folder, 10)
    for number in range(3):
        store.put(str(number), arrays(number))
    assert number_in(store, "2") == 2
    assert len(store.entries()) == 1


def test_the_folder_is_not_listed_for_every_embedding(folder, monkeypatch):
    store, listed = DiskEmbeddings(folder, GENEROUS), []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scan(path))
    for number in range(50):
        store.put(str(number), arrays(number))
    assert 1 <= len(listed) <= 2


def test_two_stores_together_hardly_exceed_the_quota(folder):
    first = DiskEmbeddings(folder, GENEROUS)
    first.put("x", arrays())
    size = first.entries()[0].size
    quota = 40 * size
    stores = DiskEmbeddings(folder, quota), DiskEmbeddings(folder, quota)
    for number in range(200):
        stores[number % 2].put(str(number), arrays(number))
        assert len(store_entries := stores[0].entries()) * size <= quota * 1.2, store_entries


def _age(folder, store, key, seconds):
    then = time.time() - seconds
    os.utime(store._path(key), (then, then))


# Litter


def test_what_dead_processes_left_is_swept_and_what_live_ones_write_is_not(store, folder):
    folder.mkdir(parents=True, mode=0o700)
    dead, live = folder / f".{'0' * 16}.tmp", folder / f".{'1' * 16}.tmp"
    mine = folder / "notes.txt"
    for path in (dead, live, mine):
        path.write_bytes(b"half")
    then = time.time() - STALE_AFTER - 5
    for path in (dead, mine):
        os.utime(path, (then, then))
    store.put("one", arrays(1))
    assert not dead.exists()
    assert live.exists()
    store.clear()
    assert names(folder) == {live.name, mine.name}


def test_clearing_removes_every_embedding_and_says_what(store, folder):
    for number in range(3):
        store.put(str(number), arrays(number))
    assert len(store.clear()) == 3
    assert store.get("0") is None
    store.put("0", arrays(0))
    assert len(store.entries()) == 1


# Trouble


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("call", ["open", "write", "replace", "scandir", "mkdir", "stat"])
def test_trouble_in_writing_ends_the_writing_with_one_warning(
    store, folder, monkeypatch, caplog, code, call
):
    other = DiskEmbeddings(folder, GENEROUS)
    if call != "mkdir":
        other.put("before", arrays(7))

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    def failing_parts(*args):
        yield b"NS2"
        fail()

    with monkeypatch.context() as patch:
        if call == "write":
            patch.setattr(embedding_cache, "to_parts", failing_parts)
        elif call in ("replace", "scandir"):
            patch.setattr(os, call, fail)
        elif call == "stat":
            patch.setattr(embedding_cache, "problem_of", fail)
        else:
            patch.setattr(type(folder), call, fail)
        for number in range(3):
            store.put(str(number), arrays(number))
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert os.strerror(code) in warnings[0].getMessage()
    store.put("later", arrays(1))
    assert store.get("later") is None
    assert not any(name.endswith(".tmp") for name in (names(folder) if folder.exists() else ()))
    if call in ("open", "write", "replace", "scandir"):
        assert number_in(store, "before") == 7, "what is there can still be read"


def test_a_full_disk_ends_the_writing(folder, caplog):
    """A true limit of the operating system, in a process of its own."""
    code = (
        "import resource, sys, signal, numpy as np\n"
        "from pathlib import Path\n"
        "from napari_sam2.io.embedding_cache import DiskEmbeddings\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "store = DiskEmbeddings(Path(sys.argv[1]), 1 << 30)\n"
        "store.put('small', {'a': np.zeros(10)})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "for n in range(3): store.put(f'large {n}', {'a': np.zeros(10000)})\n"
        "assert store.get('small') is not None and store.get('large 0') is None\n"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("RLIMIT_FSIZE")
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("not kept any more") == 1
    assert len(names(folder)) == 1


def test_trouble_in_reading_ends_both(store, monkeypatch, caplog):
    store.put("one", arrays(1))

    def fail(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(embedding_cache, "_read", fail)
    assert store.get("one") is None
    assert store.get("one") is None
    store.put("two", arrays(2))
    assert len(store.entries()) == 1
    assert len(caplog.records) == 1


def test_a_disk_that_may_only_be_read_is_read(store, monkeypatch):
    store.put("one", arrays(1))

    def refuse(path):
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "utime", refuse)
    assert number_in(store, "one") == 1


# Who may write


@is_posix
def test_the_folder_is_for_its_owner_only(store, folder):
    before = os.umask(0)
    try:
        store.put("one", arrays(1))
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700


@is_posix
@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_not_used(store, folder, caplog, mode):
    store.put("one", arrays(1))
    folder.chmod(mode)
    assert store.get("one") is None
    store.put("two", arrays(2))
    assert len(store.entries()) == 1
    assert caplog.text.count("others may write") == 1


@is_posix
def test_a_folder_of_somebody_else_is_not_used(store, monkeypatch, caplog):
    store.put("one", arrays(1))
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert store.get("one") is None
    assert "somebody else" in caplog.text


def test_a_file_in_the_place_of_the_folder_is_left_alone(store, folder, caplog):
    folder.parent.mkdir(parents=True)
    folder.write_text("mine")
    store.put("one", arrays(1))
    assert store.get("one") is None
    assert folder.read_text() == "mine"
    assert len(caplog.records) == 1


# Several processes

WORKER = """
import sys, logging
import numpy as np
from pathlib import Path
from napari_sam2.io.embedding_cache import DiskEmbeddings
logging.basicConfig(level=logging.WARNING)
folder, seed, quota = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store, random = DiskEmbeddings(folder, quota), np.random.default_rng(seed)
hits = 0
for _ in range(400):
    number = int(random.integers(60))
    found = store.get(str(number))
    if found is None:
        store.put(str(number), {"a": np.full(5000, number, np.float32)})
    else:
        assert (found["a"] == number).all() and found["a"].shape == (5000,)
        hits += 1
print(hits)
"""


def test_processes_share_a_folder_while_files_are_evicted(folder):
    command = [sys.executable, "-c", WORKER, str(folder)]
    running = [
        subprocess.Popen(
            [*command, str(seed), str(30 * 20_200)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(3)
    ]
    for process in running:
        out, err = process.communicate(timeout=200)
        assert (process.returncode, err) == (0, "")
        assert int(out) > 20
    assert sum(e.size for e in DiskEmbeddings(folder, GENEROUS).entries()) <= 1.4 * 30 * 20_200
