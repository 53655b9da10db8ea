"""Hostile session files: made from an honest one, without the package."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import struct
import zlib

HONEST = {
    "schema": 4,
    "version": "0.1",
    "image": {"shape": [2, 8, 9], "dtype": "uint8"},
    "axis": 0,
    "view": {"rows": 1, "columns": 2, "fixed": []},
    "mapping": {"low": 0.0, "high": 1.0, "provenance": "given"},
    "model": {"name": "nano", "sha256": None},
    "highest_object": 1,
    "objects": [{"object": 1}],
    "prompts": [
        {"object": 1, "frame": 0, "steps": [{"points": [[1.0, 2.0]], "labels": [1]}]},
        {"object": 1, "frame": 1, "steps": [{"mask": {"box": [0, 0, 2, 2], "runs": [1, 3]}}]},
    ],
    "locks": [],
    "source": {"name": "a.tif", "path": "a.tif", "kind": "tiff"},
}


def with_(path, value):
    """Return the honest session with one thing exchanged; `path`: keys and indices."""
    content = copy.deepcopy(HONEST)
    at = content
    for key in path[:-1]:
        at = at.setdefault(key, {}) if isinstance(at, dict) else at[key]
    at[path[-1]] = value
    return json.dumps(content).encode()


def existing(frames, dtype="|u1"):
    packed = [base64.b64encode(frame).decode() for frame in frames]
    return with_(["existing"], {"dtype": dtype, "protect": True, "frames": packed})


def text():
    return json.dumps(HONEST)


def sessions():
    """Yield (name, content) of session files that must be refused."""
    yield from _not_json()
    yield from _values()
    yield from _bombs()
    yield from _prompt_files()


def _not_json():
    yield "empty", b""
    yield "a pickle", b"\x80\x04cos\nsystem\n(S'true'\ntR."
    yield "a zip", b"PK\x03\x04" + bytes(100)
    yield "YAML tags", b"!!python/object/apply:os.system ['true']\n"
    yield "UTF-16", text().encode("utf-16")
    yield "not UTF-8", text().encode().replace(b"nano", b"n\xff\xfeo")
    yield "a byte order mark", b"\xef\xbb\xbf" + text().encode()
    yield "a key twice", text().replace('"schema": 4', '"schema": 4, "schema": 4').encode()
    yield (
        "a key twice, deep",
        text().replace('"dtype": "uint8"', '"dtype": "uint8", "dtype": "uint8"').encode(),
    )
    yield "two documents", (text() + text()).encode()
    yield "a comment", (text() + " // no").encode()
    yield "single quotes", text().replace('"', "'").encode()
    for name, deep in {
        "lists": "[" * 200_000,
        "tables": '{"a":' * 100_000,
        "closed": "[" * 50_000 + "]" * 50_000,
    }.items():
        yield f"deep {name}", deep.encode()
        yield f"deep {name}, inside", text().replace('"locks": []', f'"locks": {deep}').encode()
    for name, value in {
        "NaN": "NaN",
        "infinity": "Infinity",
        "minus infinity": "-Infinity",
        "too large": "1e999",
        "5000 digits": "1" * 5000,
        "a million digits": "1" * 1_000_000,
        "hexadecimal": "0x10",
    }.items():
        yield f"low is {name}", text().replace('"low": 0.0', f'"low": {value}').encode()
        yield f"a point at {name}", text().replace("[[1.0, 2.0]]", f"[[{value}, 2.0]]").encode()
    yield "a list", b"[]"
    yield "null", b"null"
    yield "a number", b"4"


def _values():
    for name, path, value in (
        ("a newer schema", ["schema"], 5),
        ("a huge schema", ["schema"], 10**30),
        ("a negative schema", ["schema"], -1),
        ("schema as text", ["schema"], "4"),
        ("schema as truth", ["schema"], True),
        ("an unknown key", ["evil"], 1),
        ("a class to make", ["__class__"], "os.system"),
        ("a pickle to load", ["py/reduce"], ["os.system", "true"]),
        ("an unknown key, deep", ["image", "evil"], 1),
        ("frames of 2**60 pixels", ["image", "shape"], [2, 1 << 30, 1 << 30]),
        ("frames too large together", ["image", "shape"], [2, 1 << 20, 1 << 20]),
        ("a negative length", ["image", "shape"], [2, -8, 9]),
        ("no length", ["image", "shape"], [0, 8, 9]),
        ("four axes", ["image", "shape"], [2, 8, 9, 1]),
        ("a length as text", ["image", "shape"], ["2", 8, 9]),
        ("a length as truth", ["image", "shape"], [True, 8, 9]),
        ("a type of 1 MB", ["image", "dtype"], "u" * (1 << 20)),
        ("an axis of 99", ["axis"], 99),
        ("high below low", ["mapping", "high"], -1.0),
        ("a name of 1 MB", ["objects", 0, "name"], "a" * (1 << 20)),
        ("object 0", ["prompts", 0, "object"], 0),
        ("object 2**40", ["prompts", 0, "object"], 1 << 40),
        ("object 1.5", ["prompts", 0, "object"], 1.5),
        ("frame -1", ["prompts", 0, "frame"], -1),
        ("frame 2**60", ["prompts", 0, "frame"], 1 << 60),
        ("a prompt twice", ["prompts", 1, "frame"], 0),
        ("no steps", ["prompts", 0, "steps"], []),
        ("labels of 2", ["prompts", 0, "steps", 0, "labels"], [2]),
        ("labels without points", ["prompts", 0, "steps", 0, "points"], []),
        ("a mask outside", ["prompts", 1, "steps", 0, "mask", "box"], [0, 0, 99, 2]),
        ("a mask inside out", ["prompts", 1, "steps", 0, "mask", "box"], [2, 2, 0, 0]),
        ("runs too long", ["prompts", 1, "steps", 0, "mask", "runs"], [1, 1 << 29]),
        ("runs too short", ["prompts", 1, "steps", 0, "mask", "runs"], [1]),
        ("negative runs", ["prompts", 1, "steps", 0, "mask", "runs"], [8, -4]),
        ("a model that is code", ["model", "name"], {"__reduce__": "os.system"}),
        ("a hash that is none", ["model", "sha256"], "../../etc/passwd"),
        ("masks above", ["masks"], {"file": "../evil.masks", "sha256": "0" * 64}),
        ("masks at the root", ["masks"], {"file": "/etc/passwd", "sha256": "0" * 64}),
        ("masks on a share", ["masks"], {"file": "\\\\host\\share\\x.masks", "sha256": "0" * 64}),
        ("masks on a drive", ["masks"], {"file": "C:evil.masks", "sha256": "0" * 64}),
        ("masks with a NUL", ["masks"], {"file": "a\0b", "sha256": "0" * 64}),
        ("masks without a hash", ["masks"], {"file": "a.masks", "sha256": ""}),
        ("masks with a negative rank", ["masks"], {"file": "a.masks", "sha256": "0" * 64, "ranks": [[1, -1]]}),
        ("a log that is code", ["log"], ["__import__('os').system('true')"]),
        ("a log of two statements", ["log"], ["session.undo(); import os"]),
        ("a log of two lines", ["log"], ["session.undo()\nimport os"]),
        ("a log that looks into the session", ["log"], ["session.__class__.__init__()"]),
        ("a log with a lambda", ["log"], ["session.add_points(lambda: 1)"]),
        ("a log with a comprehension", ["log"], ["session.add_points([x for x in range(9)])"]),
        ("a log with a call inside", ["log"], ["session.add_points(open('x'))"]),
        ("a log that is deep", ["log"], ["session.undo(" + "(" * 5000 + ")" * 5000 + ")"]),
        ("a source of another kind", ["source", "kind"], "evil"),
        ("a source of 1 MB", ["source", "path"], "a" * (1 << 20)),
        ("a placement of 1000 axes", ["source", "matrix"], [[1.0] * 1000] * 1000),
        ("a fingerprint that is none", ["fingerprint"], {"frames": [0], "hashes": ["evil"]}),
        ("locks of an unknown kind", ["locks"], [{"object": 1, "frame": 0, "evil": 1}]),
    ):  # fmt: skip
        yield name, with_(path, value)


def _bombs():
    yield (
        "labels that unpack to 1:1000",
        existing([zlib.compress(bytes(7_200_000)), zlib.compress(bytes(72))]),
    )
    yield "labels of 100,000 times", existing([_nested_bomb(), zlib.compress(bytes(72))])
    yield "labels that are cut", existing([zlib.compress(bytes(72))[:-3]] * 2)
    yield "labels with more behind", existing([zlib.compress(bytes(72)) + b"x"] * 2)
    yield "labels of one frame", existing([zlib.compress(bytes(72))])
    yield "labels of objects", existing([zlib.compress(bytes(72))] * 2, "|O")
    yield "labels of structures", existing([zlib.compress(bytes(72))] * 2, "u1,O")
    content = json.loads(existing([b""] * 2))
    content["existing"]["frames"] = ["not base64 !"] * 2
    yield "labels that are no text of base64", json.dumps(content).encode()
    prompts = [
        {
            "object": number + 1,
            "frame": 0,
            "steps": [{"mask": {"box": [0, 0, 1 << 15, 1 << 15], "runs": [0, 1 << 30]}}],
        }
        for number in range(20)
    ]
    huge = json.loads(with_(["prompts"], prompts))
    huge["image"]["shape"] = [2, 1 << 15, 1 << 15]
    yield "masks of 20 gigapixels", json.dumps(huge).encode()


def _nested_bomb():
    """Return a stream whose content is a stream: 1:1000 at each level; only the outer one is ever unpacked."""
    return zlib.compress(zlib.compress(bytes(10_000_000)), 9)[:2000]


def _prompt_files():
    honest = {
        "schema": 1,
        "axis": 0,
        "prompts": [{"object": 1, "frame": 0, "points": [[1, 2]], "labels": [1]}],
    }
    for name, change in {
        "prompts, an unknown key": {"evil": 1},
        "prompts, a mask above": {"prompts": [{"object": 1, "frame": 0, "mask": "../../evil.tif"}]},
        "prompts, a mask at the root": {
            "prompts": [{"object": 1, "frame": 0, "mask": "/etc/passwd"}]
        },
        "prompts, a mask on a share": {
            "prompts": [{"object": 1, "frame": 0, "mask": "\\\\host\\x.tif"}]
        },
        "prompts, a mask that is a pickle": {
            "prompts": [{"object": 1, "frame": 0, "mask": "evil.pkl"}]
        },
        "prompts, frame -1": {
            "prompts": [{"object": 1, "frame": -1, "points": [[1, 2]], "labels": [1]}]
        },
        "prompts, not a number": {
            "prompts": [{"object": 1, "frame": 0, "points": [["a", 2]], "labels": [1]}]
        },
    }.items():
        yield name, json.dumps(honest | change).encode()


def masks_files():
    """Yield (name, content) of files of masks that prove nothing: a session is read without them."""
    magic, head = b"NSAM2MK1", struct.Struct("<IIiI 4I 4i 2q 2d B I")

    def record(values, bits=b"\x80", strength=None):
        strength = zlib.compress(bytes(1)) if strength is None else strength
        payload = head.pack(*values) + bits + strength
        return magic + struct.pack("<II", len(payload), zlib.crc32(payload)) + payload

    good = [1, 0, 0, 0, 0, 0, 1, 1, -1, -1, -1, -1, -1, -1, 1.0, 1.0, 2, 1]
    yield "honest", record(good)

    def but(**changes):
        values = list(good)
        for at, value in changes.items():
            values[int(at[1:])] = value
        return values

    yield "empty", b""
    yield "no magic", b"x" * 100
    yield "a length of 4 GiB", magic + struct.pack("<II", 0xFFFFFFFF, 0)
    yield "a length beyond", magic + struct.pack("<II", 200, 0) + bytes(100)
    yield "a wrong checksum", record(good)[:-1] + b"?"
    yield "a box outside", record(but(_6=99))
    yield "a box of 2**32", record(but(_6=0xFFFFFFFF, _7=0xFFFFFFFF))
    yield "object 0", record(but(_0=0))
    yield "a score that is none", record(but(_14=float("nan")))
    yield "an unknown provenance", record(but(_16=9))
    yield "bits of another length", record(but(_17=1 << 30))
    yield "a bomb of strength", record(good, strength=zlib.compress(bytes(10_000_000)))


def with_masks(name, content):
    """Return a session file that vouches for a file of masks."""
    return with_(
        ["masks"], {"file": name, "sha256": hashlib.sha256(content).hexdigest(), "ranks": []}
    )


MASKS_HONEST = dict(masks_files())["honest"]
