"""Session: objects, prompts and results of one stack; the single source of truth."""

from __future__ import annotations

from napari_sam2.core.choosing import Choosing
from napari_sam2.core.contrast import Contrast
from napari_sam2.core.doubting import Doubting
from napari_sam2.core.drawing import Drawing
from napari_sam2.core.opening import Opening
from napari_sam2.core.recording import recorded


class Session(Drawing, Choosing, Contrast, Opening, Doubting):
    """Objects, prompts and results of one stack, with undo; everything happens on the thread that made it.

    Only `Run.store`, `Run.cancel` and the store itself may be used on other threads. Every action checks its input
    in full, makes one history entry, and asks the engine. If the input is refused or the engine raises, the session
    is exactly as it was.

    Parameters
    ----------
    frames : FrameSource
        The stack; only its shape and length are used here.
    engine : Engine
        The way to the model.
    stack_view : StackView, optional
        How prompts on the n-D array (`add`) lie on the frames; the first axis of three by default.
    store : MaskStore, optional
        Where results are kept; in memory by default.
    labels_dtype : dtype
        Type of `labels`; object ids beyond it are refused.
    overlap : {"keep", "overwrite", "highest"}
        Which run wins where masks of different runs overlap: the earlier, the later, or the stronger mask.
    mapping : IntensityMapping, optional
        How the frames are seen; by default as the model behind the engine was made.
    """

    @recorded
    def clear(self) -> None:
        """Remove all objects, also those that are still to be prompted."""
        if self.state.objects or self.state.infos:
            self._act("clear", self.state.emptied())
