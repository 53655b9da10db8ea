"""The folder of the Cell Tracking Challenge: ``maskTTT.tif`` and ``man_track.txt``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_sam2.core.errors import LabelsError
from napari_sam2.core.results import LabelResult
from napari_sam2.io.listing import holds_only

_HIGHEST = 65_535


@dataclass(frozen=True, slots=True)
class Track:
    """An unbroken part of an object's way: its label in the masks, first and last time point, and the track before."""

    label: int
    object_id: int
    first: int
    last: int
    parent: int


def write_ctc(path: Path, result: LabelResult) -> None:
    """Write the masks of every time point, and the table of tracks.

    A track of the challenge has no gaps: where an object disappears and comes back, a new track begins whose parent is
    the one before. A stack in space is one time point.
    """
    import tifffile

    # Read twice, so that no more than one time point is in memory.
    present = [set(np.unique(labels).tolist()) - {0} for labels in _time_points(result)]
    tracks = tracks_of(result, present)
    digits = max(3, len(str(len(present) - 1)))
    for number, labels in enumerate(_time_points(result)):
        names = {
            track.object_id: track.label for track in tracks if track.first <= number <= track.last
        }
        tifffile.imwrite(
            path / f"mask{number:0{digits}d}.tif",
            _renamed(labels, names),
            photometric="minisblack",
            compression="zlib",
        )
    lines = (f"{item.label} {item.first} {item.last} {item.parent}\n" for item in tracks)
    (path / "man_track.txt").write_text("".join(lines), encoding="ascii")


def _time_points(result: LabelResult) -> Iterator[np.ndarray]:
    """Yield the labels of every time point: a frame, or a volume."""
    if result.view.depth:
        for first in range(0, result.num_frames, result.view.depth):
            yield np.asarray(result.labels[first : first + result.view.depth])
    elif result.is_deep:
        yield np.asarray(result.labels[...])
    else:
        for t in range(result.num_frames):
            yield np.asarray(result.labels[t])


def tracks_of(result: LabelResult, present: list[set[int]]) -> list[Track]:
    """Return the tracks of all objects; `present`: which are visible at every time point.

    Raises
    ------
    LabelsError
        If there are more than the format can number.
    """
    objects = sorted(set().union(*present)) if present else []
    spare = iter(range(max(objects, default=0) + 1, 1 << 62))
    tracks: list[Track] = []
    last_of: dict[int, list[Track]] = {}
    for object_id in objects:
        times = [t for t, there in enumerate(present) if object_id in there]
        for number, (first, last) in enumerate(_stretches(times)):
            label = object_id if number == 0 else next(spare)
            before = last_of.get(object_id, [])
            track = Track(label, object_id, first, last, before[-1].label if before else 0)
            last_of.setdefault(object_id, []).append(track)
            tracks.append(track)
    if any(track.label > _HIGHEST for track in tracks):
        raise LabelsError(
            f"the Cell Tracking Challenge numbers tracks up to {_HIGHEST}",
            remedy="give objects smaller ids, or choose another format",
            kept="no file was written",
        )
    return sorted(
        (_with_mother(track, result, last_of) for track in tracks), key=lambda track: track.label
    )


def _with_mother(track: Track, result: LabelResult, tracks: Mapping[int, list[Track]]) -> Track:
    """Return the track with the last one of its mother that ended before it, if it has none of its own before it."""
    mother = result.info(track.object_id).parent
    if track.parent or mother is None:
        return track
    ended = [item.label for item in tracks.get(mother, ()) if item.last < track.first]
    return Track(track.label, track.object_id, track.first, track.last, ended[-1] if ended else 0)


def _stretches(times: list[int]) -> Iterator[tuple[int, int]]:
    first = before = times[0]
    for t in times[1:]:
        if t != before + 1:
            yield first, before
            first = t
        before = t
    yield first, before


def _renamed(labels: np.ndarray, names: Mapping[int, int]) -> np.ndarray:
    values, places = np.unique(labels, return_inverse=True)
    renamed = np.array([names.get(value, 0) for value in values.tolist()], np.uint16)
    return renamed[places].reshape(labels.shape)


def is_ctc(folder: Path) -> bool:
    """Say whether a folder holds masks and a table as we write them, and nothing else."""
    return holds_only(folder, r"mask\d{3,}\.tif|man_track\.txt")
