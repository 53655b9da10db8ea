"""Damage as disks, networks and people do it: bits, cuts, copies, other numbers; the same for the same seed."""

from __future__ import annotations

import random
import re

INTERESTING = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    1 << 31,
    (1 << 32) - 1,
    1 << 53,
    1 << 63,
    1 << 64,
    -1,
)
WORDS = (
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"1e999",
    b"NaN",
    b"-0",
    b"1.5",
    b"[[]]",
    b'"\\ud800"',
    b"|O",
    b"pickle",
)
_NUMBER = re.compile(rb"-?\d+(\.\d+)?")


def mutated(content: bytes, seed: int) -> bytes:
    """Return content with one to four things done to it."""
    chance = random.Random(seed)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        content = chance.choice(_WAYS)(content, chance)
    return content


def _place(content, chance):
    return chance.randrange(len(content) + 1)


def _flip(content, chance):
    if not content:
        return b"\0"
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def _byte(content, chance):
    at = _place(content, chance)
    return (
        content[:at] + bytes([chance.choice((0, 1, 10, 34, 92, 127, 128, 255))]) + content[at + 1 :]
    )


def _cut(content, chance):
    return content[: _place(content, chance)]


def _remove(content, chance):
    at = _place(content, chance)
    return content[:at] + content[at + chance.choice((1, 2, 4, 8, 50)) :]


def _repeat(content, chance):
    at = _place(content, chance)
    piece = content[at : at + chance.choice((1, 4, 8, 20, 200))]
    return content[:at] + piece * chance.choice((2, 3, 50)) + content[at:]


def _move(content, chance):
    at, to = _place(content, chance), _place(content, chance)
    piece = content[at : at + chance.choice((1, 4, 8, 20))]
    return content[:to] + piece + content[to:]


def _number(content, chance):
    """Exchange a number of a text."""
    found = list(_NUMBER.finditer(content))
    if not found:
        return _whole(content, chance)
    match = chance.choice(found)
    value = str(chance.choice(INTERESTING)).encode()
    return content[: match.start()] + value + content[match.end() :]


def _word(content, chance):
    """Exchange a piece of a text by a word that means something."""
    at = _place(content, chance)
    return content[:at] + chance.choice(WORDS) + content[at + chance.choice((0, 1, 4)) :]


def _whole(content, chance):
    """Exchange two, four or eight bytes by a whole number."""
    size = chance.choice((2, 4, 8))
    value = chance.choice(INTERESTING) % (1 << 8 * size)
    at = _place(content, chance)
    return (
        content[:at] + value.to_bytes(size, chance.choice(("little", "big"))) + content[at + size :]
    )


_WAYS = (_flip, _flip, _byte, _cut, _remove, _repeat, _move, _number, _number, _word, _whole)
