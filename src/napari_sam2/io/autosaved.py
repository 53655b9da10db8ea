"""Sessions that were saved by themselves, as files: what is in one, and how it goes without being lost."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sam2.core.errors import FileFormatError
from napari_sam2.io.generations import is_previous, previous_of, remove_previous
from napari_sam2.io.holding import left_by, lock_of
from napari_sam2.io.journal import KIND as JOURNAL
from napari_sam2.io.journal import journal_of
from napari_sam2.io.mask_records import KIND as MASKS
from napari_sam2.io.record_format import Kind, read_records
from napari_sam2.io.session_parts import mask_files, remove_older_masks

ASIDE = "discarded"
"""Folder, beside the sessions, of those that a person did not want."""

NUM_ASIDE = 3
"""Sessions in it that are kept; older ones are removed."""

_MAX_LOOKED_AT = 16 << 20
"""Bytes of a file that is looked into for a summary; nobody waits for that of a larger one."""

_PLACE = struct.Struct("<II")  # how a mask record begins: object, frame
_FRAME = struct.Struct("<cqII")  # how a frame of a journal begins: b"F", run, results, frame


@dataclass(frozen=True, slots=True)
class Summary:
    """What a saved session has: `objects` and `frames` with a mask or prompt, None where that would take long.

    `was_cut_off`: the program that worked on it ended without closing it.
    """

    objects: int | None
    frames: int | None
    was_cut_off: bool

    def __str__(self) -> str:
        told = [
            f"{count} {noun}{'s' * (count != 1)}"
            for count, noun in ((self.objects, "object"), (self.frames, "frame"))
            if count is not None
        ]
        return ", ".join(told)


def summary_of(path: Path) -> Summary:
    """Look what is in a saved session, quickly; damage is no error here."""
    was_cut_off = left_by(path) is not None or journal_of(path).exists()
    content = _content(path)
    if content is None:
        return Summary(None, None, was_cut_off)
    prompts = [item for item in content.get("prompts", ()) if isinstance(item, dict)]
    objects = {item.get("object") for item in prompts}
    frames = {item.get("frame") for item in prompts}
    for file in mask_files(path):
        frames.update(_PLACE.unpack_from(text)[1] for text in _records(file, MASKS, _PLACE.size))
    for text in _records(journal_of(path), JOURNAL, _FRAME.size):
        if text[:1] == b"F":
            frames.add(_FRAME.unpack_from(text)[3])
    return Summary(len(objects), len(frames), was_cut_off)


def _content(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > _MAX_LOOKED_AT:
            return None
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _records(path: Path, kind: Kind, at_least: int) -> Iterator[bytes]:
    try:
        is_large = path.stat().st_size > 4 * _MAX_LOOKED_AT
        records = [] if is_large else read_records(path, kind)[1]
    except (OSError, FileFormatError):
        return iter(())
    return (content for _, content in records if len(content) >= at_least)


def remove_session(path: Path) -> None:
    """Remove a saved session with its masks and journal; nothing happens if there is none."""
    if path.exists():
        path.unlink()
        remove_previous(path)
        remove_older_masks(path, None)
    for other in (journal_of(path), lock_of(path)):
        other.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Move a session that is not wanted, with its masks and journal, to where a few of them are kept; return its path.

    The session file goes last: one that is offered has its masks, until it is offered no more.
    """
    folder = path.parent / ASIDE
    folder.mkdir(exist_ok=True)
    for file in (*mask_files(path), previous_of(path), journal_of(path), path):
        if file.exists():
            os.replace(file, folder / file.name)
    lock_of(path).unlink(missing_ok=True)
    sessions = (item for item in folder.glob("*.json") if not is_previous(item))
    kept = sorted(sessions, key=lambda item: item.stat().st_mtime, reverse=True)
    for older in kept[NUM_ASIDE:]:
        with suppress(OSError):
            remove_session(older)
    return folder / path.name
