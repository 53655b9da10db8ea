"""Which weights are known, where they are looked for, and what is refused before it is parsed."""

from __future__ import annotations

import hashlib
import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save

from napari_sam2.core.errors import (
    CheckpointError,
    DownloadError,
    HashMismatchError,
    MissingWeightsError,
    OptionError,
    UnsafeFolderError,
)
from napari_sam2.io import weights
from napari_sam2.io.safetensors_header import MAX_HEADER, read_header
from napari_sam2.io.weights import REGISTRY, WeightsEntry

CONTENT = b"PK\x03\x04 not really a checkpoint"


@pytest.fixture
def entry(monkeypatch):
    """An official checkpoint small enough for a test."""
    made = WeightsEntry(
        "sam2.1_tiny",
        "sam2.1_hiera_tiny.pt",
        "https://127.0.0.1/sam2.1_hiera_tiny.pt",
        len(CONTENT),
        hashlib.sha256(CONTENT).hexdigest(),
    )
    monkeypatch.setitem(REGISTRY, made.name, made)
    return made


def test_the_registry_holds_the_eight_official_checkpoints():
    assert len(REGISTRY) == 8
    for name, entry in REGISTRY.items():
        assert entry.name == name
        assert entry.url.startswith("https://")
        assert entry.url.endswith(entry.file_name)
        assert len(bytes.fromhex(entry.sha256)) == 32
    assert len({entry.sha256 for entry in REGISTRY.values()}) == 8


@pytest.mark.parametrize(
    ("name", "size", "digest"),
    [
        ("sam2_tiny", 155906050, "65b50056"),
        ("sam2_small", 184309650, "95949964"),
        ("sam2_base_plus", 323493298, "d0bb7f23"),
        ("sam2_large", 897952466, "7442e4e9"),
        ("sam2.1_tiny", 156008466, "7402e0d8"),
        ("sam2.1_small", 184416285, "6d1aa6f3"),
        ("sam2.1_base_plus", 323606802, "a2345aed"),
        ("sam2.1_large", 898083611, "2647878d"),
    ],
)
def test_sizes_and_hashes_are_those_of_the_files_that_were_published(name, size, digest):
    assert REGISTRY[name].size == size
    assert REGISTRY[name].sha256[:8] == digest


def test_the_registry_and_the_presets_name_the_same_models():
    config = pytest.importorskip("napari_sam2.model.config")
    assert set(weights.model_names()) == set(config.PRESETS)


def test_a_size_alone_means_the_newest_version():
    assert weights.entry_of("large") is REGISTRY["sam2.1_large"]


def test_weights_are_found_in_the_cache_folder_and_first_in_the_offline_one(
    home, tmp_path, monkeypatch, entry
):
    assert weights.find("tiny") is None
    cached = home / "weights" / entry.file_name
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT)
    assert weights.local_path("tiny") == cached
    offline = tmp_path / "shared" / entry.file_name
    offline.parent.mkdir()
    offline.write_bytes(CONTENT)
    monkeypatch.setenv("NAPARI_SAM2_WEIGHTS", str(offline.parent))
    assert weights.local_path("tiny") == offline


def test_missing_weights_say_how_to_get_them(home):
    with pytest.raises(MissingWeightsError) as failure:
        weights.local_path("tiny")
    assert "napari-sam2 models pull sam2.1_tiny" in str(failure.value)
    assert str(home / "weights") in str(failure.value)


def test_a_missing_embedded_model_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "_embedded_path", lambda: tmp_path / "nano.safetensors")
    with pytest.raises(MissingWeightsError, match="reinstall napari-sam2, or train it"):
        weights.local_path("nano")


def test_resolving_takes_names_and_files_and_lists_the_choices_for_anything_else(tmp_path):
    file = tmp_path / "mine.safetensors"
    file.write_bytes(b"")
    assert weights.resolve(file) == weights.resolve(str(file)) == file
    with pytest.raises(MissingWeightsError):
        weights.resolve("sam2_small")
    with pytest.raises(OptionError, match="choose one of nano, tiny, small"):
        weights.resolve("giant")


def test_the_hash_of_any_weights_is_that_of_their_file(tmp_path):
    (tmp_path / "mine.safetensors").write_bytes(CONTENT)
    expected = hashlib.sha256(CONTENT).hexdigest()
    assert weights.weights_sha256(tmp_path / "mine.safetensors") == expected
    assert len(weights.weights_sha256("nano")) == 64
    with pytest.raises(OptionError):
        weights.weights_sha256("giant")


def test_fetching_goes_through_the_checked_download(home, entry, monkeypatch):
    asked = []
    monkeypatch.setattr(
        weights, "download", lambda remote, target, **_: asked.append((remote, target))
    )
    weights.fetch("tiny")
    ((remote, target),) = asked
    assert (remote.url, remote.size, remote.sha256) == (entry.url, entry.size, entry.sha256)
    assert target == home / "weights" / entry.file_name


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_fetched(home, monkeypatch):
    def fail(folder):
        raise error

    monkeypatch.setattr(weights, "private_folder", fail)
    error = OSError(30, "Read-only file system")
    with pytest.raises(DownloadError, match=r"cannot be made: Read-only.*NAPARI_SAM2_HOME"):
        weights.fetch("tiny")
    error = UnsafeFolderError("others may write there", remedy="change that")
    with pytest.raises(UnsafeFolderError):
        weights.fetch("tiny")


