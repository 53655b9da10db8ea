"""Click one object in one image: a 2-D image needs no propagation."""

from napari_sam2 import Session
from napari_sam2.testing import moving_discs

video, _ = moving_discs(num_frames=1, size=256, num_objects=3, seed=1)
truth = moving_discs(num_frames=1, size=256, num_objects=3, seed=1)[1][0]
rows, columns = (truth == 1).nonzero()
centre = (float(rows.mean()), float(columns.mean()))

session = Session(video[0], model="nano")
session.add_points(1, 0, [centre], labels=[1])

mask = session.labels[0] == 1
print(f"clicked at (y, x) = ({centre[0]:.0f}, {centre[1]:.0f}): {mask.sum()} pixels")
