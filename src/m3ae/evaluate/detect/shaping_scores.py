"""The energy after the linear layer's inputs or weights have been cut: ReAct, VRA, ASH, SCALE, DICE.

Their papers assume activations after a ReLU. Ours are LayerNorm outputs after the probe's BatchNorm, negative
half of the time, and sums over them may be near 0 or negative: what the papers argue from does not hold here,
the formulas are theirs. ASH-B is left out: it divides that sum evenly, which turns the features' signs round.
All but DICE are pytorch-ood's, whose DICE holds images x classes x width numbers.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from m3ae.evaluate.detect.fitted import Fitted, Scores, bank_normalised, by_rows
from m3ae.evaluate.detect.library import detectors, linear, tensor, turned
from m3ae.evaluate.scores import FloatFeatures

REACT_PERCENTILE = 0.9
"""Share of the activations that are left as they are (Sun, Guo, Li 2021)."""
ASH_S_PERCENTILE = 0.9
ASH_P_PERCENTILE = 0.6
"""Shares of an image's activations that are set to 0 (Djurisic et al. 2023, for ImageNet)."""
SCALE_PERCENTILE = 0.85
"""Share of an image's activations that the scale leaves out (Xu et al. 2024, for ImageNet)."""
DICE_SPARSITY = 0.7
"""Share of the weights that are set to 0 (Sun and Li 2022, for ImageNet)."""


@by_rows
def react(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Activations cut at a high quantile of the training images'."""
    return turned(fitted.once(react_detector).predict_feature_maps(tensor(fitted.normalise(x))))


def react_detector(fitted: Fitted) -> Any:
    """ReAct with its threshold from the bank."""
    detector = detectors().ReAct(None, linear(fitted, "float64"), percentile=REACT_PERCENTILE)
    return detector.fit_feature_maps(tensor(fitted.once(bank_normalised)), tensor(fitted.bank_classes))


@by_rows
def vra(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Each unit cut at its own low and high quantile (1 % and 99 %) of the training images.

    The library cuts at the low end too, where the paper sets to 0.
    """
    return turned(fitted.once(vra_detector).predict_feature_maps(tensor(fitted.normalise(x))))


def vra_detector(fitted: Fitted) -> Any:
    """VRA with its thresholds from the bank."""
    detector = detectors().VRA(lambda x: x, linear(fitted, "float64"))
    return detector.fit_feature_maps(tensor(fitted.once(bank_normalised)), tensor(fitted.bank_classes))


@by_rows
def ash_s(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Small activations set to 0, the others scaled by exp(sum before / sum after)."""
    scores = turned(fitted.once(ash_s_detector).predict_feature_maps(as_maps(fitted, x)))
    return with_nothing_to_scale(fitted, x, scores)


@by_rows
def ash_p(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Small activations set to 0."""
    return turned(fitted.once(ash_p_detector).predict_feature_maps(as_maps(fitted, x)))


@by_rows
def scale(fitted: Fitted, x: FloatFeatures) -> Scores:
    """All activations scaled by exp(sum / sum of the largest)."""
    scores = turned(fitted.once(scale_detector).predict_feature_maps(as_maps(fitted, x)))
    return with_nothing_to_scale(fitted, x, scores)


def with_nothing_to_scale(fitted: Fitted, x: FloatFeatures, scores: Scores) -> Scores:
    """The energy of the bias alone where all activations are 0: their sums' ratio is 0 / 0, but 0 stays 0."""
    return np.where(fitted.normalise(x).any(axis=1), scores, logsumexp(fitted.classifier.bias))


def ash_s_detector(fitted: Fitted) -> Any:
    """ASH-S around the linear layer."""
    return detectors().ASH(None, flat_linear(fitted), "ash-s", ASH_S_PERCENTILE)


def ash_p_detector(fitted: Fitted) -> Any:
    """ASH-P around the linear layer."""
    return detectors().ASH(None, flat_linear(fitted), "ash-p", ASH_P_PERCENTILE)


def scale_detector(fitted: Fitted) -> Any:
    """SCALE around the linear layer."""
    return detectors().SCALE(None, flat_linear(fitted), SCALE_PERCENTILE)


def as_maps(fitted: Fitted, x: FloatFeatures) -> Any:
    """Normalised features as feature maps of one pixel, which ASH and SCALE expect."""
    return tensor(fitted.normalise(x)[:, :, None, None])


def flat_linear(fitted: Fitted) -> Any:
    """The linear layer for feature maps of one pixel."""
    from torch import nn

    return nn.Sequential(nn.Flatten(), linear(fitted, "float64"))


@by_rows
def dice(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Energy with the weights alone that contribute most to the logits of the mean training image.

    On stored features, with the probe's BatchNorm folded into the weights: the mean of normalised ones is 0.
    """
    weight, bias = fitted.once(kept_weights)
    energy: Scores = logsumexp(x.astype(np.float64) @ weight.T + bias, axis=1)
    return energy


def kept_weights(fitted: Fitted) -> tuple[Float[np.ndarray, "classes width"], Float[np.ndarray, " classes"]]:
    """The classifier as one linear layer, weights with a small mean contribution set to 0; and its bias."""
    weight = fitted.classifier.weight / fitted.scale
    bias = fitted.classifier.bias - weight @ fitted.classifier.mean
    contribution = weight * fitted.statistics.mean
    return np.where(contribution > np.quantile(contribution, DICE_SPARSITY), weight, 0), bias