def test_the_bytes_that_are_read_are_those_that_were_hashed(tmp_path, entry):
    path = tmp_path / entry.file_name
    path.write_bytes(CONTENT)
    with weights.open_verified(path, entry) as file:
        other = tmp_path / "other"
        other.write_bytes(b"evil")
        other.replace(path)
        assert file.read() == CONTENT


def test_a_wrong_hash_is_refused_with_both_hashes_whatever_the_name(tmp_path, entry):
    path, orders = tmp_path / entry.file_name, set()
    for number in range(8):
        content = CONTENT[:-1] + b"%d" % number
        found = hashlib.sha256(content).hexdigest()
        orders.add(found < entry.sha256)
        path.write_bytes(content)
        with pytest.raises(HashMismatchError) as failure:
            weights.open_verified(path, entry)
        assert entry.sha256 in str(failure.value)
        assert found in str(failure.value)
    assert orders == {True, False}


def test_a_pickle_that_is_not_in_the_registry_is_refused(tmp_path, entry):
    for number, content in enumerate((b"PK\x03\x04 other", CONTENT[:-1] + b"?", b"", b"\x80\x02.")):
        path = tmp_path / f"{number}.pt"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"models convert \d.pt"):
            weights.open_weights(path)


def test_an_official_checkpoint_is_known_by_its_content_under_any_name(tmp_path, entry):
    path = tmp_path / "renamed.bin"
    path.write_bytes(CONTENT)
    with weights.open_weights(path) as opened:
        assert (opened.kind, opened.entry) == ("official", entry)
        assert opened.file.read() == CONTENT


def test_safetensors_of_the_user_are_welcome(tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(save({"a": np.ones((2, 3), np.float32)}, metadata={"made": "here"}))
    with weights.open_weights(path) as opened:
        assert (opened.kind, opened.entry) == ("safetensors", None)
        header = read_header(opened.file)
    assert header.tensors["a"].shape == (2, 3)
    assert header.metadata == {"made": "here"}


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(MissingWeightsError, match="there is no weights file"):
        weights.open_weights(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="cannot be opened"):
        weights.open_weights(tmp_path)


def crafted(header, num_bytes=0, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(num_bytes)


def one(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"a": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


BROKEN = {
    "empty": b"",
    "seven bytes": b"\x00" * 7,
    "header beyond the file": crafted(one(), 8, length=1 << 62),
    "header cut": crafted(one(), 8)[:20],
    "not JSON": crafted(b"{nonsense"),
    "not UTF-8": crafted(b"{\xff}"),
    "a list": crafted(b"[]"),
    "nested too deep": crafted(b'{"a":' * 50_000),
    "name twice": crafted(b'{"a":1,"a":1}'),
    "tensor is text": crafted({"a": "b"}),
    "unknown type": crafted(one(dtype="F8"), 8),
    "type is a list": crafted({"a": {"dtype": [], "shape": [2], "data_offsets": [0, 8]}}, 8),
    "negative shape": crafted(one(shape=(-2,)), 8),
    "shape is a bool": crafted(one(shape=(True,), offsets=(0, 4)), 4),
    "overflowing shape": crafted(one(shape=(1 << 62, 1 << 62), offsets=(0, 8)), 8),
    "offsets reversed": crafted(one(offsets=(8, 0)), 8),
    "offsets beyond the file": crafted(one(shape=(1000,), offsets=(0, 4000)), 8),
    "gap": crafted(one(offsets=(4, 12)), 12),
    "bytes left over": crafted(one(), 100),
    "overlap": crafted(
        {
            "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
        },
        12,
    ),
    "metadata is a number": crafted({"__metadata__": {"a": 1}}),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_crafted_safetensors_header_is_refused(tmp_path, content):
    path = tmp_path / "crafted.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="the safetensors file"):
        weights.open_weights(path)


def test_a_huge_header_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 1 << 32))
        file.truncate((1 << 32) + 100)  # a hole: no disk is used
    with pytest.raises(CheckpointError, match=f"at most {MAX_HEADER}"):
        weights.open_weights(path)


def test_every_truncation_and_every_changed_header_byte_is_refused_or_read(tmp_path):
    whole = save({"a": np.arange(4, dtype=np.float32), "b": np.ones((1, 2), np.uint8)})
    path = tmp_path / "w.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            weights.open_weights(path)
    for position in range(len(whole) - 18):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x15]) + whole[position + 1 :])
        try:
            weights.open_weights(path).file.close()
        except CheckpointError:
            pass


@pytest.mark.parametrize("name", ["", "sam2.1", "nano", "sam3_large"])
def test_only_official_names_have_an_entry(name):
    with pytest.raises(OptionError, match="no official model") as caught:
        weights.entry_of(name)
    assert "sam2.1_tiny" in caught.value.remedy


@pytest.mark.parametrize("model", [5, None, 1.5, ["nano"]])
def test_what_is_no_name_and_no_path_is_no_model(model):
    with pytest.raises(OptionError, match="no model and no weights file"):
        weights.resolve(model)
