"""Logistic regression on stored features: scikit-learn's, with the penalty chosen on training images."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from m3ae.errors import UserError
from m3ae.evaluate.heads.choose import best_of, held_rows

CS = (
    1e-3,
    1e-2,
    1e-1,
    1.0,
)  # from the strongest penalty on; features are standardised, so a scale of C is known
MAX_ITER = 1000

Inputs = Float[np.ndarray, "count width"]
Classes = Int[np.ndarray, " count"]


class Regression(NamedTuple):
    """A logistic regression of the whole training set, and how its C came about."""

    pipeline: Pipeline
    c: float
    accuracies: dict[float, float]
    """Of every C, on the validation part of the training set (%); empty where one C was given."""
    has_converged: bool
    """Whether the final fit ended before ``max_iter`` iterations."""

    def predict(self, x: Inputs) -> Classes:
        """The class of each row."""
        return np.asarray(self.pipeline.predict(x))


def fit_logistic(
    x: Inputs,
    classes: Classes,
    *,
    cs: Sequence[float] = CS,
    validation_share: float = 0.1,
    seed: int = 0,
    max_iter: int = MAX_ITER,
) -> Regression:
    """Choose C on a part of the training set, then fit all of it. A tie goes to the C named first.

    Multinomial, L2, lbfgs; features standardised by the images that are fitted. C is 1 / penalty, on the
    *sum* of the losses as scikit-learn has it. Raises UserError where there is one class, or nothing to
    choose on.
    """
    accuracies = {}
    if len(cs) > 1:
        held = held_rows(classes, validation_share, seed, "logistic regression")
        for c in cs:
            fitted = fit_pipeline(x[~held], classes[~held], c, max_iter)
            accuracies[c] = 100 * float(np.mean(fitted.predict(x[held]) == classes[held]))
    c = best_of(accuracies) if accuracies else cs[0]
    pipeline = fit_pipeline(x, classes, c, max_iter)
    return Regression(pipeline, c, accuracies, bool(pipeline[-1].n_iter_.max() < max_iter))


def fit_pipeline(x: Inputs, classes: Classes, c: float, max_iter: int = MAX_ITER) -> Pipeline:
    """Standardise, then fit one regression. Raises UserError unless there are two classes."""
    if len(np.unique(classes)) < 2:
        raise UserError(
            f"logistic regression: expected images of at least two classes, got {len(np.unique(classes))}; "
            "choose another label or split"
        )
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=max_iter))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # `has_converged` says it
        return pipeline.fit(x, classes)
