"""Results as files: one file a format, `formats` which lists them, `targets` for where, `exporting` which writes."""

from napari_sam2.io.exports.exporting import export
from napari_sam2.io.exports.formats import FORMATS, format_of
from napari_sam2.io.exports.targets import check_suits, check_target

__all__ = ["FORMATS", "check_suits", "check_target", "export", "format_of"]
