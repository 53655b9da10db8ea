"""NIfTI: voxel for voxel where the image has them, with the image's own header if it came from NIfTI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.core.errors import LabelsError
from napari_sam2.core.results import LabelResult
from napari_sam2.core.sources import ImageSource
from napari_sam2.io.images.opened import library

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_TYPES = (np.uint8, np.uint16, np.uint32)


def check_nifti(source: ImageSource) -> None:
    """Refuse to begin without the library."""
    library("nibabel", "nifti", Path(f"NIfTI of {source.name}"))


def write_nifti(path: Path, result: LabelResult) -> None:
    """Write the labels with their axes reversed, (x, y, z, t), as NIfTI counts."""
    nibabel = library("nibabel", "nifti", path)
    if len(result.shape) > 4:
        raise LabelsError(
            f"NIfTI has at most 4 axes here, the labels have {len(result.shape)}",
            remedy="choose OME-Zarr or TIFF for it",
        )
    array = result.array().T
    array = array.astype(_smallest(array), copy=False)
    header = _header_of_source(nibabel, result)
    affine = _affine(result)
    if header is None:
        image = nibabel.Nifti1Image(array, affine)
        has_unit = result.source.placement.metres(result.view.column_axis) is not None
        image.header.set_xyzt_units("mm" if has_unit else "unknown", "sec")
        image.set_sform(affine, code=2 if result.source.kind == "dicom" else 1)
        image.set_qform(affine, code=0)
    else:
        image = _like_source(nibabel, array, affine, header)
    if array.ndim == 4:
        zooms = list(image.header.get_zooms())
        image.header.set_zooms([*zooms[:3], result.placement.spacing[0]])
    image.header["descrip"] = b"labels by napari-sam2; research use only"
    nibabel.save(image, path)


def _smallest(array: np.ndarray) -> type:
    highest = int(array.max(initial=0))
    return next(kind for kind in _TYPES if highest <= np.iinfo(kind).max)


def _header_of_source(nibabel: Any, result: LabelResult) -> Any:
    path = result.source.path
    if result.source.kind != "nifti" or path is None or not Path(path).is_file():
        return None
    return nibabel.load(path).header


def _like_source(nibabel: Any, array: np.ndarray, affine: np.ndarray, header: Any) -> Any:
    """Return an image with the header of the source, and codes and forms as they are there."""
    header = header.copy()
    header.set_data_dtype(array.dtype)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0
    image = nibabel.Nifti1Image(array, affine, header)
    for form in ("sform", "qform"):
        matrix, code = getattr(header, f"get_{form}")(coded=True)
        if code:
            getattr(image, f"set_{form}")(matrix, int(code))
        else:
            getattr(image, f"set_{form}")(None, 0)
    return image


def _affine(result: LabelResult) -> np.ndarray:
    """Return the map from (x, y, z) to right, anterior, superior, in millimetres if units are known."""
    placement = result.placement
    spatial = [
        number for number, label in enumerate(result.labels_of_axes) if label != "t"
    ] or list(range(placement.ndim))
    order = spatial[::-1][:3]
    matrix = placement.as_array()
    size = len(order)
    affine = np.eye(4)
    affine[:size, :size] = matrix[np.ix_(order, order)]
    affine[:size, 3] = matrix[order, -1]
    # Rows are in the units of their own axes of the world, which may differ.
    affine[:size] *= np.array([[_scale(result, result.axes[number])] for number in order])
    return _LPS_TO_RAS @ affine if result.source.kind == "dicom" else affine


def _scale(result: LabelResult, axis: int) -> float:
    """Return the length of the unit of an axis in millimetres; where it has none, that of columns, or else 1."""
    placement = result.source.placement
    metres = placement.metres(axis) or placement.metres(result.view.column_axis)
    return 1.0 if metres is None else metres / 1e-3
