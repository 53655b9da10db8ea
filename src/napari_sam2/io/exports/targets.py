"""Where a result may be written: nothing of a person's is lost, and what cannot work is refused before work begins."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from napari_sam2.core.errors import FileFormatError, StorageError
from napari_sam2.core.sources import ImageSource
from napari_sam2.io.exports.formats import FORMATS, Format, format_of

_LONGEST = 230
"""Bytes of a name; most file systems take 255, and while it is written it is longer."""

_LONGEST_PATH = 4000
"""Bytes of a whole path; Linux takes 4096, others less, which the system itself then says."""


def check_target(
    path: str | Path,
    format: str | None = None,
    *,
    overwrite: bool = False,
    inputs: Iterable[str | Path] = (),
) -> Path:
    """Refuse a place that cannot be written to, before hours are spent; return it.

    Parameters
    ----------
    path : str or Path
        The file or folder to write.
    format : str, optional
        See `format_of`.
    overwrite : bool
        Whether something there may be replaced; of folders, only an earlier result in the same format.
    inputs : iterable of str or Path
        What is read from; it is never replaced, and nothing is written into its folder.

    Raises
    ------
    FileFormatError
        If something is there, or the name is that of no format.
    StorageError
        If its folder is not there, or may not be written to.
    """
    path = Path(path).expanduser()
    chosen = FORMATS[format_of(path, format)]
    _check_place(path)
    for given in inputs:
        check_apart(path, Path(given).expanduser())
    if path.exists():
        _check_replaceable(path, chosen, overwrite)
    return path


def check_suits(path: str | Path, format: str | None, source: ImageSource) -> None:
    """Refuse a format that cannot hold labels of an image, or whose library is missing.

    Raises
    ------
    FileFormatError
        If so.
    """
    check = FORMATS[format_of(path, format)].check
    if check is not None:
        check(source)


def _check_place(path: Path) -> None:
    if "\0" in str(path) or len(os.fsencode(path.name)) > _LONGEST:
        raise FileFormatError(
            f"no file can be called {path.name[:40]!r}… ({len(path.name)} characters)",
            remedy="give a shorter name of letters and digits",
            kept="no file was written",
        )
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise FileFormatError(
            f"the path that ends in {path.name[:40]!r} has {len(str(path))} characters",
            remedy=f"give one of at most {_LONGEST_PATH}",
            kept="no file was written",
        )
    if not os.path.isdir(path.parent):
        raise StorageError(
            f"there is no folder {path.parent}", remedy="make it first", kept="no file was written"
        )
    if not os.access(path.parent, os.W_OK):
        raise StorageError(
            f"folder {path.parent} may not be written to",
            remedy="choose another folder, or change its permissions",
            kept="no file was written",
        )


def check_apart(path: Path, given: Path) -> None:
    """Refuse the image itself, a place inside its folder, and a folder that it lies in."""
    target, image = path.resolve(), given.resolve()
    is_same = path.exists() and given.exists() and path.samefile(given)  # hard links, too
    if is_same or target == image:
        what = f"{path} is what is read from"
    elif image.is_dir() and image in target.parents:
        what = f"{path} lies in {given}, which is what is read from"
    elif target in image.parents:
        what = f"{path} holds {given.name}, which is what is read from"
    else:
        return
    raise FileFormatError(what, remedy="give another name", kept="it was left alone")


def _check_replaceable(path: Path, chosen: Format, overwrite: bool) -> None:
    if not overwrite:
        raise FileFormatError(
            f"{path} exists", remedy="give another name, or --overwrite", kept="it was left alone"
        )
    if path.is_dir() != chosen.is_folder:
        raise FileFormatError(
            f"{path} is a {'folder' if path.is_dir() else 'file'}, which this format cannot replace",
            remedy="give another name",
            kept="it was left alone",
        )
    if chosen.is_own is not None and not chosen.is_own(path):
        raise FileFormatError(
            f"folder {path} holds other things than an earlier result ({chosen.title})",
            remedy="give the name of a new folder",
            kept="it was left alone",
        )
