"""Choosing a setting on a part of the training set: every head of this folder chooses in this way."""

from collections.abc import Hashable
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Int

from m3ae.errors import UserError
from m3ae.evaluate.probe import validation_rows

Setting = TypeVar("Setting", bound=Hashable)


def held_rows(
    classes: Int[np.ndarray, " count"], share: float, seed: int, what: str
) -> Bool[np.ndarray, " count"]:
    """Rows of the training set on which ``what`` is chosen: the same ``share`` of every class.

    Raises UserError if no class has two images.
    """
    try:
        return validation_rows(classes, share, seed)
    except UserError:
        raise UserError(
            f"{what}: choosing needs a class with two training images, got {len(classes)} images of "
            "as many classes; name a single setting, or give more images"
        ) from None


def best_of(accuracies: dict[Setting, float]) -> Setting:
    """The setting with the highest accuracy; of equal ones, the one that was named first."""
    return max(accuracies, key=lambda setting: accuracies[setting])
