"""Average two weights files of one network, where the second was trained on from the first.

    python benchmarks/average_weights.py EARLIER.safetensors LATER.safetensors --share 0.25 --out OUT.safetensors

Weights of such a pair lie in one valley, and what lies between them is often better than either end. The metadata are
those of LATER, with the share and the SHA-256 of EARLIER.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors and metadata of a weights file."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


def average(
    earlier: dict[str, Tensor], later: dict[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Return `share` of the earlier and the rest of the later weights, in the later's types."""
    return {
        name: (share * earlier[name].double() + (1 - share) * value.double()).to(value.dtype)
        for name, value in later.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("earlier", type=Path)
    parser.add_argument("later", type=Path)
    parser.add_argument("--share", type=float, default=0.25, help="of the earlier weights, 0 to 1")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    for path in (options.earlier, options.later):
        if not path.is_file():
            parser.error(f"there are no weights {path}")
    if not 0 <= options.share <= 1:
        parser.error(f"--share must be from 0 to 1, got {options.share:g}")
    (earlier, _), (later, metadata) = read(options.earlier), read(options.later)
    shapes = [{name: value.shape for name, value in part.items()} for part in (earlier, later)]
    if shapes[0] != shapes[1]:
        parser.error("the two files are not weights of one network")
    digest = hashlib.sha256(options.earlier.read_bytes()).hexdigest()
    note = {"averaged_with": digest, "averaged_share": f"{options.share:g}"}
    save_file(average(earlier, later, options.share), options.out, metadata | note)
    options.out.chmod(0o644)
    print(options.out)


if __name__ == "__main__":
    main()
