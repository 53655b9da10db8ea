"""Write a result in the format that its name, or a person, asks for; it appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

from napari_sam2.core.results import LabelResult
from napari_sam2.io.atomic import replacing, replacing_folder
from napari_sam2.io.exports.formats import FORMATS, format_of
from napari_sam2.io.exports.targets import check_suits, check_target
from napari_sam2.io.failures import storing


def export(
    result: LabelResult, path: str | Path, format: str | None = None, *, overwrite: bool = False
) -> Path:
    """Write a result.

    Parameters
    ----------
    result : LabelResult
        What to write.
    path : str or Path
        Its ending says the format, unless `format` does.
    format : str, optional
        One of `FORMATS`.
    overwrite : bool
        Whether a file there, or an earlier result in the same format, may be replaced.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    FileFormatError, LabelsError, StorageError
        If it cannot be written there, or not in this format; what was there before is as it was.
    """
    name = format_of(path, format)
    inputs = () if result.source.path is None else (result.source.path,)
    path = check_target(path, format, overwrite=overwrite, inputs=inputs)
    check_suits(path, format, result.source)
    chosen = FORMATS[name]
    place = replacing_folder if chosen.is_folder else replacing
    with storing(path, "what was there before is as it was"), place(path) as temporary:
        chosen.write(temporary, result)
    return path
