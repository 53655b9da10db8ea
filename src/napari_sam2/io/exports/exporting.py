"""Write a result in the format that its name, or a person, asks for; it appears whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from napari_sam2.core.errors import FileFormatError, FrameReadError, NapariSam2Error
from napari_sam2.core.results import LabelResult
from napari_sam2.io.atomic import replacing, replacing_folder
from napari_sam2.io.exports.coco import write_coco
from napari_sam2.io.exports.ctc import write_ctc
from napari_sam2.io.exports.davis import write_davis
from napari_sam2.io.exports.dicom_seg import write_dicom_seg
from napari_sam2.io.exports.nifti import write_nifti
from napari_sam2.io.exports.ome_zarr import write_ome_zarr
from napari_sam2.io.exports.table import write_table
from napari_sam2.io.exports.tiff import write_tiff


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a result. `suffixes`: of names, the first one is usual; none for a folder of its own name."""

    title: str
    suffixes: tuple[str, ...]
    write: Callable[[Path, LabelResult], None]
    is_folder: bool = False


FORMATS: dict[str, Format] = {
    "tiff": Format("TIFF", (".tif", ".tiff"), write_tiff),
    "ome-zarr": Format("OME-Zarr", (".ome.zarr", ".zarr"), write_ome_zarr, is_folder=True),
    "nifti": Format("NIfTI", (".nii.gz", ".nii"), write_nifti),
    "dicom-seg": Format("DICOM segmentation", (".dcm",), write_dicom_seg),
    "coco": Format("COCO", (".json",), write_coco),
    "csv": Format("Measurements", (".csv",), write_table),
    "ctc": Format("Cell Tracking Challenge folder", (), write_ctc, is_folder=True),
    "davis": Format("DAVIS folder", (), write_davis, is_folder=True),
}
"""All formats by name."""


def format_of(path: str | Path, format: str | None = None) -> str:
    """Return the name of the format of a path: the one that is asked for, or else by its ending.

    Raises
    ------
    FileFormatError
        If there is no such format, or the ending is that of none or of another one.
    """
    name = Path(path).name.lower()
    if format is not None:
        if format not in FORMATS:
            raise FileFormatError(
                f"there is no format '{format}'",
                remedy=f"there are: {', '.join(FORMATS)}",
                kept="no file was written",
            )
        suffixes = FORMATS[format].suffixes
        if suffixes and not name.endswith(suffixes):
            raise FileFormatError(
                f"a file of format '{format}' ends in {' or '.join(suffixes)}, but the name given is {Path(path).name}",
                kept="no file was written",
            )
        return format
    for key, known in FORMATS.items():
        if known.suffixes and name.endswith(known.suffixes):
            return key
    raise FileFormatError(
        f"labels cannot be written to a file called {Path(path).name}",
        remedy=f"end it in {', '.join(_endings())}, or choose one of the formats that are folders: ctc, davis",
        kept="no file was written",
    )


def _endings() -> Iterable[str]:
    return (suffix for known in FORMATS.values() for suffix in known.suffixes)


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
        Whether something there may be replaced.
    inputs : iterable of str or Path
        What is read from; it is never replaced.

    Raises
    ------
    FileFormatError
        If something is there, or the name is that of no format.
    FrameReadError
        If its folder is not there.
    """
    path = Path(path).expanduser()
    chosen = FORMATS[format_of(path, format)]
    if not path.parent.is_dir():
        raise FrameReadError(
            f"there is no folder {path.parent}", remedy="make it first", kept="no file was written"
        )
    if any(_is_same(path, Path(given)) for given in inputs):
        raise FileFormatError(
            f"{path} is what is read from", remedy="give another name", kept="it was left alone"
        )
    if path.exists() and not overwrite:
        raise FileFormatError(
            f"{path} exists", remedy="give another name, or --overwrite", kept="it was left alone"
        )
    if path.exists() and path.is_dir() != chosen.is_folder:
        raise FileFormatError(
            f"{path} is a {'folder' if path.is_dir() else 'file'}, which this format cannot replace",
            remedy="give another name",
            kept="it was left alone",
        )
    return path


def _is_same(path: Path, other: Path) -> bool:
    """Say whether two paths lead to one file, also through a link; a folder holds its files."""
    if not path.exists() or not other.exists():
        return False
    return path.samefile(other) or (other.is_dir() and path.parent.samefile(other))


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
        Whether a file or folder there may be replaced.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    FileFormatError, FrameReadError, LabelsError
        If it cannot be written there, or not in this format; what was there before is as it was.
    """
    name = format_of(path, format)
    inputs = () if result.source.path is None else (result.source.path,)
    path = check_target(path, format, overwrite=overwrite, inputs=inputs)
    chosen = FORMATS[name]
    place = replacing_folder if chosen.is_folder else replacing
    try:
        with place(path) as temporary:
            chosen.write(temporary, result)
    except NapariSam2Error:
        raise
    except OSError as error:
        raise FrameReadError(
            f"{path} cannot be written: {error.strerror or error}",
            kept="what was there before is as it was",
        ) from error
    return path
