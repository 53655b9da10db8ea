"""All formats that a result can be written in, and which one a name means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.results import LabelResult
from napari_sam2.core.sources import ImageSource
from napari_sam2.io.exports.coco import write_coco
from napari_sam2.io.exports.ctc import is_ctc, write_ctc
from napari_sam2.io.exports.davis import is_davis, write_davis
from napari_sam2.io.exports.dicom_seg import check_dicom_seg, write_dicom_seg
from napari_sam2.io.exports.nifti import check_nifti, write_nifti
from napari_sam2.io.exports.ome_zarr import is_label_zarr, write_ome_zarr
from napari_sam2.io.exports.table import write_table
from napari_sam2.io.exports.tiff import write_tiff


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a result.

    Attributes
    ----------
    title : str
        What a person calls it.
    suffixes : tuple of str
        Of names, the first one is usual; none for a folder of its own name.
    write : callable
        Takes a path and the result.
    is_folder : bool
        Whether it writes a folder.
    is_own : callable, optional
        Whether a folder holds nothing but an earlier result in this format.
    check : callable, optional
        Refuses an image whose labels it cannot hold.
    """

    title: str
    suffixes: tuple[str, ...]
    write: Callable[[Path, LabelResult], None]
    is_folder: bool = False
    is_own: Callable[[Path], bool] | None = None
    check: Callable[[ImageSource], None] | None = None


FORMATS: dict[str, Format] = {
    "tiff": Format("TIFF", (".tif", ".tiff"), write_tiff),
    "ome-zarr": Format("OME-Zarr", (".ome.zarr", ".zarr"), write_ome_zarr, True, is_label_zarr),
    "nifti": Format("NIfTI", (".nii.gz", ".nii"), write_nifti, check=check_nifti),
    "dicom-seg": Format("DICOM segmentation", (".dcm",), write_dicom_seg, check=check_dicom_seg),
    "coco": Format("COCO", (".json",), write_coco),
    "csv": Format("Measurements", (".csv",), write_table),
    "ctc": Format("Cell Tracking Challenge folder", (), write_ctc, True, is_ctc),
    "davis": Format("DAVIS folder", (), write_davis, True, is_davis),
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
                remedy="change the name or the format",
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
