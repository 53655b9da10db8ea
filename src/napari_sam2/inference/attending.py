"""A frame attends to the memory of its objects: what was selected of it, lined up for the network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_sam2.inference.device import Shortcuts
from napari_sam2.inference.memory import Selection
from napari_sam2.model.sam2 import ImageFeatures, Sam2


class Attender:
    """Conditions frames on memory. What it remembers only saves time.

    Parameters
    ----------
    network : Sam2
        In evaluation mode.
    shortcuts : Shortcuts
        Which operations are saved.
    """

    def __init__(self, network: Sam2, shortcuts: Shortcuts) -> None:
        self._network, self._shortcuts = network, shortcuts
        self._begun: tuple[Tensor, Tensor] | None = None

    def condition(
        self, features: ImageFeatures, selections: Sequence[Selection], pointer_span: int
    ) -> Tensor:
        """Let a frame attend to the memory of each slot; all selections have one layout.

        Parameters
        ----------
        features : ImageFeatures
            Of one frame, batch 1.
        selections : sequence of Selection
            One a slot.
        pointer_span : int
            Distances of pointers are divided by the longest one remembered, min(span, 16) - 1 frames.

        Returns
        -------
        Tensor of shape (B, C, h, w)
            Conditioned features.
        """
        first, stride16 = selections[0], features.stride16
        device = stride16.device
        memories = torch.cat([torch.stack(s.memories, dim=1) for s in selections])
        longest = max(min(pointer_span, 16) - 1, 1)
        return self._network.condition(
            self._begin(stride16),
            memories.to(device, stride16.dtype),
            torch.tensor(first.rows, dtype=torch.int64, device=device),
            _stack_pointers(selections, stride16),
            torch.tensor(first.offsets, dtype=torch.float32, device=device) / longest,
            self._shortcuts.fold_values,
        )

    def _begin(self, stride16: Tensor) -> Tensor:
        """Begin with a frame, or go on with it for another object."""
        if self._begun is not None and self._begun[0] is stride16:
            return self._begun[1]
        begun = self._network.begin(stride16)
        if self._shortcuts.share_first_layer:
            self._begun = stride16, begun
        return begun


def _stack_pointers(selections: Sequence[Selection], stride16: Tensor) -> Tensor:
    if not selections[0].pointers:
        return stride16.new_zeros(len(selections), 0, stride16.shape[1])
    stacked = torch.cat([torch.stack(s.pointers, dim=1) for s in selections])
    return stacked.to(stride16.device, stride16.dtype)
