"""Run one job, or one part of it: open, say, propagate, write; a headless twin of the plugin."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2.batch import runtime
from napari_sam2.batch.job import JobSpec
from napari_sam2.batch.results import (
    part_path,
    report_path,
    result_path,
    sha256_of,
    write_json,
    write_result,
)
from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.errors import MissingWeightsError

if TYPE_CHECKING:
    from napari_sam2.api import Session
    from napari_sam2.core.ids import ObjectId
    from napari_sam2.io.sessions import SessionFile


def run_job(spec: JobSpec, out: Path, key: str, num_parts: int = 1) -> dict[str, Any]:
    """Make the labels of a job, write them, and then the report that proves them.

    Parameters
    ----------
    spec : JobSpec
        The job.
    out : Path
        The output folder, which is there.
    key : str
        See `results.job_key`.
    num_parts : int
        With more than one, nothing is tracked: the parts, which are all there, are joined.

    Returns
    -------
    dict
        The report.
    """
    clock = _Clock()
    session, said = _opened(spec, out, key, num_parts, clock)
    with clock.timing("propagate"):
        propagated = _propagate(session, spec)
    path = result_path(out, spec)
    with clock.timing("write"):
        write_result(session, path, spec.format)
    report = _report(session, spec, said, propagated) | {
        "key": key,
        "labels": path.name,
        "sha256": sha256_of(path),
        "parts": num_parts,
        "seconds": clock.seconds,
    }
    write_json(report_path(out, spec), report)
    return report


def run_part(spec: JobSpec, out: Path, key: str, part: int, num_parts: int) -> None:
    """Track some objects of a job, and keep their masks to be joined."""
    from napari_sam2.batch import opening, parts
    from napari_sam2.batch.prompts import object_ids, read_said

    said = read_said(spec)
    session = opening.prepared_session(spec, said)
    recording = parts.RecordingSegmenter(opening.segmenter_of(session))
    opening.with_segmenter(session, recording)
    session.reopen(opening.restricted(said.saved, objects_of_part(object_ids(said), part, spec)))
    _propagate(session, spec)
    parts.write_part(part_path(out, spec, part, num_parts), recording.records, key)


def objects_of_part(
    objects: tuple[ObjectId, ...], part: int, spec: JobSpec
) -> tuple[ObjectId, ...]:
    """Return the objects that one part of a job tracks."""
    start = part * spec.split_objects
    return objects[start : start + spec.split_objects]


def _opened(
    spec: JobSpec, out: Path, key: str, num_parts: int, clock: _Clock
) -> tuple[Session, SessionFile]:
    from napari_sam2.batch import opening, parts
    from napari_sam2.batch.prompts import read_said

    with clock.timing("open"):
        said = read_said(spec)
        session = opening.prepared_session(spec, said)
        if num_parts > 1:
            paths = (part_path(out, spec, part, num_parts) for part in range(num_parts))
            records = [record for path in paths for record in parts.read_part(path, key)]
            opening.with_segmenter(session, parts.ReplayingSegmenter(records))
    with clock.timing("prompts"):
        session.reopen(said.saved)
    return session, said


def _propagate(session: Session, spec: JobSpec) -> int:
    run = session.propagate(direction=spec.direction)
    for _ in run:
        pass
    return run.total


class _Clock:
    """Seconds that every step took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timing(self, step: str) -> Iterator[None]:
        """Time what is done inside."""
        start = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - start, 4)


def _report(session: Session, spec: JobSpec, said: SessionFile, propagated: int) -> dict[str, Any]:
    frames, sha256 = session.frames, _weights(session.model)
    meant = None if said.model is None else said.model.sha256
    return {
        "name": spec.name,
        "job": spec.to_payload(),
        "versions": _versions(),
        "runtime": runtime.facts(spec.device),
        "seed": spec.seed,
        "model": {"name": session.model, "sha256": sha256},
        "model_is_that_of_the_session": None if meant is None else meant == sha256,
        "axis": session.stack_view.frame_axis,
        "limits": [session.mapping.low, session.mapping.high, session.mapping.provenance],
        "shape": [len(frames), *frames.shape],
        "dtype": frames.dtype.name,
        "propagated": propagated,
        "blank_frames": list(frames.blank) if isinstance(frames, ArrayFrames) else [],
        "objects": [_scores(session, object_id) for object_id in session.objects],
    }


def _scores(session: Session, object_id: ObjectId) -> dict[str, Any]:
    """Return how one object went: on how many frames it is seen, and how sure the network was of it there."""
    from napari_sam2.core.masks import EMPTY_BOX

    records = (session.record(object_id, t) for t in range(len(session.frames)))
    known = [record for record in records if record is not None]
    seen = [record for record in known if record.box != EMPTY_BOX]
    count = max(len(seen), 1)
    return {
        "object": int(object_id),
        "frames": len(seen),
        "prompted": [int(t) for t in sorted(session.state.objects[object_id].prompts)],
        "mean_iou": round(sum(record.iou for record in seen) / count, 4),
        "mean_object_score": round(sum(record.object_score for record in seen) / count, 4),
    }


def _versions() -> dict[str, str]:
    import numpy as np

    from napari_sam2 import __version__

    return {
        "napari-sam2": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def _weights(model: str) -> str | None:
    from napari_sam2.io.weights import weights_sha256

    try:
        return weights_sha256(model)
    except MissingWeightsError:
        return None
