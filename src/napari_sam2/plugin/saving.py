"""Saving: from an image under annotation to what its session file says; the slow part runs on any thread."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.errors import NapariSam2Error
from napari_sam2.core.fingerprint import Fingerprint
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.options import InferenceOptions
from napari_sam2.core.placement import Placement
from napari_sam2.core.snapshot import Snapshot
from napari_sam2.core.sources import ImageSource
from napari_sam2.io.session_parts import ImagePlace, is_local
from napari_sam2.io.sessions import ImageFacts, ModelFacts, SessionFile, write_session
from napari_sam2.io.weights import weights_sha256
from napari_sam2.plugin.choices import shape_of
from napari_sam2.plugin.contrasting import mapping_of
from napari_sam2.plugin.positions import placement_of, source_of

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_sam2.plugin.binding import Binding
    from napari_sam2.plugin.settings import PluginSettings


@dataclass(frozen=True, slots=True)
class Moment:
    """A session at one moment, with what was chosen for it then."""

    snapshot: Snapshot
    placement: Placement
    mapping: IntensityMapping | None
    model: str
    options: InferenceOptions

    @classmethod
    def of(cls, binding: Binding, settings: PluginSettings) -> Moment:
        """Return the present moment; on the main thread, and at once."""
        placement = placement_of(binding.image)
        mapping = mapping_of(binding)
        snapshot = binding.session.snapshot()
        return cls(snapshot, placement, mapping, settings.model, settings.options)


class Writer:
    """Writes the sessions of one image; what is the same every time is found out once.

    Parameters
    ----------
    image : Image
        The layer; it is looked at here, on the main thread, and never again.
    frames : ArrayFrames
        Its frames.
    """

    def __init__(self, image: Image, frames: ArrayFrames) -> None:
        self._name, self._path, self._shape = image.name, path_of(image), shape_of(image)
        self._frames = frames
        self._hashes: dict[str, str | None] = {}
        self._known: tuple[ImageSource, Fingerprint] | None = None
        self._lock = threading.Lock()

    def write(self, path: Path, moment: Moment) -> None:
        """Write a session file; errors as of `write_session`, and `FrameReadError` for the image."""
        with self._lock:
            write_session(path, self._file(moment))

    def _file(self, moment: Moment) -> SessionFile:
        if self._known is None:
            self._known = self._source(moment.placement), Fingerprint.of(self._frames)
        source, fingerprint = self._known
        view = self._frames.stack_view
        return SessionFile(
            moment.snapshot.saved,
            view.frame_axis,
            ImageFacts.of(self._frames),
            view,
            moment.mapping,
            moment.options,
            ModelFacts(moment.model, self._hash(moment.model)),
            ImagePlace(replace(source, placement=moment.placement)),
            fingerprint,
            moment.snapshot.kept,
            moment.snapshot.log,
        )

    def _hash(self, model: str) -> str | None:
        if model not in self._hashes:
            try:
                self._hashes[model] = weights_sha256(model)
            except NapariSam2Error:  # still to be downloaded: nothing was made with it
                return None
        return self._hashes[model]

    def _source(self, placement: Placement) -> ImageSource:
        """Return where the image can be found again: only at a path that gives an image of this shape."""
        from napari_sam2.io.images import open_image

        source = ImageSource(self._name, placement)
        if self._path is None or not is_local(self._path):
            return source
        try:
            opened = open_image(self._path)
        except NapariSam2Error:
            return source
        return replace(opened.source, name=self._name) if opened.shape == self._shape else source


@dataclass(frozen=True, slots=True)
class Key:
    """By what sessions of an image are found again among all that were saved by themselves."""

    name: str
    digest: str = field(repr=False)

    @classmethod
    def of(cls, image: Image) -> Key:
        """Return the key of an image: of its path, or else its name, and its shape and type."""
        told = repr((path_of(image) or image.name, shape_of(image), str(image.dtype)))
        digest = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        plain = "".join(letter if letter.isalnum() else "_" for letter in image.name[:40])
        return cls(plain, digest)


def path_of(image: Image) -> str | None:
    """Return the absolute path of the file that a layer was opened from, or None."""
    path = source_of(image).path
    return path if path is None or not is_local(path) else str(Path(path).absolute())


def layer_arguments(placement: Placement) -> dict[str, Any]:
    """Return what places a new layer in the world as `placement` says."""
    given: dict[str, Any] = {}
    if placement.units and not placement.is_plain:
        linear = np.diag(placement.as_array())[:-1]
        if placement.is_straight and (linear > 0).all():
            given |= {"scale": tuple(linear), "translate": placement.translate}
        else:
            given["affine"] = placement.as_array()
    if any(unit != "pixel" for unit in placement.units):
        given["units"] = placement.units
    if placement.labels and all(placement.labels):
        given["axis_labels"] = placement.labels
    return given
