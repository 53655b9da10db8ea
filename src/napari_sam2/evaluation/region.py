"""Region similarity J: intersection over union, and the floor that any propagation must beat."""

from __future__ import annotations

import numpy as np

from napari_sam2.evaluation.objects import (
    Predict,
    PromptFrame,
    mean_over_objects,
    measure_objects,
    prompt_frames,
)


def region_similarity(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Return J, the intersection over union of two bool masks (Y, X); 1 when both are empty."""
    union = np.count_nonzero(prediction | reference)
    return np.count_nonzero(prediction & reference) / union if union else 1.0


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Return the Dice coefficient of two bool masks (Y, X); 1 when both are empty."""
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    return 2.0 * np.count_nonzero(prediction & reference) / total if total else 1.0


def copy_prediction(reference: np.ndarray, prompted: dict[int, int]) -> Predict:
    """Give every frame the reference mask of the object's prompted frame."""
    masks = {i: reference[frame] == i for i, frame in prompted.items()}
    return lambda object_id, frame: masks[object_id]


def copy_floor(reference: np.ndarray, choice: PromptFrame) -> float:
    """Return the mean J of copying one reference mask to all frames in which the object exists.

    Parameters
    ----------
    reference : ndarray of shape (T, Y, X), integer
        Label stack, 0 is background.
    choice : {"first", "largest"}
        Which frame's mask is copied, see `prompt_frames`.

    Returns
    -------
    float
        J of the set, 0 to 1.
    """
    prompted = prompt_frames(reference, choice)
    predict = copy_prediction(reference, prompted)
    return mean_over_objects(measure_objects(predict, reference, prompted, region_similarity))
