"""Segment every stack of a folder with one click each, and write label stacks beside them."""

import tempfile
from pathlib import Path

import numpy as np
import tifffile

from napari_sam2 import Session
from napari_sam2.evaluation.clicks import innermost_pixel
from napari_sam2.io.masklets import write_labels
from napari_sam2.testing import moving_discs

folder = Path(tempfile.mkdtemp())
clicks = {}
for seed in (1, 2):  # stands for your own files and your own clicks
    video, truth = moving_discs(num_frames=6, size=128, num_objects=2, seed=seed)
    tifffile.imwrite(folder / f"position_{seed}.tif", video, photometric="minisblack")
    clicks[f"position_{seed}.tif"] = innermost_pixel(truth[0] == 1)

for path in sorted(folder.glob("position_?.tif")):
    session = Session(path, model="nano")
    session.add_points(1, 0, [clicks[path.name]], labels=[1])
    for _ in session.propagate():
        pass
    labels = np.asarray(session.labels)
    write_labels(path.with_name(f"{path.stem}_labels.tif"), labels)
    print(f"{path.name}: {np.count_nonzero(labels)} pixels in {len(labels)} frames")
