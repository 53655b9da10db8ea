"""Results as files: one file a format, and `exporting` which finds the right one."""

from napari_sam2.io.exports.exporting import FORMATS, check_target, export, format_of

__all__ = ["FORMATS", "check_target", "export", "format_of"]
