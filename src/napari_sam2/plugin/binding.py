"""Binding: one image under annotation, with its session, its way to the model and its layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import ImageError, NapariSam2Error
from napari_sam2.core.extent import WHOLE
from napari_sam2.core.run import Run
from napari_sam2.core.session import Session
from napari_sam2.plugin.choices import pixels_of
from napari_sam2.plugin.engine import WorkerEngine
from napari_sam2.plugin.layers import LayerBridge
from napari_sam2.plugin.positions import displayed_axes, to_data
from napari_sam2.plugin.quality import QualityWatch
from napari_sam2.plugin.recipe import Recipe
from napari_sam2.plugin.settings import PluginSettings
from napari_sam2.plugin.sizes import Sizes
from napari_sam2.plugin.worker import SafeWorker

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_sam2.core.intensity import IntensityMapping


class Binding:
    """Made once an image and frame axis; opened and closed with the dock, and the session lives on in between.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that holds `image`.
    image : Image
        What is annotated. Its data are taken as they are now: a run never mixes two images.
    stack_view : StackView
        Which axes are frames, rows and columns.
    worker : SafeWorker
        Owns the model.
    settings : PluginSettings
        Model, device, looks.
    failed : callable
        Gets errors that come from the worker.
    changed : callable
        Called when something that the dock shows has changed.
    mapping : IntensityMapping, optional
        How the frames are seen; by default as the layer shows them.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        stack_view: StackView,
        worker: SafeWorker,
        settings: PluginSettings,
        failed: Callable[[NapariSam2Error], None],
        changed: Callable[[], None],
        mapping: IntensityMapping | None = None,
    ) -> None:
        self._viewer, self.image, self._settings = viewer, image, settings
        self._failed, self._changed = failed, changed
        self._pixels = pixels_of(image)
        self.frames = ArrayFrames(self._pixels, stack_view, rgb=image.rgb, name=image.name)
        limits = None if image.rgb else tuple(float(limit) for limit in image.contrast_limits)
        self._limits = limits
        self.engine = self._engine(worker)
        self.session = Session(self.frames, self.engine, stack_view=stack_view, mapping=mapping)
        self.quality, self.sizes = QualityWatch(self.session), Sizes(self.session, image)
        self.bridge = LayerBridge(viewer, image, self.session, settings)
        self.stopped_run = 0  # the number of the last run, if somebody stopped it
        self._has_told_nonfinite = False

    def _engine(self, worker: SafeWorker) -> WorkerEngine:
        chosen = self._settings
        depth = self.frames.stack_view.depth
        recipe = Recipe(
            chosen.model, self.frames, self._limits, chosen.device, chosen.options, depth
        )
        return WorkerEngine(worker, recipe, self._refused, self._note_frames)

    def _refused(self, generation: int, error: NapariSam2Error) -> None:
        self.session.refuse(generation)
        self._failed(error)

    def use(self, worker: SafeWorker, settings: PluginSettings) -> None:
        """Answer with other settings from now on; what there is stays."""
        self._settings = settings
        fresh = self._engine(worker)
        if fresh.recipe == self.engine.recipe:
            # The same model on another worker: nothing that it found is out of date.
            self.engine.move_to(worker)
        else:
            self.session.engine = self.engine = fresh
        self.engine.load(self._failed)

    def open(self) -> None:
        """Show the session in the viewer."""
        self.bridge.open()
        self.image.events.contrast_limits.connect(self._on_contrast)
        self.session.run_finished.connect(self._note_run)
        self.session.history_changed.connect(self._changed)
        self.session.frame_committed.connect(self._note_frames, max_args=0)

    def close(self) -> None:
        """End what is going on and stop following; session and layers stay."""
        run = self.session.run
        if run is not None:
            run.cancel()
            run.finish()
        self.bridge.close()
        self.image.events.contrast_limits.disconnect(self._on_contrast)
        for signal, slot in (
            (self.session.run_finished, self._note_run),
            (self.session.history_changed, self._changed),
            (self.session.frame_committed, self._note_frames),
        ):
            signal.disconnect(slot, missing_ok=True)

    def _on_contrast(self, _event: Any = None) -> None:
        """Say that the image is shown otherwise; the model sees it as before."""
        self._changed()

    def _note_frames(self) -> None:
        """Say once that some pixels cannot be seen; frames are read on the worker's thread, so nobody else does."""
        odd = self.frames.nonfinite
        if odd and not self._has_told_nonfinite:
            self._has_told_nonfinite = True
            first = min(odd)
            self.session.notice_given.emit(
                f"{odd[first]} pixels of frame {first} are NaN or infinite and count as background"
            )
        self._changed()

    def _note_run(self, run: Run) -> None:
        self.stopped_run = run.number if run.is_cancelled and not run.is_complete else 0
        self._changed()

    @property
    def is_current(self) -> bool:
        """Whether the image still shows the pixels that the model sees."""
        return pixels_of(self.image) is self._pixels

    def index_of(self, world: Sequence[float]) -> tuple[float, ...]:
        """Return the data index of a world position.

        Raises
        ------
        ImageError
            If the image shows other pixels than the model sees.
        PromptError
            If the viewer shows another plane than the frames, or three dimensions.
        """
        self.check_current()
        self.check_shown()
        return to_data(self.image, self._viewer, world)

    def check_shown(self) -> None:
        """Refuse what is said while the viewer shows another plane than the frames, or three dimensions."""
        self.session.stack_view.check_displayed(displayed_axes(self.image, self._viewer))

    def check_current(self) -> None:
        """Refuse what is said about other pixels than the model sees.

        Raises
        ------
        ImageError
            If the pixels of the image were replaced.
        """
        if not self.is_current:
            raise ImageError(
                f"the pixels of '{self.image.name}' were replaced since its objects were begun",
                kept="objects and labels are kept",
                remedy="choose the image again to begin anew",
            )

    @property
    def is_done(self) -> bool:
        """Whether every object has a mask on every frame and no mask is out of date."""
        return not self.session.changed and all(
            self.num_frames_of(object_id) == self._num_expected(object_id)
            for object_id in self.session.objects
        )

    def num_frames_of(self, object_id: int) -> int:
        """Return on how many frames an object is known, of those on which it may be."""
        known = self.session.state.objects[object_id]
        extent = self.session.info(object_id).extent
        if extent == WHOLE:
            untracked = (frame for frame in known.answers if frame not in known.tracks)
            return len(known.tracks) + sum(1 for _ in untracked)
        return sum(1 for frame in {*known.tracks, *known.answers} if frame in extent)

    def _num_expected(self, object_id: int) -> int:
        extent = self.session.info(object_id).extent
        return len(range(len(self.frames))[extent.first : extent.stop])
