"""Scores from the classifier's logits, and from gradients that are known in closed form or cheap.

Maximum logit, energy, KL matching and ODIN are pytorch-ood's. Its entropy and GEN cut probabilities at 1e-7,
which ties all confident images with each other: ours do not.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import log_softmax, softmax

from m3ae.evaluate.detect.fitted import Fitted, Scores, by_rows
from m3ae.evaluate.detect.library import detectors, linear, tensor, turned
from m3ae.evaluate.scores import FloatFeatures, max_softmax_score

GEN_GAMMA = 0.1
"""Exponent of the generalised entropy (Liu et al. 2023, Sec. 4)."""
GEN_CLASSES = 100
"""Most probable classes that it sums over; all, where there are fewer (ibid., for ImageNet)."""
ODIN_TEMPERATURE = 1000.0
ODIN_EPS = 0.0014
"""Step in normalised features; Liang, Li, Srikant 2018 take it in normalised pixels."""


@by_rows
def msp(fitted: Fitted, x: FloatFeatures) -> Scores:
    """The largest class probability, as in Figure 6."""
    return max_softmax_score(fitted.classifier.logits(x))


@by_rows
def max_logit(fitted: Fitted, x: FloatFeatures) -> Scores:
    """The largest logit."""
    return turned(detectors().MaxLogit.score(tensor(fitted.classifier.logits(x))))


@by_rows
def energy(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Log of the sum of the exponentials of the logits (temperature 1)."""
    return turned(detectors().EnergyBased.score(tensor(fitted.classifier.logits(x))))


@by_rows
def entropy(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Minus the entropy of the class probabilities (nats)."""
    log_p = log_softmax(fitted.classifier.logits(x), axis=1)
    return np.sum(np.exp(log_p) * log_p, axis=1)


@by_rows
def gen(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Minus the generalised entropy, the sum of (p (1 - p)) ^ gamma over the most probable classes."""
    log_p = np.sort(log_softmax(fitted.classifier.logits(x), axis=1), axis=1)[:, -GEN_CLASSES:]
    p, rest = np.exp(log_p), -np.expm1(log_p)
    return -np.sum((p * rest) ** GEN_GAMMA, axis=1)


@by_rows
def kl_matching(fitted: Fitted, x: FloatFeatures) -> Scores:
    """Minus the smallest divergence from the mean probabilities of the images predicted as each class."""
    return turned(fitted.once(kl_detector).predict_logits(tensor(fitted.classifier.logits(x))))


def kl_detector(fitted: Fitted) -> Any:
    """Mean probabilities by predicted class, over the bank (the paper: over a validation set)."""
    logits = tensor(fitted.classifier.logits(fitted.bank))
    return detectors().KLMatching(None).fit_logits(logits, tensor(fitted.bank_classes))


@by_rows
def gradnorm(fitted: Fitted, x: FloatFeatures) -> Scores:
    """L1 norm of the gradient, in the linear layer's weights, of the cross-entropy to a uniform target.

    The gradient of a linear layer is an outer product, whose L1 norm is the product of the factors' norms.
    """
    h = fitted.normalise(x)
    p: Float[np.ndarray, "count classes"] = softmax(fitted.head(h), axis=1)
    return np.abs(p - 1 / p.shape[1]).sum(axis=1) * np.abs(h).sum(axis=1)


@by_rows
def odin(fitted: Fitted, x: FloatFeatures) -> Scores:
    """ODIN with its perturbation in the normalised features; `odin.odin_of_images` perturbs pixels."""
    return turned(fitted.once(odin_detector).predict(tensor(fitted.normalise(x))))


def odin_detector(fitted: Fitted) -> Any:
    """ODIN around the linear layer, in float64: at temperature 1000 all probabilities are nearly equal."""
    return detectors().ODIN(linear(fitted, "float64"), eps=ODIN_EPS, temperature=ODIN_TEMPERATURE)
