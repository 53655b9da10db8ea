"""Numbers that are not finite: work is done once more in float32, and then rather nothing is said than noise."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from napari_sam2.inference.encoder import FrameEncoder
from napari_sam2.inference.step import StepOutput

logger = logging.getLogger(__name__)

Result = TypeVar("Result", StepOutput, Tensor)


def soundly(
    encoder: FrameEncoder, doing: str, work: Callable[[FrameEncoder], Result]
) -> Result | None:
    """Return what `work` finds with an encoder; None if it is not finite, in float32 neither.

    Parameters
    ----------
    encoder : FrameEncoder
        The usual one; the second attempt gets one that encodes anew, in float32.
    doing : str
        For the log: "tracking frame 3".
    work : callable
        Everything that may overflow.
    """
    found = work(encoder)
    if is_sound(found):
        return found
    logger.warning("numbers are not finite %s; doing it again in float32", doing)
    with encoder.exactly() as exact:
        found = work(exact)
    if is_sound(found):
        return found
    logger.error("numbers are not finite %s, in float32 neither", doing)
    return None


def is_sound(found: StepOutput | Tensor) -> bool:
    """Say whether all numbers of an answer or of a memory are finite."""
    if isinstance(found, Tensor):
        return bool(torch.isfinite(found).all())
    return all(map(is_sound, (found.logits, found.iou, found.object_score, found.pointer)))
