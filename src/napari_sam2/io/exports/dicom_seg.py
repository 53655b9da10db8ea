"""DICOM segmentation: the objects as segments on the very images of the series."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.core.errors import FileFormatError, LabelsError
from napari_sam2.core.results import LabelResult
from napari_sam2.core.sources import ImageSource
from napari_sam2.io.images.dicom import ordered_slices, read_series
from napari_sam2.io.images.opened import library

_MOST = 65_535
"""Segments of a segmentation."""

_EXPECTED = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def check_dicom_seg(source: ImageSource) -> Any:
    """Return the library that writes segmentations.

    Raises
    ------
    FileFormatError
        If the image did not come from DICOM, or the library is not there.
    """
    if source.kind != "dicom" or source.path is None:
        raise FileFormatError(
            f"'{source.name}' did not come from DICOM, so a DICOM segmentation has nothing to refer to",
            remedy="write NIfTI or TIFF",
            kept="no file was written",
        )
    try:
        return library("highdicom", "dicom", Path("a DICOM segmentation"))
    except FileFormatError as error:
        if sys.version_info < (3, 14):
            raise
        raise FileFormatError(
            error.what, remedy="it needs Python 3.13 or older; or write NIfTI"
        ) from error


def write_dicom_seg(path: Path, result: LabelResult) -> None:
    """Write a binary segmentation with one segment an object.

    Raises
    ------
    FileFormatError
        If the image did not come from a DICOM series, or the series is not there any more.
    LabelsError
        If no object is visible.
    """
    source = result.source
    highdicom, pydicom = check_dicom_seg(source), library("pydicom", "dicom", path)
    assert source.path is not None  # of DICOM there is one
    images = _images(pydicom, Path(source.path), source.part)
    volume = _volume(result)
    if volume.shape != (len(images), *map(int, (images[0].Rows, images[0].Columns))):
        raise FileFormatError(
            f"the labels have shape {volume.shape}, the series {len(images)} images of "
            f"{images[0].Rows} x {images[0].Columns}",
            remedy="segment the whole series",
        )
    found = [int(value) for value in np.unique(volume) if value]
    if not found:
        raise LabelsError(
            "a DICOM segmentation needs at least one visible object",
            kept="no file was written",
            remedy="propagate first, or choose objects that are visible",
        )
    if len(found) > _MOST:
        raise LabelsError(
            f"a DICOM segmentation has at most {_MOST} segments, the labels have {len(found)} objects",
            remedy="write NIfTI",
            kept="no file was written",
        )
    # Numbers of segments, not a mask for each: that would be as many copies of the volume as there are objects.
    numbers = np.searchsorted([0, *found], volume).astype(np.min_scalar_type(len(found)))
    segmentation = highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=numbers,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _segment(highdicom, number, object_id, result)
            for number, object_id in enumerate(found, start=1)
        ],
        series_instance_uid=highdicom.UID(),
        series_number=1000,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="napari-sam2",
        manufacturer_model_name="napari-sam2",
        software_versions=_version(),
        device_serial_number="0",
        series_description="Segmentation, research use only",
    )
    segmentation.save_as(path)


def _images(pydicom: Any, source: Path, series: str | None) -> list[Any]:
    """Return the images of the series in the order of the slices."""
    if not source.exists():
        raise FileFormatError(
            f"the series {source} is not there any more", remedy="bring it back, or write NIfTI"
        )
    paths = [source]
    if source.is_dir():
        paths = [item.path for item in ordered_slices(read_series(source, series))]
    images = [pydicom.dcmread(path) for path in paths]
    for image in images:
        for name in _EXPECTED:
            if name not in image:  # what was made anonymous lacks them, and they may be empty
                setattr(image, name, "")
    return images


def _volume(result: LabelResult) -> np.ndarray:
    array = result.array()
    return array[None] if array.ndim == 2 else array


def _segment(highdicom: Any, number: int, object_id: int, result: LabelResult) -> Any:
    info = result.info(object_id)
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="napari-sam2",
        version=_version(),
        family=_code("123110", "DCM", "Artificial Intelligence"),
    )
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=(info.name or info.class_name or f"object {object_id}")[:64],
        segmented_property_category=_code("85756007", "SCT", "Tissue"),
        segmented_property_type=_code("85756007", "SCT", "Tissue"),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=algorithm,
        tracking_id=f"object {object_id}",
        tracking_uid=highdicom.UID(),
    )


def _code(value: str, scheme: str, meaning: str) -> Any:
    from pydicom.sr.coding import Code

    return Code(value, scheme, meaning)


def _version() -> str:
    from napari_sam2 import __version__

    return str(__version__)
