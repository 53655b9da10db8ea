"""Stopping inside a frame: the network looks whether somebody cancelled, between its larger parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from napari_sam2.core.cancellation import Cancellation
from napari_sam2.model.sam2 import Sam2


class StoppedError(Exception):
    """The frame in work was given up; never leaves `Sam2Segmenter`."""


def checkpoints(network: Sam2) -> tuple[nn.Module, ...]:
    """Return the parts before which is looked: none of them takes long, and every object passes some on each frame."""
    attention = [
        part
        for layer in network.memory_attention.layers
        for part in (layer.self_attn, layer.cross_attn, layer.linear1)
    ]
    return (
        *network.trunk.blocks,
        network.neck,
        *attention,
        network.mask_decoder,
        network.memory_encoder,
    )


@contextmanager
def stoppable(network: Sam2, cancellation: Cancellation | None) -> Iterator[None]:
    """Let `network` raise `StoppedError` at its next checkpoint once `cancellation` is asked, inside the context.

    The network is used by one thread only, so nobody else's work is stopped.
    """

    def look(_part: nn.Module, _inputs: object) -> None:
        if cancellation is not None and cancellation.is_asked:
            raise StoppedError

    parts = () if cancellation is None else checkpoints(network)
    handles = [part.register_forward_pre_hook(look) for part in parts]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
