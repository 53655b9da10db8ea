"""A job as a session: the same one that a person has, without a window."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from napari_sam2.api import Session
from napari_sam2.batch.job import JobSpec
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import OptionError
from napari_sam2.core.ids import ObjectId
from napari_sam2.core.options import NATIVE, InferenceOptions
from napari_sam2.core.saved import SavedSession
from napari_sam2.core.segmenter import Segmenter
from napari_sam2.io.sessions import SessionFile

_LARGEST_SHORT = int(np.iinfo(np.uint16).max)


def prepared_session(spec: JobSpec, said: SessionFile) -> Session:
    """Return a session on the stack of a job, in which nothing has been said yet; it opens without torch."""
    highest = max(int(item.object_id) for item in said.saved.prompts)
    place = said.place
    session = Session(
        spec.image,
        axis=frame_axis(spec, said),
        at=dict(spec.at),
        channel=spec.channel if place is None or not place.channels else place.channels,
        volumes=spec.volumes,
        level=spec.level or (0 if place is None else place.level),
        stack_view=said.stack_view,
        model=model_of(spec, said),
        limits=spec.limits or said.mapping,
        device=spec.device,
        options=options_of(spec, said),
        labels_dtype=np.uint16 if highest <= _LARGEST_SHORT else np.uint32,
    )
    if said.image is not None:
        said.image.check(session.frames)
    return session


def with_segmenter(session: Session, segmenter: Segmenter) -> None:
    """Have another segmenter answer."""
    session.engine = InlineEngine(segmenter)


def segmenter_of(session: Session) -> Segmenter:
    """Return who answers."""
    engine = session.engine
    assert isinstance(engine, InlineEngine)
    return engine.segmenter


def restricted(saved: SavedSession, objects: Collection[ObjectId]) -> SavedSession:
    """Return what was said about some objects only."""
    return replace(
        saved,
        prompts=tuple(item for item in saved.prompts if item.object_id in objects),
        locks=tuple(lock for lock in saved.locks if lock.object_id in objects),
    )


def frame_axis(spec: JobSpec, said: SessionFile) -> int:
    """Return the frame axis: that of the job, or of what is said, or the first."""
    return spec.axis if spec.axis is not None else said.axis or 0


def model_of(spec: JobSpec, said: SessionFile) -> str:
    """Return the model: that of the job, or of the session, or `nano`."""
    return spec.model or ("nano" if said.model is None else said.model.name)


def options_of(spec: JobSpec, said: SessionFile) -> InferenceOptions:
    """Return the options of the session, or the usual ones."""
    options = said.options or NATIVE
    chosen = {name: getattr(spec, name) for name in ("focus", "quality", "precision")}
    return replace(options, **{name: value for name, value in chosen.items() if value is not None})


def check_can_be_split(spec: JobSpec, said: SessionFile) -> None:
    """Refuse to split a job in which the masks of an object depend on the other objects of the run."""
    if spec.volumes is not None or (said.stack_view is not None and said.stack_view.depth):
        raise OptionError(
            f"{spec.name}: a row of volumes cannot be split by objects",
            remedy="leave split_objects out",
        )
    slots = options_of(spec, said).slots_per_step
    if slots != 1:
        raise OptionError(
            f"{spec.name}: its session tracks {slots} objects a step, and masks then differ in the last bits with "
            "the company that an object has",
            remedy="leave split_objects out, or save the session with slots_per_step=1",
        )
