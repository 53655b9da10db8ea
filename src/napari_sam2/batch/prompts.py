"""What is said about the objects of a job: read from a file, or taken from labels that somebody has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_sam2.batch.job import JobSpec
from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import LabelsError, OptionError
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.core.saved import SavedSession
from napari_sam2.io.images import is_folder_of_pictures, open_frames, open_image
from napari_sam2.io.json_files import read_json
from napari_sam2.io.masklets import read_labels
from napari_sam2.io.sessions import MAX_BYTES, SessionFile, read_session


def read_said(spec: JobSpec) -> SessionFile:
    """Return what is said in a job, whatever it comes from, as a session that can be opened.

    Raises
    ------
    FileFormatError, FrameReadError
        If the file cannot be read.
    LabelsError
        If labels are none, or there is nothing on them.
    OptionError
        If frames are counted along another axis than the job says.
    """
    if spec.labels is not None or spec.segmentation is not None:
        return SessionFile(SavedSession(_from_labels(spec)), spec.axis or 0)
    file = read_session(spec.source)
    if spec.axis is not None and spec.axis != file.axis and _says_axis(spec.source):
        raise OptionError(
            f"{spec.name}: axis is {spec.axis}, but {spec.source.name} counts frames along axis {file.axis}",
            remedy="prompts are valid along one axis only; leave axis out or correct the file",
        )
    return file


def object_ids(said: SessionFile) -> tuple[ObjectId, ...]:
    """Return the objects about which something is said, ascending."""
    return tuple(sorted({item.object_id for item in said.saved.prompts}))


def first_masks(frames: ArrayFrames) -> dict[ObjectId, tuple[FrameIndex, PackedMask]]:
    """Return every label's frame and mask where it is seen first: how objects in time are given."""
    found: dict[ObjectId, tuple[FrameIndex, PackedMask]] = {}
    for t, labels in _read_all(frames):
        for value, _ in _areas(labels):
            if value not in found:
                found[value] = t, PackedMask.from_array(labels == value)
    return found


def largest_masks(frames: ArrayFrames) -> dict[ObjectId, tuple[FrameIndex, PackedMask]]:
    """Return every label's frame and mask where its section is largest, of equal ones the first."""
    found: dict[ObjectId, tuple[FrameIndex, PackedMask]] = {}
    areas: dict[ObjectId, int] = {}
    for t, labels in _read_all(frames):
        for value, area in _areas(labels):
            if area > areas.get(value, 0):
                areas[value] = area
                found[value] = t, PackedMask.from_array(labels == value)
    return found


def objects_on_one_frame(
    frames: ArrayFrames, frame: int | None, *, is_largest: bool
) -> dict[ObjectId, tuple[FrameIndex, PackedMask]]:
    """Return the objects of one frame of a segmentation, whose numbers mean nothing beyond it.

    A frame on which all pixels of objects have one value is taken apart into its connected regions.

    Parameters
    ----------
    frames : ArrayFrames
        The segmentation; a single image lies on `frame`, or on the first one.
    frame : int, optional
        Which one; by default the first with an object, or, if `is_largest`, that with most pixels of objects.
    """
    if len(frames) == 1:
        t, labels = FrameIndex(frame or 0), _checked(frames.read(0), frames.name)
    else:
        t, labels = _chosen_frame(frames, frame, is_largest=is_largest)
    values = _areas(labels)
    if len(values) == 1:
        from skimage.measure import label

        labels = label(labels > 0, connectivity=1)
        values = _areas(labels)
    return {value: (t, PackedMask.from_array(labels == value)) for value, _ in values}


def _from_labels(spec: JobSpec) -> tuple[ObjectPrompts, ...]:
    frames = _open_labels(spec.source, spec.axis or 0)
    is_largest = _takes_largest(spec)
    if spec.segmentation is not None:
        found = objects_on_one_frame(frames, spec.frame, is_largest=is_largest)
    else:
        found = largest_masks(frames) if is_largest else first_masks(frames)
    if not found:
        raise LabelsError(
            f"{spec.source} has no object to start from",
            remedy="labels are 0 for background, and a number from 1 for every object",
        )
    return tuple(
        ObjectPrompts(value, (FramePrompts(t, (PromptStep(mask=mask),)),))
        for value, (t, mask) in sorted(found.items())
    )


def _takes_largest(spec: JobSpec) -> bool:
    """Say whether objects are given by their largest section; "auto" asks the image what its frames are."""
    if spec.prompt_frame != "auto":
        return spec.prompt_frame == "largest"
    names = open_image(spec.image).source.placement.labels[-3:]
    return len(names) == 3 and names[spec.axis or 0].lower() == "z"


def _open_labels(path: Path, axis: int) -> ArrayFrames:
    """Open labels frame by frame; those in a folder of pictures may be palettes, which are read as a whole."""
    is_small = path.suffix.lower() == ".npz"
    if is_small or (path.is_dir() and is_folder_of_pictures(path)):
        labels = read_labels(path)
        return ArrayFrames(labels, StackView.default(labels.ndim, axis), name=path.name)
    frames = open_frames(path, axis)
    if frames.is_rgb or not isinstance(frames, ArrayFrames):
        raise LabelsError(f"{path} holds colours, not labels", remedy="save the numbers instead")
    return frames


def _chosen_frame(
    frames: ArrayFrames, frame: int | None, *, is_largest: bool
) -> tuple[FrameIndex, np.ndarray]:
    if frame is not None:
        return FrameIndex(frame), _checked(frames.read(frame), frames.name)
    best = FrameIndex(0), np.zeros(frames.shape, np.uint8)
    for t, labels in _read_all(frames):
        if np.count_nonzero(labels) > np.count_nonzero(best[1]):
            best = t, labels
            if not is_largest:
                break
    return best


def _read_all(frames: ArrayFrames) -> Iterator[tuple[FrameIndex, np.ndarray]]:
    for t in range(len(frames)):
        yield FrameIndex(t), _checked(frames.read(t), frames.name)


def _checked(labels: np.ndarray, name: str) -> np.ndarray:
    if labels.dtype.kind not in "bui" or labels.min() < 0:
        raise LabelsError(
            f"'{name}' holds {labels.dtype} from {labels.min():g} on, not labels",
            remedy="labels are whole numbers from 0 on, one a pixel",
        )
    return labels


def _areas(labels: np.ndarray) -> list[tuple[ObjectId, int]]:
    """Return every object on a frame, and how many pixels it has."""
    values, counts = np.unique(labels, return_counts=True)
    pairs = zip(values.tolist(), counts.tolist(), strict=True)
    return [(ObjectId(int(value)), int(count)) for value, count in pairs if value > 0]


def _says_axis(path: Path) -> bool:
    """Say whether a file names the frame axis itself."""
    _, content = read_json(path, MAX_BYTES)
    return isinstance(content, dict) and "axis" in content
