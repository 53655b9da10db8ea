"""ImageSource: where an image came from, and what that says about its axes; travels with it to every export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_sam2.core.placement import Placement

SourceKind = Literal[
    "array",
    "tiff",
    "zarr",
    "ome-zarr",
    "npy",
    "npz",
    "picture",
    "folder",
    "nifti",
    "dicom",
    "nrrd",
    "video",
]


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image as it was found.

    Attributes
    ----------
    name : str
        What messages and file names call it.
    placement : Placement
        Of all its axes, colours not counted.
    kind : str
        Format of the file; "array" for one in memory.
    path : str or None
        The file or folder, absolute; None for an array in memory.
    part : str or None
        Which part of it, where it holds several: the SeriesInstanceUID of a DICOM series.
    """

    name: str
    placement: Placement
    kind: SourceKind = "array"
    path: str | None = None
    part: str | None = None

    @property
    def is_medical(self) -> bool:
        """Whether it comes in a format of medical imaging, so that a notice is due."""
        return self.kind in ("nifti", "dicom")
