"""Checkpoints made by hand, opcode by opcode: the honest one, and what can be done to it. No torch, no disk."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

MARK, STOP = b"(", b"."


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def named(name):
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def numbers(values):
    return MARK + b"".join(values if isinstance(values, bytes) else map(number, values)) + b"t"


ORDERED_DICT = named("collections.OrderedDict") + b")R"


def tensor(
    key="0",
    count=6,
    shape=(2, 3),
    strides=(3, 1),
    offset=0,
    kind="torch.FloatStorage",
    hooks=ORDERED_DICT,
):
    """Return the opcodes of a tensor."""
    storage = MARK + text("storage") + named(kind) + text(key) + text("cpu") + number(count) + b"tQ"
    arguments = storage + number(offset) + numbers(shape) + numbers(strides) + b"\x89" + hooks
    return named("torch._utils._rebuild_tensor_v2") + MARK + arguments + b"tR"


def table(items):
    """Return the opcodes of an OrderedDict; values are opcodes."""
    inner = b"".join(text(name) + value for name, value in items.items())
    return ORDERED_DICT + MARK + inner + b"u"


def program(body):
    return b"\x80\x02" + body + STOP


HONEST = program(table({"weight": tensor(), "bias": tensor("1", 2, (2,), (1,))}))
STORAGES = {"data/0": struct.pack("<6f", *range(6)), "data/1": struct.pack("<2f", 1, 2)}


def archive(data=HONEST, parts=None, *, folder="archive", compress=zipfile.ZIP_STORED, **more):
    """Return an archive as `torch.save` writes it; `parts` beside the pickle, `more` of them by name."""
    made = {"data.pkl": data, "byteorder": b"little", "version": b"3\n"}
    made |= STORAGES if parts is None else parts
    made |= more
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compress) as target:
        for name, content in made.items():
            target.writestr(zipfile.ZipInfo(f"{folder}/{name}"), content, compress)
    return file.getvalue()


class Run:
    """An object whose pickle is a call of `os.system`."""

    def __reduce__(self):
        import os

        return os.system, ("touch THE-CODE-HAS-RUN",)


def calls(name, *arguments):
    """Return the opcodes of a call of something with texts."""
    return named(name) + MARK + b"".join(map(text, arguments)) + b"tR"


def changed(content, old, new, times=1):
    """Return content with bytes exchanged; they must be there."""
    assert old in content
    return content.replace(old, new, times)


def checkpoints():
    """Yield (name, content) of checkpoints that must be refused."""
    yield from _classic()
    yield from _names()
    yield from _opcodes()
    yield from _sizes()
    yield from _archives()
    yield from _others()


def _classic():
    for protocol in range(6):
        yield f"bare pickle, protocol {protocol}.pt", pickle.dumps(Run(), protocol)
        yield f"in an archive, protocol {protocol}.pth", archive(pickle.dumps(Run(), protocol))
    yield (
        "nested in a table.pt",
        archive(program(table({"a": tensor(), "b": calls("os.system", "true")}))),
    )
    yield (
        "beside the table.pt",
        archive(
            program(
                b"}"
                + MARK
                + text("model")
                + table({"a": tensor()})
                + text("x")
                + calls("os.system", "true")
                + b"u"
            )
        ),
    )
    yield "behind the end.pt", archive(HONEST + pickle.dumps(Run(), 2))
    yield (
        "as hooks of a tensor.pt",
        archive(program(table({"a": tensor(hooks=calls("os.system", "true"))}))),
    )
    for ending in ("bin", "ckpt", "pkl", "safetensors", "zip", "PT", "tar"):
        yield f"classic under another ending.{ending}", archive(pickle.dumps(Run(), 2))


def _names():
    for name in (
        *("builtins.eval", "builtins.exec", "builtins.getattr", "builtins.__import__", "nt.system"),
        *("posix.system", "subprocess.Popen", "runpy.run_path", "importlib.import_module"),
        *("torch.load", "torch.hub.load", "torch.jit.load", "torch.storage._load_from_bytes"),
        *("torch._utils._rebuild_parameter_with_state", "torch.UntypedStorage", "numpy.load"),
        *(
            "operator.attrgetter",
            "functools.partial",
            "_codecs.encode",
            "pip.main",
            "webbrowser.open",
        ),
    ):
        yield f"calls {name}.pt", archive(program(table({"a": calls(name, "x")})))
    yield "a name with a space.pt", archive(program(b"ccollections OrderedDict\nx\n"))
    yield "a name of another case.pt", archive(program(b"ccollections\nordereddict\n)R"))


def _opcodes():
    for name, body in {
        "INST": MARK + text("true") + b"ios\nsystem\n",
        "OBJ": MARK + named("collections.OrderedDict") + b"o",
        "NEWOBJ": named("collections.OrderedDict") + b")\x81",
        "NEWOBJ_EX": named("collections.OrderedDict") + b")}\x92",
        "STACK_GLOBAL": text("os") + text("system") + b"\x93",
        "EXT1": b"\x82\x01",
        "PERSID": b"P0\n",
        "DUP": b"]2\x86",
        "POP": b"]]0",
        "NEXT_BUFFER": b"\x97",
        "BYTEARRAY8": b"\x96" + struct.pack("<Q", 1 << 60),
        "BINBYTES8": b"\x8e" + struct.pack("<Q", 1 << 60),
        "BINUNICODE8": b"\x8d" + struct.pack("<Q", 1 << 62),
        "BINUNICODE": b"X" + struct.pack("<I", 0xFFFFFFFF),
        "LONG4": b"\x8b" + struct.pack("<i", 0x7FFFFFFF),
        "negative LONG4": b"\x8b" + struct.pack("<i", -1),
        "FRAME": b"\x95" + struct.pack("<Q", 1 << 62),
        "LONG of digits": b"L" + b"9" * 100_000 + b"L\n",
        "LONG1 of many bits": b"\x8a\xff" + b"\x7f" * 255,
        "MEMOIZE": b"]\x94",
        "BINGET of nothing": b"h\x07",
        "REDUCE of nothing": b"R",
        "TUPLE without a mark": b"t",
        "BUILD of a tensor": tensor() + b"}" + text("data") + number(1) + b"sb",
        "BUILD of a dictionary": b"}}" + text("__class__") + number(1) + b"sb",
        "BUILD of methods": ORDERED_DICT + b"}" + text("items") + number(1) + b"sb",
        "SETITEM of a storage": MARK
        + text("storage")
        + named("torch.FloatStorage")
        + text("0")
        + text("cpu")
        + number(6)
        + b"tQ"
        + number(0)
        + number(1)
        + b"s",
        "SETITEM of a tensor": tensor() + number(0) + number(1) + b"s",
        "SETITEMS of a list": b"](" + number(0) + number(1) + b"u",
        "SETITEMS of an odd number": b"}(" + text("a") + b"u",
        "APPEND to a tensor": tensor() + number(1) + b"a",
        "a key that is a tensor": b"}" + tensor() + number(1) + b"s",
        "a text of a megabyte": b"}" + text("a" * (1 << 20)) + number(1) + b"s",
        "a number of 128 bits": b"}" + text("a") + number(1 << 127) + b"s",
        "two things left": b"]]",
        "a mark left": b"](",
    }.items():
        yield f"opcode {name}.pt", archive(program(body))
    yield "two million steps.pt", archive(program(b"]" + b"N" * 2_100_000))
    yield "protocol 200.pt", archive(b"\x80\xc8" + HONEST[2:])
    yield "no end.pt", archive(HONEST[:-1])
    yield "an empty pickle.pt", archive(b"")
    for length in (1, 40, len(HONEST) // 2):
        yield f"cut after {length}.pt", archive(HONEST[:length])


def _sizes():
    for name, facts in {
        "a storage larger than its part": {"count": 1 << 40},
        "a storage smaller than its part": {"count": 3, "shape": (3,), "strides": (1,)},
        "a storage that is not there": {"key": "7"},
        "a storage elsewhere": {"key": "../../0"},
        "a storage of 2**62 numbers": {
            "count": 1 << 62,
            "shape": (1 << 31, 1 << 31),
            "strides": (1 << 31, 1),
        },
        "a tensor beyond its storage": {"shape": (3, 3)},
        "an offset beyond": {"offset": 1},
        "a negative offset": {"offset": -6},
        "a negative stride": {"strides": (-3, 1)},
        "a negative length": {"shape": (-2, 3)},
        "one number shown a million times": {"shape": (1_000_000,), "strides": (0,)},
        "an overflowing length": {"shape": (1 << 62, 1 << 62), "strides": (0, 0)},
        "more strides than lengths": {"strides": (3, 1, 1)},
        "nine axes": {"shape": (1,) * 9, "strides": (1,) * 9},
        "numbers of another width": {"kind": "torch.DoubleStorage"},
        "whole numbers": {"kind": "torch.IntStorage"},
        "a storage of objects": {"kind": "torch.UntypedStorage"},
    }.items():
        yield f"{name}.pt", archive(program(table({"a": tensor(**facts)})))
    many = {f"a{index}": tensor() for index in range(1000)}
    yield "a thousand tensors of the same numbers.pt", archive(program(table(many)))
    aside = (
        b"}"
        + MARK
        + text("model")
        + table({"a": tensor()})
        + text("rest")
        + tensor("1", 1 << 40)
        + b"u"
    )
    yield "a lie aside.pt", archive(program(aside))
    yield "no tensors.pt", archive(program(b"}" + text("a") + number(1) + b"s"))
    yield "only a tensor.pt", archive(program(tensor()))


def _archives():
    honest = archive()
    yield "compressed.pt", archive(compress=zipfile.ZIP_DEFLATED)
    bomb = {**STORAGES, "data/2": bytes(50 << 20)}
    yield "a bomb.pt", archive(parts=bomb, compress=zipfile.ZIP_DEFLATED)
    yield (
        "a bomb of a pickle.pt",
        archive(b"\x80\x02" + b"N" * (20 << 20), compress=zipfile.ZIP_DEFLATED),
    )
    yield "another pickle that is named twice.pt", _twice()
    yield "the pickle damaged.pt", changed(honest, b"OrderedDict\n)R(X", b"OrderedDict\n)R(U")
    yield "numbers damaged.pt", changed(honest, STORAGES["data/0"], bytes(24))
    for name, flag in {
        "encrypted": 0x1,
        "patched": 0x20,
        "strongly encrypted": 0x41,
        "masked": 0x2000,
    }.items():
        yield f"flag {name}.pt", _with_flags(honest, flag)
        yield f"flag {name}, in the directory only.pt", _with_flags(honest, flag, local=False)
    yield (
        "another name in the local header.pt",
        changed(honest, b"archive/data.pkl", b"archive/data.pkX"),
    )
    yield "another method in the local header.pt", honest[:8] + b"\x08\x00" + honest[10:]
    yield "another size in the local header.pt", honest[:18] + b"\x01\x00\x00\x00" + honest[22:]
    yield "something before it.pt", b"PK\x03\x04" + bytes(100) + honest
    yield "something behind it.pt", honest + bytes(100)
    yield "a comment.pt", honest[:-2] + b"\x04\x00evil"
    yield "two archives.pt", honest + archive(pickle.dumps(Run(), 2))
    yield "the directory alone.pt", honest[honest.index(b"PK\x01\x02") :]
    yield "cut off.pt", honest[:-30]
    yield "a part that ends early.pt", _ends_early(honest)
    yield "overlapping parts.pt", _overlapping(honest)
    yield "an offset beyond the file.pt", _overlapping(honest, 0x7FFFFFFF)
    for name in (
        "../evil",
        "/etc/evil",
        "data/../../evil",
        "c:evil",
        "data\\0",
        "data/x",
        "Data.pkl",
        "evil.py",
    ):
        yield f"part {name.replace('/', '-')}.pt", archive(**{name: b"x"})
    yield "a folder of dots.pt", archive(folder="..")
    yield "no folder.pt", archive(folder="")
    yield "TorchScript.pt", archive(**{"code/__torch__.py": b"def f(): pass"})
    yield "TorchScript, constants.pt", archive(**{"constants.pkl": HONEST})
    yield (
        "no pickle.pt",
        changed(changed(honest, b"data.pkl", b"dato.pkl"), b"data.pkl", b"dato.pkl"),
    )
    yield "big-endian.pt", archive(byteorder=b"big")
    yield "a large version.pt", archive(version=b"3" * 10_000)


def _twice():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name, content in {
            "a/data.pkl": HONEST,
            **{f"a/{k}": v for k, v in STORAGES.items()},
        }.items():
            target.writestr(zipfile.ZipInfo(name), content)
        target.writestr(zipfile.ZipInfo("a/data.pkX"), pickle.dumps(Run(), 2))
    return changed(file.getvalue(), b"a/data.pkX", b"a/data.pkl", 2)


def _with_flags(content, flag, *, local=True):
    made, at = bytearray(content), 0
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(magic)
        if local or magic == b"PK\x01\x02":
            made[at + place : at + place + 2] = struct.pack("<H", flag)
    return bytes(made)


def _overlapping(content, offset=0):
    """Let the second part begin where the first does."""
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    return content[: second + 42] + struct.pack("<I", offset) + content[second + 46 :]


def _ends_early(content):
    """Let the directory say that the last part begins just before the directory itself."""
    last = content.rindex(b"PK\x01\x02")
    start = content.index(b"PK\x01\x02")
    return content[: last + 42] + struct.pack("<I", start - 31) + content[last + 46 :]


def _others():
    legacy = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    yield (
        "of the old kind.pt",
        legacy + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + pickle.dumps(Run(), 2),
    )
    yield "a tar archive.pt", b"sys_info".ljust(257, b"\0") + b"ustar\x0000" + bytes(1000)
    yield "a 7z archive.pt", b"7z\xbc\xaf\x27\x1c" + bytes(100)
    yield "gzip.pt", b"\x1f\x8b\x08" + bytes(100)
    yield "zstd.pt", b"\x28\xb5\x2f\xfd" + bytes(100)
    yield "rar.pt", b"Rar!\x1a\x07" + bytes(100)
    yield "HTML.pt", b"<!DOCTYPE html><html>please log in</html>"
    yield "nothing.pt", b""
    yield "zeros.pt", bytes(4096)
    yield "text.pt", b"import os\nos.system('true')\n"
    yield "an ELF program.pt", b"\x7fELF" + bytes(100)
