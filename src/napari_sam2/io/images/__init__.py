"""Images from files: one file a format, and `opening` which finds the right one."""

from napari_sam2.io.images.opened import OpenedImage
from napari_sam2.io.images.opening import open_frames, open_image
from napari_sam2.io.images.pictures import (
    PICTURE_SUFFIXES,
    TIFF_SUFFIXES,
    is_folder_of_pictures,
    list_pictures,
)

__all__ = [
    "PICTURE_SUFFIXES",
    "TIFF_SUFFIXES",
    "OpenedImage",
    "is_folder_of_pictures",
    "list_pictures",
    "open_frames",
    "open_image",
]
