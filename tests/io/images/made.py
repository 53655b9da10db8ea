"""Small files of every medical format, made here."""

from __future__ import annotations

import numpy as np

OBLIQUE = np.array(
    [[0.28, -0.01, 0.4, -20], [-0.05, 0.3, 0.1, 11], [0.1, 0.03, -0.95, 7.5], [0, 0, 0, 1]]
)
"""A rotation, scaling and shear from voxel (x, y, z) to the world, with a negative direction."""


def save_nifti(path, array_xyz, affine=OBLIQUE, **header):
    import nibabel

    image = nibabel.Nifti1Image(array_xyz, affine)
    image.header.set_xyzt_units("mm", "sec")
    for name, value in header.items():
        getattr(image.header, f"set_{name}")(*value)
    nibabel.save(image, path)


def save_dicom(
    folder,
    volume,
    *,
    orientation=(1, 0, 0, 0, 1, 0),
    spacing=(0.5, 0.7),
    step=2.0,
    origin=(-10.0, 20.0, 5.0),
    series="1.2.3.1",
    rescale=(1, -1024),
    shuffle=True,
    **tags,
):
    """Write a volume (z, y, x) uint16 as a series; file names and numbers do not follow the slices."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(exist_ok=True)
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    normal = np.cross(row, column)
    numbers = np.random.default_rng(0).permutation(len(volume)) if shuffle else range(len(volume))
    for z, number in enumerate(numbers):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = (
            CTImageStorage,
            ExplicitVRLittleEndian,
        )
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(z)])
        path = folder / f"{series}-{number:03d}.dcm"
        item = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
        item.SOPClassUID, item.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        item.SeriesInstanceUID, item.StudyInstanceUID = series, "1.2.3"
        item.FrameOfReferenceUID = "1.2.3.9"
        item.Modality, item.PatientID, item.PatientName = "CT", "phantom", "Phantom^Made"
        item.InstanceNumber = int(number) + 1
        item.ImageOrientationPatient = list(map(float, orientation))
        item.ImagePositionPatient = list(np.asarray(origin) + z * step * normal)
        item.PixelSpacing, item.SliceThickness = list(spacing), step
        item.Rows, item.Columns = volume.shape[1:]
        item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
        item.BitsAllocated, item.BitsStored, item.HighBit = 16, 12, 11
        item.PixelRepresentation = 0
        item.RescaleSlope, item.RescaleIntercept = rescale
        item.WindowCenter, item.WindowWidth = [40, 400], [400, 1500]
        for name, value in tags.items():
            setattr(item, name, value)
        item.PixelData = volume[z].astype("<u2").tobytes()
        item.save_as(path, enforce_file_format=True)
    return folder
