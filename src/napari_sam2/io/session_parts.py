"""What lies around a session: the image that it was made on, and the file of masks beside it."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.ids import ObjectId
from napari_sam2.core.placement import Placement
from napari_sam2.core.saved import Kept
from napari_sam2.core.sources import ImageSource
from napari_sam2.io.folders import with_home, without_home
from napari_sam2.io.generations import masks_of_previous
from napari_sam2.io.mask_records import read_masks, write_masks
from napari_sam2.io.session_models import MasksModel, SourceModel

logger = logging.getLogger(__name__)

MASKS_SUFFIX = ".masks"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """The image of a session. `level`: of a pyramid; `channels`: those that are seen as colours, () for none."""

    source: ImageSource
    level: int = 0
    channels: tuple[int, ...] = ()

    @property
    def path(self) -> str | None:
        """Where it was found, or would be looked for."""
        return self.source.path


# The image


def place_content(place: ImagePlace, folder: Path) -> dict[str, Any]:
    """Return what a session file in `folder` says about its image."""
    source = place.source
    content: dict[str, Any] = {"name": source.name, "kind": source.kind}
    if source.path is not None:
        content["path"] = _relative(source.path, folder)
        if not Path(source.path).is_relative_to(folder):
            content["absolute"] = without_home(source.path)
    if source.part is not None:
        content["part"] = source.part
    if place.level:
        content["level"] = place.level
    if place.channels:
        content["channels"] = place.channels
    placement = source.placement
    return {
        **content,
        "matrix": placement.matrix,
        "units": placement.units,
        "labels": placement.labels,
    }


def _relative(path: str, folder: Path) -> str | None:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return None


def place_of(model: SourceModel, folder: Path) -> ImagePlace:
    """Return the image of a session file in `folder`: where it lies from there, or else where it lay at the time."""
    placement = (
        Placement(model.matrix, model.units, model.labels) if model.matrix else Placement.plain(0)
    )
    path = _found(model, folder)
    source = ImageSource(
        model.name, placement, model.kind, None if path is None else str(path), model.part
    )
    return ImagePlace(source, model.level, model.channels)


def _found(model: SourceModel, folder: Path) -> Path | None:
    """Return the path that exists; the one that was saved if none does; None where there never was one."""
    candidates = [folder / model.path] if model.path and is_local(model.path) else []
    candidates += (
        [Path(with_home(model.absolute))] if model.absolute and is_local(model.absolute) else []
    )
    existing = [path for path in candidates if path.is_file() or path.is_dir()]
    if existing:
        return existing[0].resolve()
    return candidates[-1] if candidates else None


def is_local(path: str) -> bool:
    """Say whether a path leads to this computer's files: a file from elsewhere must not make us call a server."""
    is_share = path.replace("\\", "/").startswith("//")
    return not is_share and "://" not in path and "\0" not in path


# Masks


def write_kept(path: Path, kept: Kept) -> dict[str, Any]:
    """Write the masks of a session file `path` beside it, and return what the session file says about them.

    The name holds a part of the content's hash, so the masks of an earlier session file stay until it is replaced.
    """
    temporary = path.with_name(f".{secrets.token_hex(4)}.{_stem(path)}{MASKS_SUFFIX}")
    try:
        with temporary.open("xb") as file:
            write_masks(file, kept.masks)
            file.flush()
            os.fsync(file.fileno())
        sha256 = _hash(temporary)
        final = path.with_name(f"{_stem(path)}.{sha256[:12]}{MASKS_SUFFIX}")
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
    ranks = sorted((int(key), rank) for key, rank in kept.ranks.items())
    return {"file": final.name, "sha256": sha256, "ranks": ranks}


def remove_older_masks(path: Path, current: str | None) -> None:
    """Remove files of masks that belonged to earlier versions of a session file, but the one before."""
    needed = masks_of_previous(path)
    for other in path.parent.glob(f"{escape(_stem(path))}.????????????{MASKS_SUFFIX}"):
        if other.name != current and other.name not in needed:
            other.unlink(missing_ok=True)


def read_kept(path: Path, model: MasksModel, shape: tuple[int, int]) -> tuple[Kept | None, str]:
    """Return the masks that belong to a session file, or None and a sentence why they are not there."""
    file = path.with_name(model.file)
    if not file.is_file():
        return None, f"the masks of {path.name} ({file.name}) are not beside it"
    try:
        if _hash(file) != model.sha256:
            return None, f"the masks of {path.name} ({file.name}) are damaged"
        masks = tuple(read_masks(file, shape))
    except (OSError, FileFormatError) as error:
        return None, f"the masks of {path.name} cannot be read: {error}"
    return Kept(masks, {ObjectId(key): rank for key, rank in model.ranks}), ""


def _stem(path: Path) -> str:
    return path.name.removesuffix(".json")


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
