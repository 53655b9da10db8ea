"""What lies around a session: the image that it was made on, and the file of masks beside it."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.ids import ObjectId
from napari_sam2.core.placement import Placement
from napari_sam2.core.saved import Kept
from napari_sam2.core.sources import ImageSource
from napari_sam2.io.atomic import put_in_place, unfinished
from napari_sam2.io.folders import with_home, without_home
from napari_sam2.io.generations import masks_of_previous
from napari_sam2.io.mask_records import FoundMasks, read_masks, write_masks
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
    name = f"{_stem(path)}{MASKS_SUFFIX}"
    temporary = unfinished(path.with_name(name))
    try:
        with temporary.open("xb") as file:
            generation = write_masks(file, kept.masks)
            file.flush()
            os.fsync(file.fileno())
        sha256 = _hash(temporary)
        final = path.with_name(f"{_stem(path)}.{sha256[:12]}{MASKS_SUFFIX}")
        put_in_place(temporary, final)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    ranks = sorted((int(key), rank) for key, rank in kept.ranks.items())
    return {
        "file": final.name,
        "sha256": sha256,
        "ranks": ranks,
        "id": generation.hex(),
        "count": len(kept.masks),
    }


def mask_files(path: Path) -> list[Path]:
    """Return all files of masks that belong, or belonged, to a session file."""
    return list(path.parent.glob(f"{escape(_stem(path))}.????????????{MASKS_SUFFIX}"))


def remove_older_masks(path: Path, current: str | None) -> None:
    """Remove files of masks of earlier versions of a session file, but the one before; one that stays does no harm."""
    needed = masks_of_previous(path)
    for other in mask_files(path):
        if other.name != current and other.name not in needed:
            with suppress(OSError):
                other.unlink(missing_ok=True)


def read_kept(path: Path, model: MasksModel, shape: tuple[int, int]) -> tuple[Kept | None, str]:
    """Return the masks that belong to a session file, and a sentence about those that are not there any more.

    None if there are none, or if the file is not the one that was written with the session file.
    """
    file = path.with_name(model.file)
    if not file.is_file():
        return None, f"the masks of {path.name} ({file.name}) are not beside it"
    try:
        is_whole = _hash(file) == model.sha256
        found = read_masks(file, shape)
    except (OSError, FileFormatError) as error:
        why = error.strerror if isinstance(error, OSError) else error.what
        return None, f"the masks of {path.name} cannot be read: {why}"
    if not (is_whole or _is_known(found, model)):
        return None, f"the masks of {path.name} ({file.name}) are damaged"
    kept = Kept(found.masks, {ObjectId(key): rank for key, rank in model.ranks})
    return kept, "" if is_whole else _losses(path, file, found, model)


def _is_known(found: FoundMasks, model: MasksModel) -> bool:
    """Say whether a damaged file is the one that a session file means: by its header, or by its name without one."""
    if model.id is None or not found.masks:
        return False
    return found.generation is None or found.generation.hex() == model.id


def _losses(path: Path, file: Path, found: FoundMasks, model: MasksModel) -> str:
    lost = max((model.count or 0) - len(found.masks), 0)
    if not lost:
        logger.warning("%s is damaged in a place that holds no mask", file.name)
        return ""
    return (
        f"{lost} of the {model.count} masks of {path.name} ({file.name}) are damaged and left out"
    )


def _stem(path: Path) -> str:
    return path.name.removesuffix(".json")


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
