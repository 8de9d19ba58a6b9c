"""Few-shot classification of stored features: 1, 5 or 10 training images per class, several draws of them.

Logistic regression on the drawn images, as in MSN's low-shot protocol (Assran et al. 2022) and DINO's
features there. With so few images nothing is chosen: the penalty is fixed.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from m3ae.evaluate.heads.logistic import fit_pipeline

SHOTS = (1, 5, 10)
DRAWS = 5
C = 1.0


class FewShot(NamedTuple):
    """What the regressions of several draws answer."""

    predictions: Int[np.ndarray, "draws asked"]
    num_images: int
    """Training images of a draw."""
    short: dict[int, int]
    """Classes that have fewer images than asked for, with the number they have: all of them are used."""

    def is_correct(self, classes: Int[np.ndarray, " asked"]) -> Bool[np.ndarray, "draws asked"]:
        """Whether each draw's answer is right. The labels enter here alone."""
        return self.predictions == classes


def few_shot(
    x: Float[np.ndarray, "count width"],
    classes: Int[np.ndarray, " count"],
    asked: Float[np.ndarray, "asked width"],
    shots: int,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    c: float = C,
) -> FewShot:
    """Fit ``draws`` regressions, each on ``shots`` images per class; features standardised by them.

    Raises UserError if there is a single class.
    """
    chosen = [draw_rows(classes, shots, draw, seed) for draw in range(draws)]
    answers = [fit_pipeline(x[rows], classes[rows], c).predict(asked) for rows in chosen]
    labels, counts = np.unique(classes, return_counts=True)
    short = {int(label): int(n) for label, n in zip(labels, counts, strict=True) if n < shots}
    return FewShot(np.stack(answers), len(chosen[0]), short)


def draw_rows(
    classes: Int[np.ndarray, " count"], shots: int, draw: int, seed: int
) -> Int[np.ndarray, " drawn"]:
    """Rows of ``shots`` images per class without repetition, keyed by (seed, shots, draw).

    A class with fewer images gives all that it has.
    """
    rng = np.random.default_rng([seed, shots, draw])
    groups = [np.flatnonzero(classes == label) for label in np.unique(classes)]
    return np.concatenate([rng.permutation(rows)[:shots] for rows in groups])
