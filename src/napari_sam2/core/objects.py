"""ObjectInfo: what a person says about an object besides where it is."""

from __future__ import annotations

from dataclasses import dataclass

from napari_sam2.core.extent import WHOLE, Extent
from napari_sam2.core.ids import ObjectId


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """Name, class, descent and extent of one object.

    `parent`: the object that it came from by a division; `extent`: where it may be, nothing is shown elsewhere.
    """

    name: str = ""
    class_name: str = ""
    parent: ObjectId | None = None
    extent: Extent = WHOLE


PLAIN = ObjectInfo()
"""Nothing was said."""
