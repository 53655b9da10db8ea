"""Contrast: how the frames are seen; part of what every mask rests on."""

from __future__ import annotations

from napari_sam2.core.errors import OptionError
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.reading import Reading
from napari_sam2.core.recording import recorded


class Contrast(Reading):
    """The intensity mapping of a session, which is recorded and never follows a slider by itself."""

    @recorded
    def use_mapping(self, mapping: IntensityMapping) -> None:
        """See all frames through another mapping from now on; one history entry.

        Prompts are answered again, and tracked masks are out of date (`is_changed`) until they are tracked again.
        Masks that a person painted stay as they are. A run that is going on is not disturbed, and out of date.

        Raises
        ------
        OptionError
            If it is no `IntensityMapping`.
        """
        if not isinstance(mapping, IntensityMapping):
            raise OptionError(
                f"a mapping is an IntensityMapping, got {type(mapping).__name__}",
                remedy="give IntensityMapping(low, high)",
            )
        if mapping != self.state.mapping:
            self._act("contrast", self.state.seen_through(mapping))
