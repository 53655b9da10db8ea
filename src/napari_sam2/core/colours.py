"""A colour for every object, the same in all files: the first eight are told apart with any colour vision."""

from __future__ import annotations

import colorsys

FIRST = (
    (0x56, 0xB4, 0xE9),
    (0xE6, 0x9F, 0x00),
    (0xCC, 0x79, 0xA7),
    (0xF0, 0xE4, 0x42),
    (0x00, 0x72, 0xB2),
    (0xB5, 0xE4, 0x8C),
    (0x9B, 0x5D, 0xE5),
    (0xA0, 0x52, 0x2D),
)
_TURN = 0.618033988749895  # the golden section: no two hues come close for long


def colour_of(object_id: int) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255; black for 0."""
    if object_id <= 0:
        return 0, 0, 0
    if object_id <= len(FIRST):
        return FIRST[object_id - 1]
    level = 0.95 if object_id % 2 else 0.75
    red, green, blue = colorsys.hsv_to_rgb(object_id * _TURN % 1.0, 0.65, level)
    return round(red * 255), round(green * 255), round(blue * 255)
