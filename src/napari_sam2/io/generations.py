"""The version of a session file before the present one: kept beside it, so that damage never costs everything."""

from __future__ import annotations

import logging
import os
import re
import shutil
from pathlib import Path

from napari_sam2.core.errors import FileFormatError
from napari_sam2.io.atomic import unfinished
from napari_sam2.io.json_files import read_json

logger = logging.getLogger(__name__)

MARK = ".previous"

_LOOKED_AT = 16 << 20
"""Bytes up to which a file is read before it becomes the previous version: reading more would hold up a save."""

_MASKS = re.compile(rb'"([^"/\\]{1,255}\.masks)"')


def previous_of(path: Path) -> Path:
    """Return the name of the version before: ``x.previous.sam2.json`` for ``x.sam2.json``."""
    ending = next((end for end in (".sam2.json", ".json") if path.name.endswith(end)), "")
    return path.with_name(f"{path.name.removesuffix(ending)}{MARK}{ending}")


def is_previous(path: Path) -> bool:
    """Say whether a name is that of a version before."""
    return f"{MARK}." in path.name


def keep_previous(path: Path) -> None:
    """Let what stands at `path` now be the previous version, too; `path` itself stays as it is.

    A damaged file takes nobody's place. If it cannot be kept, that is logged: the new version is worth more.
    """
    if not path.is_file() or not _is_whole(path):
        return
    previous = previous_of(path)
    temporary = unfinished(previous)
    try:
        try:
            os.link(path, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, temporary)
        os.replace(temporary, previous)
        temporary.unlink(missing_ok=True)  # both were one file already, and renaming did nothing
    except OSError as error:
        logger.warning("the version of %s before cannot be kept: %s", path.name, error.strerror)
        temporary.unlink(missing_ok=True)


def masks_of_previous(path: Path) -> set[str]:
    """Return the names of the files of masks that the previous version of a session file needs."""
    try:
        return {match.decode() for match in _MASKS.findall(previous_of(path).read_bytes())}
    except (OSError, UnicodeDecodeError):
        return set()


def advice(path: Path) -> str:
    """Return what to do about a damaged file, as far as its previous version helps; "" if there is none."""
    previous = previous_of(path)
    return f"open the version before it, {previous.name}" if previous.is_file() else ""


def remove_previous(path: Path) -> None:
    """Remove the version before, if there is one."""
    previous_of(path).unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    if path.stat().st_size > _LOOKED_AT:
        return True
    try:
        _, content = read_json(path, _LOOKED_AT)
    except FileFormatError:
        return False
    return isinstance(content, dict) and "schema" in content
