"""Where embeddings are kept by default, how many, and the one store that a process has for a folder."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

from napari_sam2.core.errors import OptionError
from napari_sam2.io.embedding_cache import DiskEmbeddings, problem_of
from napari_sam2.io.folders import embeddings_folder

MAX_QUOTA = 20 * 10**9
"""Bytes: 1,200 frames of an official model."""

PART_OF_DISK = 0.1
"""Of what is free on the disk, what is kept already counted as free."""

EmbeddingCache = bool | str | os.PathLike[str] | None
"""What users say: a folder, True for the usual one, False for none, None for the usual one where it pays."""

_open: dict[Path, DiskEmbeddings] = {}
_lock = threading.Lock()


def embeddings_for(choice: EmbeddingCache, *, pays: bool) -> DiskEmbeddings | None:
    """Return the store that `choice` means, or None if there is to be none.

    Parameters
    ----------
    choice : bool, path or None
        See `EmbeddingCache`.
    pays : bool
        Whether reading is faster than encoding, for this model on this device.

    Raises
    ------
    OptionError
        If a folder that was named cannot be used. The usual folder is given up with a warning instead.
    """
    if choice is False or (choice is None and not pays):
        return None
    if choice is None or choice is True:
        return store_of(embeddings_folder())
    folder = Path(choice).expanduser().absolute()
    _check(folder)
    return store_of(folder)


def store_of(folder: Path) -> DiskEmbeddings:
    """Return this process's store of a folder: it counts what is written, and warns once."""
    with _lock:
        if folder not in _open:
            store = DiskEmbeddings(folder, MAX_QUOTA)
            store.quota = quota_of(store)
            _open[folder] = store
        return _open[folder]


def quota_of(store: DiskEmbeddings) -> int:
    """Return how many bytes may be kept: `MAX_QUOTA`, or less on a disk that is nearly full."""
    place = store.folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = shutil.disk_usage(place).free + sum(entry.size for entry in store.entries())
    except (OSError, ValueError):  # whoever uses the folder is told
        return MAX_QUOTA
    return min(MAX_QUOTA, int(free * PART_OF_DISK))


def _check(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        problem: object = problem_of(folder)
    except (OSError, ValueError) as error:
        problem = error
    if problem is not None:
        raise OptionError(
            f"encoded frames cannot be kept in {folder}: {problem}",
            remedy="name another folder, or leave embedding_cache out",
        )
