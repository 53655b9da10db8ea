"""Damaged files by the thousand: each is read or refused with an error of ours, and none takes a second.

A few hundred by default; ten thousand and more with ``HYPOTHESIS_PROFILE=full``.
"""

from __future__ import annotations

import io
import json
import logging
import os
import time
import warnings
import zlib

import numpy as np
import pytest
from safetensors.numpy import save
from tests.random_histories import is_full
from tests.security import crafted, crafted_images, crafted_sessions
from tests.security.mutating import mutated

from napari_sam2.core.errors import NapariSam2Error
from napari_sam2.io.checkpoint_scan import scan
from napari_sam2.io.images import open_frames
from napari_sam2.io.mask_records import read_masks
from napari_sam2.io.safetensors_header import read_header
from napari_sam2.io.sessions import read_session
from napari_sam2.io.weights import open_weights

SLOW = 1.0
"""Seconds of processor time: the machine may have other things to do."""

ROOM = 256 << 20


def read_image(path):
    frames = open_frames(path)
    for number in range(min(len(frames), 2)):
        frames.read(number)


def read_zarr(path):
    """Read the zarr that a file of metadata lies in; not from thousands of chunks, each of which takes 0.2 ms."""
    frames = open_frames(path.parent)
    if frames.shape[0] * frames.shape[1] < 20_000:
        for number in range(min(len(frames), 2)):
            frames.read(number)


def read_weights(path):
    with open_weights(path) as opened:
        read_header(opened.file)


def read_checkpoint(path):
    with path.open("rb") as file:
        scan(file)


def read_pickle_of(path):
    scan(io.BytesIO(crafted.archive(path.read_bytes())))


def read_records(path):
    read_masks(path, (8, 9))


SESSION = {
    **crafted_sessions.HONEST,
    "options": {"fill_holes": 8},
    "log": ["session.add_points(1, 0, [(1.0, 2.0)], labels=[1])", "run = session.propagate()"],
    "source": {
        "name": "a.tif", "path": "../a.tif", "absolute": "/data/a.tif", "kind": "tiff",
        "matrix": [[1.0, 0.0], [0.0, 1.0]], "units": ["um"], "labels": ["y"],
    },
    "fingerprint": {"frames": [0], "hashes": ["0" * 32]},
    "locks": [{"object": 1, "frame": 0, "tracked": False}],
}  # fmt: skip

LABELS = crafted_sessions.existing([zlib.compress(bytes(72))] * 2)
ZARR_2 = json.dumps({**crafted_images.V2, "compressor": {"id": "zlib"}}).encode()
ZARR_3 = json.dumps(crafted_images.V3).encode()
NPY = crafted_images.npy(
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 8, 9)}\n", bytes(144)
)
TENSORS = save({"a": np.ones((2, 3), np.float32), "b": np.zeros(2, np.float16)})

KINDS = {
    # what reads it, name of the file, honest content, mutations by default and in full
    "sessions": (read_session, "x.sam2.json", json.dumps(SESSION).encode(), 150, 3000),
    "labels in sessions": (read_session, "x.sam2.json", LABELS, 40, 500),
    "masks": (read_records, "m.masks", crafted_sessions.MASKS_HONEST, 100, 1000),
    "zarr 2": (read_zarr, "a.zarr/.zarray", ZARR_2, 60, 1500),
    "zarr 3": (read_zarr, "a.zarr/zarr.json", ZARR_3, 60, 1500),
    "NIfTI": (read_image, "a.nii", crafted_images.nifti(), 60, 1000),
    "NRRD": (read_image, "a.nrrd", crafted_images.nrrd(), 60, 1000),
    "npy": (read_image, "a.npy", NPY, 40, 500),
    "TIFF": (read_image, "a.tif", crafted_images.tiff(), 60, 1000),
    "safetensors": (read_weights, "w.safetensors", TENSORS, 150, 2000),
    "checkpoints": (read_checkpoint, "w.pt", crafted.archive(), 150, 2000),
    "pickles in checkpoints": (read_pickle_of, "w.pkl", crafted.HONEST, 150, 2000),
}

CHUNKS = {
    "zarr 2": dict.fromkeys(("0.0.0", "1.0.0"), zlib.compress(bytes(72))),
    "zarr 3": dict.fromkeys(("c/0/0/0", "c/1/0/0"), bytes(72)),
}


def test_there_are_ten_thousand_in_full():
    assert sum(full for *_, full in KINDS.values()) >= 10_000


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_becomes_of_a_file_it_is_read_or_refused_in_time(tmp_path, caplog, kind):
    read, name, honest, few, full = KINDS[kind]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    for chunk, content in CHUNKS.get(kind, {}).items():
        (path.parent / chunk).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / chunk).write_bytes(content)
    path.write_bytes(honest)
    caplog.set_level(logging.CRITICAL)  # libraries have much to say about damaged files
    assert not attempt(read, path)  # what is imported and made once is not counted
    before, refused = memory(), 0
    for seed in range(full if is_full() else few):
        path.write_bytes(mutated(honest, seed))
        begin = time.process_time()
        refused += attempt(read, path, seed)
        assert time.process_time() - begin < SLOW, f"seed {seed} takes long"
    assert refused > 0
    assert memory() - before < ROOM


def attempt(read, path, seed=None):
    """Say whether a file is refused; anything but that and being read fails, and tells the seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read(path)
        except NapariSam2Error as error:
            assert not isinstance(error.__cause__, MemoryError), f"seed {seed}"  # noqa: PT017
            return True
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    return False


def memory():
    """Return the memory that this process holds, bytes; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
