"""What the propagate button is about, folded away until somebody wants less than everything."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_sam2.plugin.panels.parts import Fold, Form, Number, Panel, label
from napari_sam2.plugin.scope import EVERYTHING
from napari_sam2.plugin.state import Choice, DockState

_OBJECTS = (
    Choice("changed", "All that changed", "Every object of which something is missing or changed"),
    Choice("active", "The active one", "Only the object that clicks speak about"),
)
_FRAMES = (
    Choice("all", "All", "The whole stack"),
    Choice("near", "From here", "So many frames from the shown one on, each way"),
    Choice("range", "From … to …", "From one frame to another, both included"),
)
_OVERLAPS = (
    Choice("keep", "First one keeps", "Pixels stay with the object that was propagated earlier"),
    Choice("overwrite", "Last one wins", "Pixels go to the object that was propagated last"),
    Choice("highest", "Surest one wins", "Pixels go to the object that the model is surer of"),
)


class ScopePanel(Panel):
    """Objects, frames, and who wins where masks overlap."""

    scope_chosen = Signal(object)
    overlap_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.fold = Fold("More", "Which objects and frames, and who wins where masks overlap")
        self.column.addWidget(self.fold)
        self.content = QWidget()
        form = Form()
        self.content.setLayout(form)
        self.objects, self.frames = form.add_choice("Objects"), form.add_choice("Frames")
        self.count = Number("Number of frames", " frames")
        self.first, self.last = Number("First frame"), Number("Last frame")
        self.to = label("to", "quiet")
        numbers = QHBoxLayout()
        for widget in (self.count, self.first, self.to, self.last):
            numbers.addWidget(widget, 0 if widget is self.to else 1)
        form.addLayout(numbers, form.rowCount(), 1)
        self.overlaps = form.add_choice("Overlaps")
        self.column.addWidget(self.content)
        self.fold.fold_away(self.content)
        self.objects.activated.connect(lambda: self._choose(objects=self.objects.chosen))
        self.frames.activated.connect(lambda: self._choose_frames(self.frames.chosen))
        self.count.valueChanged.connect(lambda value: self._choose(count=value))
        self.first.valueChanged.connect(lambda value: self._choose(first=value))
        self.last.valueChanged.connect(lambda value: self._choose(last=value))
        self.overlaps.activated.connect(lambda: self.overlap_chosen.emit(self.overlaps.chosen))
        self._scope, self._num_frames = EVERYTHING, 1

    def _choose(self, **what: object) -> None:
        # Kept here too: the next choice may come before this one was shown.
        self._scope = replace(self._scope, **what)
        self.scope_chosen.emit(self._scope)

    def _choose_frames(self, frames: object) -> None:
        is_new = frames == "range" and not self._scope.last
        self._choose(frames=frames, last=self._num_frames - 1 if is_new else self._scope.last)

    def show_state(self, state: DockState) -> None:
        """Show what is chosen; of what is not usual, the heading tells too."""
        self._scope = scope = state.scope
        self._num_frames = state.num_frames
        self.fold.show_title(scope.in_words() or "More")
        self.objects.show_choices(_OBJECTS, scope.objects)
        self.frames.show_choices(_FRAMES, scope.frames)
        self.frames.setEnabled(state.num_frames > 1)
        self.overlaps.show_choices(_OVERLAPS, state.overlap)
        self.count.setVisible(scope.frames == "near")
        for widget in (self.first, self.to, self.last):
            widget.setVisible(scope.frames == "range")
        self.count.show_number(scope.count, 1, max(1, state.num_frames - 1))
        self.first.show_number(scope.first, 0, state.num_frames - 1)
        self.last.show_number(scope.last, 0, state.num_frames - 1)
