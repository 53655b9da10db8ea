"""Which image, along which axis, with which model, and how it looks."""

from __future__ import annotations

from qtpy.QtCore import Signal

from napari_sam2.plugin.panels.look import LookPanel
from napari_sam2.plugin.panels.parts import Form, Panel, button
from napari_sam2.plugin.state import DockState


class ImagePanel(Panel):
    """Drop-downs, and a download button when the model is not there yet."""

    image_chosen = Signal(object)
    axis_chosen = Signal(object)
    contrast_chosen = Signal(str)
    model_chosen = Signal(str)
    download_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        form = Form()
        self.images, self.axes, self.contrasts, self.models = map(
            form.add_choice, ("Image", "Frames", "Contrast", "Model")
        )
        self.column.addLayout(form)
        self.download = button(
            "Download", "main", "Fetch the model once; it stays on this computer"
        )
        self.column.addWidget(self.download)
        self.look = LookPanel()
        self.column.addWidget(self.look)
        self.images.activated.connect(lambda: self.image_chosen.emit(self.images.chosen))
        self.axes.activated.connect(lambda: self.axis_chosen.emit(self.axes.chosen))
        self.contrasts.activated.connect(lambda: self.contrast_chosen.emit(self.contrasts.chosen))
        self.models.activated.connect(lambda: self.model_chosen.emit(self.models.chosen))
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
        self.look.show_state(state)
        self.download.setVisible(bool(state.download_size))
        self.download.setEnabled(is_idle)
        self.download.setText(f"Download {state.model} ({state.download_size} MB)")
