"""Files: the session is saved to go on with it, and what was found for other programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog

from napari_sam2.plugin.panels.parts import Panel, button, label, side_by_side
from napari_sam2.plugin.state import DockState

_FILTERS = {
    "TIFF (*.tif)": ("tiff", ".tif"),
    "OME-Zarr (*.ome.zarr)": ("ome-zarr", ".ome.zarr"),
    "NIfTI (*.nii.gz)": ("nifti", ".nii.gz"),
    "DICOM segmentation (*.dcm)": ("dicom-seg", ".dcm"),
    "COCO masks (*.json)": ("coco", ".json"),
    "Table of measurements (*.csv)": ("csv", ".csv"),
    "Cell Tracking Challenge folder (*)": ("ctc", ""),
    "DAVIS folder of masks (*)": ("davis", ""),
}
"""What the dialog offers: the name of the format and its ending."""

_PREFERRED = {"nifti": "NIfTI (*.nii.gz)", "dicom": "DICOM segmentation (*.dcm)"}


class FilesPanel(Panel):
    """Two buttons that ask where, the notice that medical images come with, and why the session is not saved.

    Parameters
    ----------
    proposed : callable
        Returns where the session would be saved.
    """

    save_asked = Signal(str)
    export_asked = Signal(object, str)

    def __init__(self, proposed: Callable[[], Path]) -> None:
        super().__init__()
        self._proposed = proposed
        self.save = button("Save session…", tip="Objects, prompts and masks, to be opened again")
        self.export = button(
            "Export\u2026", tip="Save labels, masks or measurements for other programs"
        )
        self.notice = label("", "notice", wraps=True)
        self.unsaved = label("", "notice", wraps=True)
        self.column.addLayout(side_by_side(self.save, self.export))
        self.column.addWidget(self.unsaved)
        self.column.addWidget(self.notice)
        self.suggestion: Path | None = None
        self._kind = ""
        self.save.clicked.connect(lambda: self._choose())
        self.export.clicked.connect(lambda: self._ask())

    def show_state(self, state: DockState) -> None:
        """Be usable once there is something to save."""
        self.save.setEnabled(bool(state.log))
        self.suggestion, self._kind = state.export_suggestion, state.source_kind
        self.export.setEnabled(bool(state.objects) and state.can_export)
        self.notice.setText(state.notice)
        self.notice.setVisible(bool(state.notice))
        self.unsaved.setText(state.unsaved)
        self.unsaved.setVisible(bool(state.unsaved))
        self.setVisible(state.has_session)

    def _choose(self) -> None:
        ending = "SAM 2 session (*.sam2.json)"
        path, _ = QFileDialog.getSaveFileName(self, "Save session", str(self._proposed()), ending)
        if path:
            self.save_asked.emit(_with_ending(path, ".sam2.json"))

    def _ask(self) -> None:
        preferred = _PREFERRED.get(self._kind, next(iter(_FILTERS)))
        name, chosen = QFileDialog.getSaveFileName(
            self, "Export", str(self.suggestion or ""), ";;".join(_FILTERS), preferred
        )
        if name:
            format, ending = _FILTERS.get(chosen, ("", ""))
            self.export_asked.emit(Path(_with_ending(name, ending)), format)


def _with_ending(name: str, ending: str) -> str:
    return name if name.lower().endswith(ending) else f"{name}{ending}"
