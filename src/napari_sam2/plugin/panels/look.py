"""How the model looks at the image, folded away: its heading tells what is chosen."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_sam2.plugin.panels.parts import Fold, Form, Panel
from napari_sam2.plugin.state import Choice, DockState


class LookPanel(Panel):
    """Quality, device, and whether small objects are looked at closely."""

    quality_chosen = Signal(str)
    device_chosen = Signal(str)
    focus_chosen = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.fold = Fold("Quality", "How closely the model looks, and where it runs")
        self.column.addWidget(self.fold)
        self.content = QWidget()
        self.form = Form()
        self.content.setLayout(self.form)
        self.qualities, self.devices = map(self.form.add_choice, ("Quality", "Device"))
        self.focus = QCheckBox("Look closely at small objects")
        self.focus.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.focus.setToolTip(
            "Small objects are shown to the model in a window that follows them; off: always the whole frame"
        )
        self.form.addWidget(self.focus, self.form.rowCount(), 0, 1, 2)
        self.column.addWidget(self.content)
        self.fold.fold_away(self.content)
        self.qualities.activated.connect(lambda: self.quality_chosen.emit(self.qualities.chosen))
        self.devices.activated.connect(lambda: self.device_chosen.emit(self.devices.chosen))
        # `clicked` is emitted for a person's click only, not when the state is shown.
        self.focus.clicked.connect(self.focus_chosen)

    def show_state(self, state: DockState) -> None:
        """Show what is chosen, in the heading too."""
        self.fold.show_title(in_words(state))
        is_idle = state.progress is None
        self.qualities.show_choices(state.qualities, state.quality)
        self.form.show_row(self.devices, bool(state.devices))
        self.devices.show_choices(state.devices, state.device)
        self.focus.setChecked(state.focus)
        for widget in (self.qualities, self.devices, self.focus):
            widget.setEnabled(is_idle)


def in_words(state: DockState) -> str:
    """Return how the model looks; of what is usual, the quality alone."""
    told = [f"Quality: {_label(state.qualities, state.quality).partition(' (')[0].lower()}"]
    if state.device != "auto" and state.devices:
        told.append(_label(state.devices, state.device).lower())
    if not state.focus:
        told.append("whole frames")
    return " · ".join(told)


def _label(choices: tuple[Choice, ...], value: object) -> str:
    return next((choice.label for choice in choices if choice.value == value), str(value))
