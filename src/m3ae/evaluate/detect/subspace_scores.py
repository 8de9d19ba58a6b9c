"""Scores from the part of a feature that the training images hardly use: residual and ViM.

Wang et al. 2022 (arXiv 2203.10807), on normalised features. The covariance comes from the streamed statistics
of all training images in float64; pytorch-ood's ViM computes it in float32 from images held in memory.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from m3ae.evaluate.detect.fitted import Fitted, Scores, bank_normalised, by_rows, normalised_statistics
from m3ae.evaluate.scores import FloatFeatures


class Complement(NamedTuple):
    """The directions that are left over by the principal subspace."""

    origin: Float[np.ndarray, " width"]
    """Where the logits are as close to 0 as they get: the bias vanishes there (ibid., Sec. 4.1)."""
    basis: Float[np.ndarray, "width left"]

    def norm(self, h: FloatFeatures) -> Scores:
        """Length of the features' part in these directions."""
        return np.linalg.norm((h - self.origin) @ self.basis, axis=1)


@by_rows
def residual(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Minus the length of the features' part outside the principal subspace."""
    return -fitted.once(complement).norm(fitted.normalise(x))


@by_rows
def vim(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Energy minus a virtual logit, which is the residual times ``alpha``."""
    h = fitted.normalise(x)
    energy: Scores = logsumexp(fitted.head(h), axis=1)
    return energy - fitted.once(alpha) * fitted.once(complement).norm(h)


def complement(fitted: Fitted) -> Complement:
    """What the principal subspace of the training images leaves over.

    Directions in which the weights have nothing but float32 rounding count as 0: a softmax does not see a
    common shift of all logits, and a probe that started at 0 has no weights for one.
    """
    weight = fitted.classifier.weight.astype(np.float64)
    rounding = max(weight.shape) * np.finfo(np.float32).eps
    origin = -np.linalg.pinv(weight, rcond=rounding) @ fitted.classifier.bias
    statistics = fitted.once(normalised_statistics)
    return Complement(origin, statistics.complement(origin, num_principal(len(origin))))


def num_principal(width: int) -> int:
    """Size of the principal subspace: the paper's 1000 or 512; half the width, where that is too many."""
    paper = 1000 if width > 1500 else 512
    return paper if paper < width else width // 2


def alpha(fitted: Fitted) -> float:
    """What makes the virtual logit as large, on the bank's mean, as the largest logit."""
    h = fitted.once(bank_normalised)
    largest, norms = 0.0, 0.0
    for i in range(0, len(h), 8192):
        part = h[i : i + 8192].astype(np.float64)
        largest += fitted.head(part).max(axis=1).sum()
        norms += fitted.once(complement).norm(part).sum()
    return float(largest / norms) if norms else 0.0  # a bank of one image leaves nothing over
