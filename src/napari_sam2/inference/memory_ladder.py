"""What is tried, in this order, when memory runs out: drop caches, then fewer objects at once, then say what helps."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from napari_sam2.core.errors import OutOfMemoryError
from napari_sam2.core.failures import KEPT, amount_asked, is_out_of_memory

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class MemoryLadder:
    """Repeats work for which memory ran out, with less each time, at most a few times.

    What did not fit once is not tried again: the caches stay smaller, and so does the number of objects a batch.

    Parameters
    ----------
    device : torch.device
        Where the network is.
    slots : int
        How many objects go through the network at once, to begin with.
    drop_caches : callable
        Forgets what can be computed again.

    Attributes
    ----------
    slots : int
        How many objects may go through the network at once now.
    """

    def __init__(self, device: torch.device, slots: int, drop_caches: Callable[[], None]) -> None:
        self._device, self.slots, self._drop_caches = device, slots, drop_caches

    def climb(self, doing: str, work: Callable[[], Result]) -> Result:
        """Return what `work` does, or `OutOfMemoryError` if memory runs out on every rung.

        Parameters
        ----------
        doing : str
            For the message: "tracking frame 3".
        work : callable
            May be called several times; an attempt that fails must leave nothing behind.
        """
        for relieve in self._rungs():
            try:
                return work()
            except (MemoryError, RuntimeError) as error:
                asked = self._asked(error)
            # Out of the handler, where nothing holds the tensors of the attempt any more.
            done = relieve()
            logger.warning("memory ran out %s%s; %s and trying again", doing, asked, done)
        try:
            return work()
        except (MemoryError, RuntimeError) as error:
            raise self._given_up(doing, self._asked(error)) from error

    def _asked(self, error: MemoryError | RuntimeError) -> str:
        """Return how much was asked for; an error of another kind is raised on."""
        if not is_out_of_memory(error):
            raise error
        traceback.clear_frames(error.__traceback__)
        return amount_asked(error)

    def _rungs(self) -> Iterator[Callable[[], str]]:
        yield self._drop
        while self.slots > 1:
            yield self._halve

    def _drop(self) -> str:
        self._drop_caches()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        return "dropping what was kept of encoded frames"

    def _halve(self) -> str:
        self.slots //= 2
        return f"taking {self.slots} objects at once from now on"

    def _given_up(self, doing: str, asked: str) -> OutOfMemoryError:
        is_card = self._device.type != "cpu"
        where = "of the graphics card" if is_card else "of the computer"
        free = free_memory(self._device)
        left = "" if free is None else f"; {free / 2**30:.3g} GiB are free"
        remedies = ["choose a smaller model", "close other programs"]
        if is_card:
            remedies.insert(0, "choose the device 'cpu'")
        return OutOfMemoryError(
            f"memory {where} ran out {doing}{asked}{left}",
            kept=KEPT,
            remedy=", or ".join(remedies),
        )


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device, None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
