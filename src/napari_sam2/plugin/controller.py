"""Controller: what a person wants goes in, calls on the session come out; one a viewer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_sam2.core.errors import NapariSam2Error, PropagationError
from napari_sam2.core.messages import Direction
from napari_sam2.core.options import Quality
from napari_sam2.core.prompts import PointPrompt
from napari_sam2.core.session import Session
from napari_sam2.core.state import OverlapPolicy
from napari_sam2.plugin import choices
from napari_sam2.plugin.actions import KeyBindings, commands_of
from napari_sam2.plugin.adopting import Adopting
from napari_sam2.plugin.binding import Binding
from napari_sam2.plugin.choices import FrameAxis
from napari_sam2.plugin.contrasting import Contrasting
from napari_sam2.plugin.downloads import Download
from napari_sam2.plugin.exporting import Exporting
from napari_sam2.plugin.handwork import Handwork
from napari_sam2.plugin.lookout import Lookout
from napari_sam2.plugin.mouse import Gesture, MouseTool
from napari_sam2.plugin.recipe import make_segmenter
from napari_sam2.plugin.reports import report
from napari_sam2.plugin.review import Review
from napari_sam2.plugin.running import Running
from napari_sam2.plugin.session_files import SessionFiles
from napari_sam2.plugin.settings import PluginSettings
from napari_sam2.plugin.shaping import Shaping, expected_daughters
from napari_sam2.plugin.state import Message
from napari_sam2.plugin.tools import Tools
from napari_sam2.plugin.worker import CallJob, MakeSegmenter, Reply
from napari_sam2.plugin.workspace import DEFAULT_AXIS, Workspace, describe_loss

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_sam2.core.axes import StackView
    from napari_sam2.core.intensity import IntensityMapping


class Controller:
    """Ties a viewer, its sessions and the worker together; the panels and the keys call its methods.

    Every error of ours that a method meets becomes one notification, and the dock is usable afterwards. Only
    `attach` raises: it is called by programs.

    Parameters
    ----------
    viewer : ViewerModel
        Held weakly: the controller does not keep a closed window alive.
    make : callable, optional
        Makes the segmenter on the worker's thread; the real one by default.
    settings : PluginSettings
        Model, device, looks.
    """

    changed = Signal(description="Something that the dock shows has changed.")
    failed = Signal(object, description="An error was reported.")

    def __init__(
        self,
        viewer: ViewerModel,
        make: MakeSegmenter | None = None,
        settings: PluginSettings | None = None,
    ) -> None:
        self.settings = settings or PluginSettings()
        self.active_object, self.is_positive = 1, True
        self.message: Message | None = None
        self.download: Download | None = None
        self._workspace = Workspace(viewer, make or make_segmenter, self.fail, self.tell)
        self._workspace.bound.connect(self._on_bound)
        self._workspace.unbound.connect(self._on_unbound)
        self._workspace.layer_lost.connect(self._on_lost)
        self._mouse: MouseTool | None = None
        self.review, self.shaping, self.running = Review(self), Shaping(self), Running(self)
        self.tools, self.handwork, self.adopting = Tools(self), Handwork(self), Adopting(self)
        self.contrasting, self.exporting = Contrasting(self), Exporting(self)
        self.session_files = SessionFiles(self)
        self._lookout = Lookout(self)
        self.review.frame_shown.connect(self._lookout.follow)
        self._keys = KeyBindings(commands_of(self))

    # Life

    @property
    def viewer(self) -> ViewerModel:
        """The viewer; it must still be there."""
        return self._workspace.viewer

    @property
    def is_viewer_there(self) -> bool:
        """Whether the viewer still exists."""
        return self._workspace.is_viewer_there

    @property
    def binding(self) -> Binding | None:
        """The image in use, with its session and layers."""
        return self._workspace.binding

    @property
    def session(self) -> Session | None:
        """The session of the image in use."""
        return None if self.binding is None else self.binding.session

    def require_session(self) -> Session:
        """Return the session, or say that there is none."""
        if self.session is None:
            raise PropagationError("no image is being annotated", remedy="open one first")
        return self.session

    @property
    def is_open(self) -> bool:
        """Whether keys, mouse and worker are at work."""
        return self._workspace.worker is not None

    def open(self) -> None:
        """Start the worker, listen, and take up the top-most image."""
        if self.is_open:
            return
        self._workspace.open()
        self._mouse = MouseTool(self.viewer, self.handwork.intents)
        self._keys.bind(self.viewer)
        self.viewer.dims.events.current_step.connect(self.review.follow)
        self.viewer.layers.selection.events.active.connect(self.tools.show)
        self.viewer.layers.events.inserted.connect(self._on_layers)
        self.viewer.layers.events.removed.connect(self._on_layers)
        self._attach_default()

    def close(self) -> None:
        """End what is going on and give back what was bound; sessions and layers stay. May be repeated."""
        if not self.is_open:
            return
        if self.download is not None:
            self.download.cancel()
            self.download = None
        self._workspace.close()
        self.running.close()
        if self.is_viewer_there:
            self._keys.release()
            self._mouse.release()
            self.viewer.dims.events.current_step.disconnect(self.review.follow)
            self.viewer.layers.selection.events.active.disconnect(self.tools.show)
            self.viewer.layers.events.inserted.disconnect(self._on_layers)
            self.viewer.layers.events.removed.disconnect(self._on_layers)

    # Images

    def attach(self, image: Image, axis: FrameAxis | str = DEFAULT_AXIS) -> Session:
        """Annotate an image: begin a session, or take up the one that it has.

        Raises
        ------
        ImageError
            If the image cannot be used.
        PropagationError
            If a run is going on.
        """
        self.open()
        return self._workspace.attach(image, self.settings, axis).session

    def attach_seen(
        self, image: Image, view: StackView, mapping: IntensityMapping | None
    ) -> Binding:
        """Begin a session on an image that is seen exactly so; errors as of `attach`."""
        self.open()
        return self._workspace.attach(image, self.settings, seen=(view, mapping))

    def _attach_default(self) -> None:
        if not self.is_open or not self.is_viewer_there or self.session_files.look():
            return
        if self.binding is not None:
            return
        images = choices.images_of(self.viewer)
        if images:
            with self.reporting():
                self.attach(images[0])

    def _look_for_sessions(self) -> None:
        """Open the session that a layer came with; what was lost meanwhile is not begun again."""
        if self.is_open and self.is_viewer_there:
            self.session_files.look()

    def _on_layers(self, _event: Any = None) -> None:
        if self.binding is None:
            # Not now: whoever adds layers may be adding more, and the last one added becomes the active one.
            QTimer.singleShot(0, self._attach_default)
        else:
            # It may be one of ours, made when it was first needed, or come with its session.
            QTimer.singleShot(0, self.bind_keys)
            QTimer.singleShot(0, self._look_for_sessions)
        self.tell()

    def _on_bound(self, binding: Binding) -> None:
        session = binding.session
        self.running.follow(session)
        session.notice_given.connect(self._on_notice)
        self.handwork.bind(binding)
        self.session_files.bind(binding)
        self.bind_keys()
        self.activate(max(session.objects, default=1))  # which looks ahead, too

    def _on_unbound(self, binding: Binding) -> None:
        session = binding.session
        self._lookout.leave(binding)
        self.session_files.leave(binding)
        self.running.leave(session)
        session.notice_given.disconnect(self._on_notice, missing_ok=True)
        self.handwork.unbind(binding)
        for layer in binding.bridge.layers:
            self._keys.release(layer)

    def _on_lost(self, binding: Binding, layer: Layer) -> None:
        self.message = Message(describe_loss(binding, layer), "warning")
        self.tell()

    def bind_keys(self) -> None:
        """Let the keys work on all layers of the session; some are made when they are first needed."""
        for layer in () if self.binding is None else self.binding.bridge.layers:
            self._keys.bind(layer)

    # What a person chooses

    def choose_image(self, image: Image) -> None:
        """Annotate another image layer."""
        with self.reporting():
            self.attach(image)

    def choose_axis(self, axis: FrameAxis) -> None:
        """Count frames along another axis; only possible while there is no object."""
        with self.reporting():
            if self.require_session().objects:
                raise PropagationError(
                    "objects are tied to their frame axis", remedy="undo or remove them first"
                )
            self.attach(self.binding.image, axis)

    def choose_model(self, model: str) -> None:
        """Answer with another model from now on; one that is not on this computer is offered for download first."""
        with self.reporting():
            settings = replace(self.settings, model=model)
            if not choices.download_size(model):
                self._use(settings)
            self.settings = settings

    def choose_focus(self, is_on: bool) -> None:
        """Look at small objects in windows that follow them, or always at whole frames, from now on."""
        self._change(focus=is_on)

    def choose_quality(self, quality: Quality) -> None:
        """Look as closely, and remember as much, as `quality` says from now on."""
        self._change(quality=quality)

    def choose_device(self, device: str) -> None:
        """Let the model run elsewhere from now on."""
        self._change(device=device)

    def _change(self, **what: object) -> None:
        with self.reporting():
            settings = replace(self.settings, **what)
            self._use(settings)
            self.settings = settings

    def _use(self, settings: PluginSettings) -> None:
        self._workspace.use(settings)
        self._lookout.look()

    def download_model(self) -> None:
        """Fetch the chosen model."""
        with self.reporting():
            self.download = Download(self.settings.model, self.tell, self._on_downloaded)
            self.download.start(self._workspace.worker)

    def _on_downloaded(self, error: NapariSam2Error | None) -> None:
        self.download = None
        if error is not None:
            self.fail(error)
        else:
            self.choose_model(self.settings.model)

    # What a person says

    def click(self, gesture: Gesture, world: tuple[float, ...]) -> None:
        """Add a point where the mouse was clicked, or make the object there active."""
        with self.reporting():
            self.follow_display()
            index = self.binding.index_of(world)
            if gesture == "pick":
                self._pick(index)
            else:
                self._point(index, self.is_positive and gesture == "point")

    def follow_display(self) -> None:
        """While nothing was done yet, let frames be what the viewer shows."""
        self._workspace.follow_display(self.settings)

    def _point(self, index: tuple[float, ...], is_positive: bool) -> None:
        there = self.shaping.point_clicked(index)
        if there is None:
            self.session.add(PointPrompt(self.active_object, index, is_positive))
        elif there.is_positive != is_positive:
            self.session.flip_point(self.active_object, there.frame, there.position)

    def _pick(self, index: tuple[float, ...]) -> None:
        found = self.binding.bridge.object_at(*self.session.stack_view.to_frame(index))
        if found in self.session.objects:
            self.activate(found)

    def next_object(self) -> None:
        """Let the next click start a new object; pressing twice makes no gap."""
        session = self.session
        if session is not None and self.active_object in session.objects:
            daughters = expected_daughters(session)
            self.activate(daughters[0] if daughters else session.next_object_id)

    def previous_object(self) -> None:
        """Go back to the object before the active one."""
        objects = () if self.session is None else self.session.objects
        earlier = [item for item in objects if item < self.active_object]
        if earlier:
            self.activate(earlier[-1])

    def activate(self, object_id: int) -> None:
        """Let clicks speak about this object."""
        self.active_object = int(object_id)
        if self.binding is not None:
            self.binding.bridge.mark_active(self.active_object)
            self._lookout.look()
        self.tell()

    def toggle_sign(self) -> None:
        """Switch between positive and negative clicks."""
        self.set_sign(not self.is_positive)

    def set_sign(self, is_positive: bool) -> None:
        """Choose what a left click means."""
        self.is_positive = is_positive
        self.tell()

    def toggle_hidden(self) -> None:
        """Hide masks and prompts, or show them again."""
        if self.binding is not None:
            self.binding.bridge.toggle_visible()

    def propagate(self, direction: Direction = "both") -> None:
        """Carry what is missing or has changed along the frames; see `Running`."""
        self.running.propagate(direction)

    def choose_overlap(self, overlap: OverlapPolicy) -> None:
        """Decide who wins where masks of different runs overlap."""
        with self.reporting():
            self.require_session().set_overlap(overlap)

    def submit(self, job: CallJob, handler: Callable[[Reply], None]) -> None:
        """Have something done on the worker's thread, after what is going on there."""
        self._workspace.worker.submit(job, handler)

    def put_down(self) -> None:
        """Throw away what is being drawn; if nothing is, put down the tool in hand."""
        if not self._mouse.drop():
            self.tools.put_down()

    def undo(self) -> None:
        """Take back the last action."""
        with self.reporting():
            if self.session is not None:
                self.session.undo()

    def redo(self) -> None:
        """Do again what was undone."""
        with self.reporting():
            if self.session is not None:
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
            self.tell()

    def fail(self, error: NapariSam2Error) -> None:
        """Report an error: the one place that does, for all of them."""
        self.message = report(error)
        self.failed.emit(error)
        self.tell()

    def tell(self) -> None:
        """Let the dock show how things stand."""
        self.changed.emit()

    def _on_notice(self, text: str) -> None:
        self.message = Message(f"{text[:1].upper()}{text[1:]}.", "warning")
