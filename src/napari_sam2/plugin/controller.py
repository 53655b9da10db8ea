"""Controller: what a person wants goes in, calls on the session come out; one a viewer."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_sam2.core.errors import NapariSam2Error, PropagationError
from napari_sam2.core.masks import Box
from napari_sam2.core.messages import Direction
from napari_sam2.core.prompts import BoxPrompt, PointPrompt
from napari_sam2.core.session import Session
from napari_sam2.plugin import choices
from napari_sam2.plugin.actions import ACTIONS, KeyBindings
from napari_sam2.plugin.activity import ActivityBar
from napari_sam2.plugin.binding import Binding
from napari_sam2.plugin.downloads import Download
from napari_sam2.plugin.mouse import Gesture, MouseIntents, MouseTool
from napari_sam2.plugin.recipe import make_segmenter
from napari_sam2.plugin.reports import report
from napari_sam2.plugin.settings import PluginSettings
from napari_sam2.plugin.state import Message
from napari_sam2.plugin.worker import MakeSegmenter, SafeWorker

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


class Controller:
    """Ties a viewer, sessions and the worker together; the panels and the keys call its methods.

    Every error of ours that reaches a method becomes one notification, and the dock is usable afterwards.

    Parameters
    ----------
    viewer : ViewerModel
        Held weakly: the controller does not keep a closed window alive.
    make : callable
        Makes the segmenter on the worker's thread.
    settings : PluginSettings
        Model, device, looks.
    """

    changed = Signal(description="Something that the dock shows has changed.")
    failed = Signal(object, description="An error was reported.")

    def __init__(
        self,
        viewer: ViewerModel,
        make: MakeSegmenter = make_segmenter,
        settings: PluginSettings | None = None,
    ) -> None:
        self._viewer, self._make = weakref.ref(viewer), make
        self.settings = settings or PluginSettings()
        self.active_object, self.is_positive = 1, True
        self.message: Message | None = None
        self.binding: Binding | None = None
        self.download: Download | None = None
        self._bindings: dict[int, Binding] = {}
        self._worker: SafeWorker | None = None
        self._mouse: MouseTool | None = None
        self._keys = KeyBindings({item.name: getattr(self, item.name) for item in ACTIONS})
        self._activity = ActivityBar()

    # Life

    @property
    def viewer(self) -> ViewerModel:
        """The viewer; it must still be there."""
        viewer = self._viewer()
        assert viewer is not None, "the viewer is gone"
        return viewer

    @property
    def session(self) -> Session | None:
        """The session of the image in use."""
        return None if self.binding is None else self.binding.session

    @property
    def is_open(self) -> bool:
        """Whether keys, mouse and worker are at work."""
        return self._worker is not None

    def open(self) -> None:
        """Start the worker, listen, and take up the top-most image."""
        if self.is_open:
            return
        self._worker = SafeWorker(self._make)
        self._mouse = MouseTool(
            self.viewer,
            MouseIntents(self._is_listening, self.click, self._draft_box, self.draw_box),
        )
        self._keys.bind(self.viewer)
        self.viewer.layers.events.inserted.connect(self._on_layers)
        self.viewer.layers.events.removed.connect(self._on_layers)
        self._attach_default()

    def close(self) -> None:
        """End everything that is going on and give back what was bound; sessions and layers stay. May be repeated."""
        if not self.is_open:
            return
        worker, self._worker = self._worker, None
        self._unbind()
        self._keys.release()
        if self._mouse is not None:
            self._mouse.release()
        viewer = self._viewer()
        if viewer is not None:
            viewer.layers.events.inserted.disconnect(self._on_layers)
            viewer.layers.events.removed.disconnect(self._on_layers)
        self._activity.end()
        if self.download is not None:
            self.download.cancel()
        worker.stop()

    # Images

    def attach(self, image: Image, axis: int | None | str = "default") -> Session:
        """Annotate an image: begin a session, or take up the one that it has.

        Raises
        ------
        ImageError
            If the image cannot be used.
        PropagationError
            If a run is going on.
        """
        if not self.is_open:
            self.open()
        if self.session is not None and self.session.run is not None:
            raise PropagationError("a propagation is going on", remedy="stop it first")
        known = self._bindings.get(id(image))
        if known is not None and axis == "default":
            binding = known
        else:
            chosen = choices.default_axis(self.viewer, image) if axis == "default" else axis
            binding = self._new_binding(image, chosen)
        self._bind(binding)
        return binding.session

    def _new_binding(self, image: Image, axis: int | None) -> Binding:
        view = choices.stack_view_of(self.viewer, image, axis)
        return Binding(
            self.viewer, image, view, self._worker, self.settings, self.fail, self.tell
        )

    def _bind(self, binding: Binding) -> None:
        if binding is self.binding:
            return
        earlier = self._bindings.get(id(binding.image))
        self._unbind()
        if earlier is not None and earlier is not binding:
            binding.bridge.take_over(earlier.bridge)
        self._bindings[id(binding.image)] = self.binding = binding
        binding.use(self._worker, self.settings)
        binding.open()
        for layer in binding.bridge.layers:
            self._keys.bind(layer)
        binding.bridge.layer_lost.connect(self._on_lost)
        session = binding.session
        session.run_started.connect(self._activity.begin)
        session.run_finished.connect(self._on_run_finished)
        session.frame_committed.connect(self._on_frame)
        session.notice_given.connect(self._on_notice)
        self.activate(max(session.objects, default=1))

    def _unbind(self) -> None:
        binding, self.binding = self.binding, None
        if binding is None:
            return
        binding.close()
        for layer in binding.bridge.layers:
            self._keys.release(layer)
        binding.bridge.layer_lost.disconnect(self._on_lost)
        for signal, slot in (
            (binding.session.run_started, self._activity.begin),
            (binding.session.run_finished, self._on_run_finished),
            (binding.session.frame_committed, self._on_frame),
            (binding.session.notice_given, self._on_notice),
        ):
            signal.disconnect(slot, missing_ok=True)
        self.changed.emit()

    def _attach_default(self) -> None:
        viewer = self._viewer()
        if not self.is_open or self.binding is not None or viewer is None:
            return
        images = choices.images_of(viewer)
        if images:
            with self.reporting():
                self.attach(images[0])

    def _on_layers(self, _event: Any = None) -> None:
        if self.binding is None and self.is_open:
            # Not now: whoever adds layers may be adding more, and the last one added becomes the active one.
            QTimer.singleShot(0, self._attach_default)
        self.changed.emit()

    def _on_lost(self, layer: Any) -> None:
        binding = self.binding
        self._unbind()
        if layer is binding.image:
            self._bindings.pop(id(binding.image), None)
            text = f"'{binding.image.name}' was removed. Its labels layer stays."
        else:
            text = f"'{layer.name}' was removed. Choose the image again to bring it back."
        self.message = Message(text, "warning")
        self.changed.emit()

    # What a person does

    def choose_image(self, image: Image) -> None:
        """Annotate another image layer."""
        with self.reporting():
            self.attach(image)

    def choose_axis(self, axis: int | None) -> None:
        """Count frames along another axis; only possible while there is no object."""
        with self.reporting():
            if self.session.objects:
                raise PropagationError(
                    "objects are tied to their frame axis", remedy="undo or remove them first"
                )
            self.attach(self.binding.image, axis)

    def choose_model(self, model: str) -> None:
        """Answer with another model from now on."""
        with self.reporting():
            settings = replace(self.settings, model=model)
            if self.binding is not None and not choices.download_size(model):
                self.binding.use(self._worker, settings)
            self.settings = settings

    def download_model(self) -> None:
        """Fetch the chosen model, which is not on this computer."""
        with self.reporting():
            self.download = Download(self.settings.model, self.tell, self._on_downloaded)
            self.download.start(self._worker)

    def click(self, gesture: Gesture, world: tuple[float, ...]) -> None:
        """Add a point where the mouse was clicked, or make the object there active."""
        with self.reporting():
            self._follow_display()
            index = self.binding.index_of(world)
            if gesture == "pick":
                self._pick(index)
            else:
                positive = self.is_positive and gesture == "point"
                self.session.add(PointPrompt(self.active_object, index, positive))

    def draw_box(self, start: tuple[float, ...], stop: tuple[float, ...]) -> None:
        """Add a box between two world positions."""
        with self.reporting():
            self.binding.bridge.prompts.hide_draft()
            self._follow_display()
            corners = self.binding.index_of(start), self.binding.index_of(stop)
            self.session.add(BoxPrompt(self.active_object, *corners))
            self._bind_keys_of_new_layers()

    def _draft_box(self, start: tuple[float, ...], stop: tuple[float, ...]) -> None:
        with self.reporting():
            view = self.session.stack_view
            frame, y0, x0 = view.to_frame(self.binding.index_of(start))
            _, y1, x1 = view.to_frame(self.binding.index_of(stop))
            self.binding.bridge.prompts.show_draft(frame, (y0, x0, y1, x1))

    def _pick(self, index: tuple[float, ...]) -> None:
        found = self.binding.bridge.object_at(*self.session.stack_view.to_frame(index))
        if found in self.session.objects:
            self.activate(found)

    def next_object(self) -> None:
        """The next click starts a new object; pressing twice makes no gap."""
        if self.session is not None and self.active_object in self.session.objects:
            self.activate(self.session.next_object_id)

    def previous_object(self) -> None:
        """Go back to the object before the active one."""
        earlier = [item for item in getattr(self.session, "objects", ()) if item < self.active_object]
        if earlier:
            self.activate(earlier[-1])

    def activate(self, object_id: int) -> None:
        """Let clicks speak about this object."""
        self.active_object = int(object_id)
        if self.binding is not None:
            self.binding.bridge.mark_active(self.active_object)
        self.changed.emit()

    def toggle_sign(self) -> None:
        """Switch between positive and negative clicks."""
        self.set_sign(not self.is_positive)

    def set_sign(self, is_positive: bool) -> None:
        """Choose what a left click means."""
        self.is_positive = is_positive
        self.changed.emit()

    def propagate(self, direction: Direction = "both") -> None:
        """Carry all objects along the frames, in the worker."""
        with self.reporting():
            if self.binding is None:
                raise PropagationError("there is no image yet", remedy="open one first")
            run = self.session.propagate(direction)
            self.binding.engine.drive(run, self._on_end)

    def stop(self) -> None:
        """Stop the run, or the download, after the step in work; what is done is kept."""
        run = None if self.session is None else self.session.run
        if run is not None:
            run.cancel()
        if self.download is not None:
            self.download.cancel()
        self.changed.emit()

    def undo(self) -> None:
        """Take back the last action."""
        if self.session is not None:
            with self.reporting():
                self.session.undo()

    def redo(self) -> None:
        """Do again what was undone."""
        if self.session is not None:
            with self.reporting():
                self.session.redo()

    # What comes back

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Report an error of ours once; in any case show how things stand afterwards."""
        self.message = None
        try:
            yield
        except NapariSam2Error as error:
            self.fail(error)
        finally:
            self.changed.emit()

    def fail(self, error: NapariSam2Error) -> None:
        """Report an error; the one place that does, for all of them."""
        self.message = report(error)
        self.failed.emit(error)
        self.changed.emit()

    def tell(self) -> None:
        """Let the dock show how things stand."""
        self.changed.emit()

    def _on_end(self, error: NapariSam2Error | None) -> None:
        if error is not None:
            self.fail(error)

    def _on_run_finished(self, run: Any) -> None:
        self._activity.end()
        if run.is_cancelled and not run.is_complete:
            text = f"Stopped. {run.done} of {run.total} steps are kept; propagate again to continue."
            self.message = Message(text, "done")
        self.changed.emit()

    def _on_frame(self, _frame: int, _box: Box) -> None:
        if self.session is not None and self.session.run is not None:
            self._activity.update(self.session.run)

    def _on_notice(self, text: str) -> None:
        self.message = Message(text[:1].upper() + text[1:] + ".", "warning")

    def _on_downloaded(self, error: NapariSam2Error | None) -> None:
        self.download = None
        if error is not None:
            self.fail(error)
        else:
            self.choose_model(self.settings.model)

    # Small steps

    def _is_listening(self) -> bool:
        """Clicks are prompts while one of our layers, or the image, is selected and no tool of napari is in hand."""
        if self.binding is None:
            return False
        active = self.viewer.layers.selection.active
        ours = (self.binding.image, *self.binding.bridge.layers)
        return active is None or (active in ours and str(active.mode) == "pan_zoom")

    def _follow_display(self) -> None:
        """While there is no object, frames are what the viewer shows: other sliders and planes are followed."""
        if self.session.objects or self.viewer.dims.ndisplay != 2 or self.session.undo_action:
            return
        image, axis = self.binding.image, self.session.stack_view.frame_axis
        shown = choices.displayed_axes(image, self.viewer)
        if axis in shown:
            axis = choices.default_axis(self.viewer, image)
        if choices.stack_view_of(self.viewer, image, axis) != self.session.stack_view:
            self.attach(image, axis)

    def _bind_keys_of_new_layers(self) -> None:
        for layer in self.binding.bridge.layers:
            self._keys.bind(layer)
