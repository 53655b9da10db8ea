"""Workspace: which images of a viewer are under annotation, and the worker that they share."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_sam2.core.errors import NapariSam2Error, PropagationError
from napari_sam2.plugin import choices
from napari_sam2.plugin.binding import Binding
from napari_sam2.plugin.choices import FrameAxis
from napari_sam2.plugin.settings import PluginSettings
from napari_sam2.plugin.worker import MakeSegmenter, SafeWorker

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_sam2.core.axes import StackView
    from napari_sam2.core.intensity import IntensityMapping

DEFAULT_AXIS = "default"
"""The axis of the slider moved last, or the one that the session of the image has already."""


class Workspace:
    """One image is bound at a time: drawn, clicked and followed. Sessions of others wait until they are chosen again.

    Parameters
    ----------
    viewer : ViewerModel
        Held weakly.
    make : callable
        Makes the segmenter on the worker's thread.
    failed : callable
        Gets errors that come from the worker.
    changed : callable
        Called when something that the dock shows has changed.
    """

    bound = Signal(object, description="A Binding is in use from now on.")
    unbound = Signal(object, description="A Binding is no longer in use.")
    layer_lost = Signal(object, object, description="A layer of (Binding, layer) was removed.")

    def __init__(
        self,
        viewer: ViewerModel,
        make: MakeSegmenter,
        failed: Callable[[NapariSam2Error], None],
        changed: Callable[[], None],
    ) -> None:
        self._viewer, self._make = weakref.ref(viewer), make
        self._failed, self._changed = failed, changed
        self._bindings: dict[int, Binding] = {}
        self.binding: Binding | None = None
        self.worker: SafeWorker | None = None

    @property
    def viewer(self) -> ViewerModel:
        """The viewer; it must still be there."""
        viewer = self._viewer()
        assert viewer is not None, "the viewer is gone"
        return viewer

    @property
    def is_viewer_there(self) -> bool:
        """Whether the viewer still exists."""
        return self._viewer() is not None

    def open(self) -> None:
        """Start the worker."""
        self._removed.connect(self._forget)  # again and again has no effect
        self.worker = SafeWorker(self._make)

    def close(self) -> None:
        """End what is going on and the worker with it; sessions stay as long as their images are in the viewer."""
        worker, self.worker = self.worker, None
        try:
            self.unbind()
            if self.is_viewer_there and not self._bindings:
                self._removed.disconnect(self._forget)
        finally:
            if worker is not None:
                worker.stop()

    @property
    def _removed(self) -> Any:
        return self.viewer.layers.events.removed

    def _forget(self, event: Any) -> None:
        """Let go of an image that is removed, also one that is not in use, or while the dock is closed."""
        self._bindings.pop(id(event.value), None)
        if self.worker is None and not self._bindings:
            self._removed.disconnect(self._forget)

    def attach(
        self,
        image: Image,
        settings: PluginSettings,
        axis: FrameAxis | str = DEFAULT_AXIS,
        seen: tuple[StackView, IntensityMapping | None] | None = None,
    ) -> Binding:
        """Bind an image: begin a session, or take up the one that it has.

        `seen`: begin one in which the image is seen exactly so.

        Raises
        ------
        ImageError
            If the image cannot be used.
        PropagationError
            If a run is going on.
        """
        if self.binding is not None and self.binding.session.run is not None:
            raise PropagationError("a propagation is going on", remedy="stop it first")
        known = self._bindings.get(id(image))
        if known is not None and not known.is_current:
            known = None  # begin anew: its labels belong to other pixels
        if known is not None and axis == DEFAULT_AXIS and seen is None:
            self._bind(known, settings)
        else:
            view, mapping = seen or (self._view(image, axis), None)
            tell = self._failed, self._changed
            fresh = Binding(self.viewer, image, view, self.worker, settings, *tell, mapping)
            if known is not None:
                fresh.bridge.take_over(known.bridge)
            self._bind(fresh, settings)
        return self.binding

    def _view(self, image: Image, axis: FrameAxis | str) -> StackView:
        chosen = choices.default_axis(self.viewer, image) if axis == DEFAULT_AXIS else axis
        return choices.stack_view_of(self.viewer, image, chosen)

    def _bind(self, binding: Binding, settings: PluginSettings) -> None:
        if binding is self.binding:
            return
        earlier = self.binding
        self.unbind()
        self._bindings[id(binding.image)] = self.binding = binding
        binding.use(self.worker, settings)
        try:
            binding.open()
        except NapariSam2Error:
            self.binding = None
            del self._bindings[id(binding.image)]
            if earlier is not None:
                self._bind(earlier, settings)
            raise
        binding.bridge.layer_lost.connect(self._on_lost)
        self.bound.emit(binding)
        self._changed()

    def unbind(self) -> None:
        """Stop following the image in use; its run is ended, what it found is kept."""
        binding, self.binding = self.binding, None
        if binding is None:
            return
        binding.bridge.layer_lost.disconnect(self._on_lost, missing_ok=True)
        binding.close()
        self.unbound.emit(binding)
        self._changed()

    def _on_lost(self, layer: Layer) -> None:
        binding = self.binding
        self.unbind()
        if layer is binding.image:
            self._bindings.pop(id(binding.image), None)
        self.layer_lost.emit(binding, layer)

    def use(self, settings: PluginSettings) -> None:
        """Answer with another model, or otherwise, from now on."""
        if self.binding is not None:
            self.binding.use(self.worker, settings)

    def follow_display(self, settings: PluginSettings) -> None:
        """While nothing was done yet, frames are what the viewer shows: other sliders and planes are followed."""
        session, image = self.binding.session, self.binding.image
        if session.objects or session.undo_action or self.viewer.dims.ndisplay != 2:
            return
        axis = choices.axis_of(session.stack_view)
        if not choices.is_on_sliders(self.viewer, image, axis):
            axis = choices.default_axis(self.viewer, image)
        if choices.stack_view_of(self.viewer, image, axis) != session.stack_view:
            self.attach(image, settings, axis)


def describe_loss(binding: Binding, layer: Any) -> str:
    """Return a sentence about a layer that was removed while it was in use."""
    if layer is binding.image:
        return f"'{layer.name}' was removed. What was found stays in its labels layer."
    return f"'{layer.name}' was removed. Choose the image again to bring it back."
