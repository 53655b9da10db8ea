"""Folders that only their owner may write to: whoever can put a file there could choose what is loaded or shown."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from napari_sam2.core.errors import UnsafeFolderError
from napari_sam2.io.folders import cache_folder


def private_folder(folder: Path) -> Path:
    """Return a folder of this person's, made if need be, that nobody else may write to.

    Folders that are made on the way, from the cache folder on, are for the owner alone (0700).

    Raises
    ------
    UnsafeFolderError
        It, or the cache folder that it lies in, belongs to somebody else, or others may write to it.
    OSError
        It cannot be made.
    """
    top = cache_folder()
    chain = [folder, *(parent for parent in folder.parents if parent.is_relative_to(top))]
    for place in reversed(chain):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_private(place)
    return folder


def require_private(folder: Path) -> None:
    """Refuse a folder that belongs to somebody else, or that others may write to; Windows has other rules."""
    if os.name == "nt":
        return
    facts = folder.stat()
    if facts.st_uid not in (os.geteuid(), 0):
        raise UnsafeFolderError(
            f"{folder} belongs to another user ({facts.st_uid}), who could exchange what lies in it",
            remedy="name a folder of your own with NAPARI_SAM2_HOME",
        )
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnsafeFolderError(
            f"others may write to {folder} (mode {stat.S_IMODE(facts.st_mode):o}), and exchange what lies in it",
            remedy=f"take that away with: chmod go-w '{folder}'; or name another with NAPARI_SAM2_HOME",
        )
