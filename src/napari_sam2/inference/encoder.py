"""Frames, or windows of them, become embeddings; what was encoded is kept as long as memory allows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from napari_sam2.core.frames import FrameSource
from napari_sam2.core.intensity import IntensityMapping, is_blank
from napari_sam2.core.views import View
from napari_sam2.inference.embeddings import BoundedCache, embedding_size
from napari_sam2.inference.kept import KeptEmbeddings
from napari_sam2.inference.transforms import to_model_input
from napari_sam2.model.sam2 import ImageFeatures, Sam2


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a view of a frame shows. `features`: batch 1; `is_blank`: the same intensity everywhere."""

    features: ImageFeatures
    is_blank: bool


class FrameEncoder:
    """Encodes views of frames.

    Parameters
    ----------
    network : Sam2
        In evaluation mode.
    frames : FrameSource
        The stack; the frame read last is kept, since its objects may each have a window of it.
    mapping : IntensityMapping
        The same for the whole stack.
    device : torch.device
        Where the network is.
    cache_bytes : int
        Budget for embeddings.
    kept : KeptEmbeddings, optional
        Where embeddings are that were made before.
    """

    def __init__(
        self,
        network: Sam2,
        frames: FrameSource,
        mapping: IntensityMapping,
        device: torch.device,
        cache_bytes: int,
        kept: KeptEmbeddings | None = None,
    ) -> None:
        self._network, self._frames, self.mapping = network, frames, mapping
        self._device, self._kept = device, kept
        self._last: tuple[int, np.ndarray] | None = None
        self._seen: BoundedCache[Seen] = BoundedCache(
            cache_bytes, lambda seen: embedding_size(seen.features)
        )

    def embed(self, t: int, view: View) -> ImageFeatures:
        """Return the features, batch 1, of what `view` shows of frame `t`."""
        return self._see(t, view).features

    def is_blank(self, t: int, view: View) -> bool:
        """Say whether `view` shows the same intensity everywhere on frame `t`: there is nothing to be seen."""
        return self._see(t, view).is_blank

    def prepare(self, t: int, view: View, *, may_forget: bool) -> bool:
        """Encode `view` of frame `t` ahead, unless that is done; say whether it is there, or had no room.

        What is there already does not count as used by this, unless it `may_forget` others: encoding outward from a
        frame must not make that frame the first one to be dropped.
        """
        if not may_forget and ((t, view) in self._seen or not self._seen.has_room):
            return (t, view) in self._seen
        self._see(t, view)
        return True

    @contextmanager
    def exactly(self) -> Iterator[FrameEncoder]:
        """Give an encoder that makes everything anew in float32; all else that is computed meanwhile is in it, too."""
        with torch.autocast(self._device.type, enabled=False):
            yield FrameEncoder(self._network, self._frames, self.mapping, self._device, 0)

    def _see(self, t: int, view: View) -> Seen:
        return self._seen.get_or_make((t, view), lambda: self._recall(t, view))

    def _recall(self, t: int, view: View) -> Seen:
        """Take the embedding from where it was kept, or encode the view and keep it."""
        if self._kept is None:
            return self._encode(t, view)
        pixels, side = self._read(t)[view.slices], self._network.config.image_size

        def encoded() -> tuple[ImageFeatures, bool]:
            seen = self._encode(t, view)
            return seen.features, seen.is_blank

        return Seen(*self._kept.get_or_make(pixels, view, self.mapping, side, encoded))

    def _encode(self, t: int, view: View) -> Seen:
        shown = self.mapping.apply(self._read(t)[view.slices])
        side = self._network.config.image_size
        features = self._network.encode_image(to_model_input(shown, side, self._device))
        return Seen(features, is_blank(shown))

    def _read(self, t: int) -> np.ndarray:
        if self._last is None or self._last[0] != t:
            self._last = t, self._frames.read(t)
        return self._last[1]
