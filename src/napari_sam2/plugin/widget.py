"""The dock: panels put together, one timer that shows the state, one place that lets go."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QFrame, QMessageBox, QScrollArea, QVBoxLayout, QWidget

from napari_sam2.core.errors import NapariSam2Error, TorchUnavailableError
from napari_sam2.plugin.actions import commands_of
from napari_sam2.plugin.launch import controller_of
from napari_sam2.plugin.panels.empty import EmptyPanel
from napari_sam2.plugin.panels.files import FilesPanel
from napari_sam2.plugin.panels.image import ImagePanel
from napari_sam2.plugin.panels.log import LogPanel
from napari_sam2.plugin.panels.message import MessagePanel
from napari_sam2.plugin.panels.objects import ObjectsPanel
from napari_sam2.plugin.panels.parts import label
from napari_sam2.plugin.panels.prompts import PromptsPanel
from napari_sam2.plugin.panels.propagate import PropagatePanel
from napari_sam2.plugin.panels.review import ReviewPanel
from napari_sam2.plugin.panels.session import OfferPanel
from napari_sam2.plugin.present import present
from napari_sam2.plugin.reports import sentence
from napari_sam2.plugin.state import DockState
from napari_sam2.plugin.style import style_sheet

if TYPE_CHECKING:
    import napari

    from napari_sam2.plugin.controller import Controller

logger = logging.getLogger(__name__)

_SHOW_EVERY = 50  # milliseconds: what changes in between is shown once


class SamWidget(QWidget):
    """The dock widget "SAM 2".

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Filled in by napari.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.setObjectName("sam2Dock")
        self.controller = controller_of(napari_viewer)
        self._build()
        self._connect()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SHOW_EVERY)
        self._timer.timeout.connect(self.show_now)
        self.controller.changed.connect(self._show_soon)
        self.controller.failed.connect(self._on_failed)
        self.controller.review.frame_shown.connect(self._show_frame)
        napari_viewer.events.theme.connect(self._on_theme)
        self._on_theme()
        self.controller.open()
        self.show_now()
        # Of a window that closes, Qt tells only that the dock is no more; the widget must not be kept alive for that.
        self._on_destroyed = partial(_let_go, self.controller)
        self.destroyed.connect(self._on_destroyed)

    # Making

    def _build(self) -> None:
        self.image, self.message, self.empty = ImagePanel(), MessagePanel(), EmptyPanel()
        self.objects, self.prompts, self.run = ObjectsPanel(), PromptsPanel(), PropagatePanel()
        self.review, self.log, self.offer = ReviewPanel(), LogPanel(), OfferPanel()
        self.files = FilesPanel(lambda: self.controller.session_files.proposed)
        upper = self.message, self.offer, self.image, self.empty, self.objects
        self.panels = (*upper, self.prompts, self.run, self.review, self.files, self.log)
        content = QWidget()
        content.setObjectName("sam2Dock")
        column = QVBoxLayout(content)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(11)
        for panel in self.panels:
            column.addWidget(panel)
        column.addStretch(1)
        column.addWidget(label("Research use only. Not a medical device.", "quiet", wraps=True))
        area = QScrollArea()
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self.setMinimumWidth(260)

    def _connect(self) -> None:
        asked = self.controller
        self.image.image_chosen.connect(asked.choose_image)
        self.image.axis_chosen.connect(asked.choose_axis)
        self.image.contrast_chosen.connect(asked.contrasting.choose)
        self.image.model_chosen.connect(asked.choose_model)
        self.image.look.quality_chosen.connect(asked.choose_quality)
        self.image.look.device_chosen.connect(asked.choose_device)
        self.image.look.focus_chosen.connect(asked.choose_focus)
        self.image.download_asked.connect(asked.download_model)
        self.offer.restore_asked.connect(asked.session_files.restore)
        self.offer.discard_asked.connect(asked.session_files.discard)
        self.files.save_asked.connect(asked.session_files.save)
        self.empty.sample_asked.connect(self._open_sample)
        self.objects.table.object_chosen.connect(asked.activate)
        self.objects.table.renamed.connect(asked.shaping.rename)
        self.objects.table.classified.connect(asked.shaping.classify)
        self.objects.next_asked.connect(asked.next_object)
        self.objects.delete_asked.connect(asked.shaping.remove_object)
        self.objects.only_asked.connect(asked.shaping.show_only_active)
        self.objects.merge_asked.connect(asked.shaping.merge)
        self.objects.split_asked.connect(asked.shaping.split)
        self.objects.untrim_asked.connect(asked.shaping.untrim)
        self.prompts.sign_chosen.connect(asked.set_sign)
        self.prompts.tool_chosen.connect(asked.tools.choose)
        self.prompts.labels_asked.connect(asked.adopting.use)
        self.review.strip.frame_asked.connect(asked.review.go_to)
        self.review.asked.connect(lambda name: commands_of(asked)[name]())
        self.run.propagate_asked.connect(asked.propagate)
        self.run.stop_asked.connect(asked.running.stop)
        self.run.more.scope_chosen.connect(asked.running.choose_scope)
        self.run.more.overlap_chosen.connect(asked.choose_overlap)
        self.files.export_asked.connect(asked.exporting.export)
        self.run.undo_asked.connect(asked.undo)
        self.run.redo_asked.connect(asked.redo)

    # Showing

    def _show_soon(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def show_now(self) -> None:
        """Show how things stand."""
        self._timer.stop()
        if not self.controller.is_open:
            return
        state = present(self.controller)
        for panel in self.panels:
            panel.show_state(state)
        self._show_or_hide(state)

    def _show_frame(self, frame: int | None) -> None:
        """Follow the sliders at once with what is said about one frame; the rest stays as it is."""
        self.review.show_frame(frame)
        binding = self.controller.binding
        if binding is not None and not binding.sizes.is_volume:
            self.objects.table.show_sizes(binding.sizes.texts(frame))

    def _show_or_hide(self, state: DockState) -> None:
        self.image.setVisible(bool(state.images))
        for panel in (self.objects, self.prompts, self.run):
            panel.setVisible(state.has_session)

    def _on_theme(self) -> None:
        self.setStyleSheet(style_sheet(self.controller.viewer.theme))

    def _open_sample(self, key: str) -> None:
        self.controller.viewer.open_sample("napari-sam2", key)

    def _on_failed(self, error: NapariSam2Error) -> None:
        if isinstance(error, TorchUnavailableError):
            box = QMessageBox(QMessageBox.Icon.Warning, "SAM 2", sentence(error), parent=self)
            box.open()

    # Letting go

    def event(self, event: QEvent) -> bool:
        """Let go when napari takes the widget out of its dock; napari closes no inner widget."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
        return super().event(event)

    def shut_down(self) -> None:
        """Stop the worker and give back everything that was bound; sessions and layers stay. May be repeated."""
        if self._on_destroyed is None:
            return
        self.destroyed.disconnect(self._on_destroyed)
        self._on_destroyed = None
        self._timer.stop()
        self.controller.changed.disconnect(self._show_soon, missing_ok=True)
        self.controller.failed.disconnect(self._on_failed, missing_ok=True)
        self.controller.review.frame_shown.disconnect(self._show_frame, missing_ok=True)
        if self.controller.is_viewer_there:
            self.controller.viewer.events.theme.disconnect(self._on_theme)
        self.controller.close()


def _let_go(controller: Controller, _widget: object = None) -> None:
    """Close the controller of a dock whose window is gone; there is nobody left to show anything to."""
    controller.changed.disconnect()
    controller.failed.disconnect()
    controller.review.frame_shown.disconnect()
    try:
        controller.close()
    except RuntimeError:
        # Qt deletes what is left of a program that ends in any order, our timer perhaps before the dock.
        logger.debug("the dock was closed by the end of the program", exc_info=True)
