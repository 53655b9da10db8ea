"""A program that works on a session file until it is told to stop, or killed: ``python holder.py PATH``."""

from __future__ import annotations

import sys
from pathlib import Path

from napari_sam2.io.holding import Hold

hold = Hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
hold.release()
print("released", flush=True)
