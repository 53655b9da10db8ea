"""From a controller to the value that the panels show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from napari_sam2.plugin import choices
from napari_sam2.plugin.binding import Binding
from napari_sam2.plugin.controller import Controller
from napari_sam2.plugin.hints import Situation, next_step
from napari_sam2.plugin.positions import source_of
from napari_sam2.plugin.shaping import expected_daughters
from napari_sam2.plugin.state import DockState, Message, ObjectRow, Progress

MEDICAL_NOTICE = (
    "Medical image: for research use only, not a medical device. Not for diagnosis or treatment."
)


def present(controller: Controller) -> DockState:
    """Return all that the dock shows now."""
    binding = controller.binding
    missing = choices.download_size(controller.settings.model)
    common = {
        "images": choices.image_choices(controller.viewer),
        "models": choices.model_choices(),
        "model": controller.settings.model,
        "download_size": missing,
        "qualities": choices.QUALITIES,
        "quality": controller.settings.quality,
        "devices": choices.device_choices(),
        "device": controller.settings.device,
        "focus": controller.settings.focus,
        "is_positive": controller.is_positive,
        "active_object": controller.active_object,
        "progress": _progress(controller),
        "message": _message(controller, missing),
    }
    return DockState(**common) if binding is None else _with_session(binding, controller, common)


def _with_session(binding: Binding, controller: Controller, common: dict[str, object]) -> DockState:
    session = binding.session
    source = source_of(binding.image)
    is_stack, is_idle = len(binding.frames) > 1, common["progress"] is None
    return DockState(
        **common,
        has_session=True,
        image=binding.image,
        axes=choices.axis_choices(binding.image),
        axis=choices.axis_of(session.stack_view),
        contrasts=controller.contrasting.choices,
        axis_locked="Fixed while there are objects" if session.objects else "",
        objects=_rows(binding, controller.active_object),
        has_volumes=binding.sizes.is_volume,
        tool=controller.tools.current,
        label_layers=controller.adopting.choices,
        is_protecting=session.state.existing is not None,
        can_propagate=bool(session.objects) and is_stack and is_idle,
        is_stopped=bool(binding.stopped_run),
        scope=controller.running.scope,
        overlap=session.overlap,
        num_frames=len(binding.frames),
        frame=binding.bridge.current_frame,
        marks=binding.quality.marks_of(controller.active_object, binding.stopped_run),
        shows_only_active=binding.bridge.shows_only_active,
        log=session.log,
        export_suggestion=controller.exporting.suggestion,
        can_export=bool(session.objects) and not controller.exporting.is_busy,
        source_kind=source.kind,
        notice=MEDICAL_NOTICE if source.is_medical else "",
        offer=controller.session_files.offer,
        unsaved=controller.session_files.unsaved,
        undo_action=session.undo_action,
        redo_action=session.redo_action,
    )


def _rows(binding: Binding, active: int) -> tuple[ObjectRow, ...]:
    session = binding.session
    listed = {*session.objects, *expected_daughters(session), active}
    sizes = binding.sizes.texts(binding.bridge.current_frame)
    return tuple(_row(binding, object_id, sizes) for object_id in sorted(listed))


def _row(binding: Binding, object_id: int, sizes: Mapping[int, str]) -> ObjectRow:
    known, info = (
        binding.session.state.objects.get(object_id),
        binding.session.state.info(object_id),
    )
    row = ObjectRow(object_id, binding.bridge.color_of(object_id), 0, 0, info.name, info.class_name)
    if known is None:
        return row
    return replace(
        row,
        num_frames=binding.num_frames_of(object_id),
        num_prompted=len(known.prompts),
        lowest=binding.quality.lowest_of(object_id),
        size=sizes[object_id],
    )


def _progress(controller: Controller) -> Progress | None:
    if controller.download is not None:
        return controller.download.progress
    run = None if controller.session is None else controller.session.run
    if run is None:
        return None
    tracked = [item.object_id for item in run.request.objects]
    known = [item for item in tracked if item in controller.session.objects]
    frames = min(map(controller.binding.num_frames_of, known), default=0)
    text = f"{frames} of {len(controller.binding.frames)} frames"
    return Progress(run.done, run.total, text, run.is_cancelled)


def _message(controller: Controller, missing: int) -> Message:
    if controller.message is not None:
        return controller.message
    binding, session = controller.binding, controller.session
    if binding is None or session is None:
        has_image = bool(choices.images_of(controller.viewer))
        return next_step(Situation(has_image=has_image))
    return next_step(
        Situation(
            has_image=True,
            has_session=True,
            is_flat=len(binding.frames) == 1,
            num_objects=len(session.objects),
            has_active=controller.active_object in session.objects,
            num_waiting=binding.engine.num_waiting,
            is_loaded=binding.engine.is_loaded,
            is_running=session.run is not None,
            is_stopping=session.run is not None and session.run.is_cancelled,
            num_untracked=0 if session.run is not None or binding.is_done else 1,
            missing_model=controller.settings.model if missing else "",
        )
    )
