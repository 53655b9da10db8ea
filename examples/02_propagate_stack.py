"""Click two objects in a time-lapse and carry them through; stop half-way and go on."""

from napari_sam2 import Session
from napari_sam2.testing import moving_discs

video, truth = moving_discs(num_frames=12, size=256, num_objects=2, seed=2)
session = Session(video, axis=0, model="nano")
for object_id in (1, 2):
    rows, columns = (truth[0] == object_id).nonzero()
    session.add_points(object_id, 0, [(float(rows.mean()), float(columns.mean()))], labels=[1])

run = session.propagate(direction="both")
for result in run:
    print(f"frame {result.frame}: {len(result.objects)} objects")
    if result.frame == 5:
        run.cancel()

for result in session.propagate(direction="both"):  # goes on where it stopped
    print(f"frame {result.frame}: {len(result.objects)} objects (resumed)")

session.undo()
print("labels:", session.labels.shape, session.labels.dtype)
