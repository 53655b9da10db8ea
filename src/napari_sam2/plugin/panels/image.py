"""Which image, along which axis, with which model."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox

from napari_sam2.plugin.panels.parts import Form, Panel, button
from napari_sam2.plugin.state import DockState


class ImagePanel(Panel):
    """Drop-downs, and a download button when the model is not there yet."""

    image_chosen = Signal(object)
    axis_chosen = Signal(object)
    contrast_chosen = Signal(str)
    model_chosen = Signal(str)
    quality_chosen = Signal(str)
    device_chosen = Signal(str)
    focus_chosen = Signal(bool)
    download_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.form = form = Form()
        self.images, self.axes, self.contrasts, self.models, self.qualities, self.devices = map(
            form.add_choice, ("Image", "Frames", "Contrast", "Model", "Quality", "Device")
        )
        self.focus = QCheckBox("Look closely at small objects")
        self.focus.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.focus.setToolTip(
            "Small objects are shown to the model in a window that follows them; off: always the whole frame"
        )
        form.addWidget(self.focus, form.rowCount(), 0, 1, 2)
        self.column.addLayout(form)
        self.download = button(
            "Download", "main", "Fetch the model once; it stays on this computer"
        )
        self.column.addWidget(self.download)
        self.images.activated.connect(lambda: self.image_chosen.emit(self.images.chosen))
        self.axes.activated.connect(lambda: self.axis_chosen.emit(self.axes.chosen))
        self.contrasts.activated.connect(lambda: self.contrast_chosen.emit(self.contrasts.chosen))
        self.models.activated.connect(lambda: self.model_chosen.emit(self.models.chosen))
        self.qualities.activated.connect(lambda: self.quality_chosen.emit(self.qualities.chosen))
        self.devices.activated.connect(lambda: self.device_chosen.emit(self.devices.chosen))
        # `clicked` is emitted for a person's click only, not when the state is shown.
        self.focus.clicked.connect(self.focus_chosen)
        self.download.clicked.connect(lambda: self.download_asked.emit())

    def show_state(self, state: DockState) -> None:
        """Show what can be chosen and what is."""
        is_idle = state.progress is None
        self.images.show_choices(state.images, state.image)
        self.images.setEnabled(bool(state.images) and is_idle)
        self.axes.show_choices(state.axes, state.axis)
        self.axes.setEnabled(len(state.axes) > 1 and is_idle and not state.axis_locked)
        if state.axis_locked:
            self.axes.setToolTip(state.axis_locked)
        chosen = state.contrasts[0].value if state.contrasts else None
        self.contrasts.show_choices(state.contrasts, chosen)
        self.contrasts.setEnabled(len(state.contrasts) > 1 and is_idle)
        self.models.show_choices(state.models, state.model)
        self.models.setEnabled(is_idle)
        self.qualities.show_choices(state.qualities, state.quality)
        self.qualities.setEnabled(is_idle)
        self.form.show_row(self.devices, bool(state.devices))
        self.devices.show_choices(state.devices, state.device)
        self.devices.setEnabled(is_idle)
        self.focus.setChecked(state.focus)
        self.focus.setEnabled(is_idle)
        self.download.setVisible(bool(state.download_size))
        self.download.setEnabled(is_idle)
        self.download.setText(f"Download {state.model} ({state.download_size} MB)")
