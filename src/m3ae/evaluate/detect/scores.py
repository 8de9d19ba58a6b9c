"""The table of post-hoc scores: all of them from stored features and a trained probe, none sees a test label.

Higher is more in-distribution; float64; a function of the image alone, once ``fitted`` is there.
"""

from m3ae.evaluate.detect import (
    distance_scores,
    head_scores,
    logit_scores,
    shaping_scores,
    subspace_scores,
)
from m3ae.evaluate.detect.fitted import Fitted, Score, fit
from m3ae.evaluate.detect.labels import LABELS, Label

__all__ = ["LABELS", "SCORES", "Fitted", "Label", "fit"]


SCORES: dict[str, Score] = {
    "msp": logit_scores.msp,
    "max_logit": logit_scores.max_logit,
    "energy": logit_scores.energy,
    "entropy": logit_scores.entropy,
    "gen": logit_scores.gen,
    "kl_matching": logit_scores.kl_matching,
    "gradnorm": logit_scores.gradnorm,
    "odin": logit_scores.odin,
    "mahalanobis": distance_scores.mahalanobis,
    "relative_mahalanobis": distance_scores.relative_mahalanobis,
    "knn": distance_scores.knn,
    "cosine": distance_scores.cosine,
    "residual": subspace_scores.residual,
    "vim": subspace_scores.vim,
    "she": head_scores.she,
    "nnguide": head_scores.nnguide,
    "pnml": head_scores.pnml,
    "nci": head_scores.nci,
    "fdbd": head_scores.fdbd,
    "react": shaping_scores.react,
    "vra": shaping_scores.vra,
    "ash_s": shaping_scores.ash_s,
    "ash_p": shaping_scores.ash_p,
    "scale": shaping_scores.scale,
    "dice": shaping_scores.dice,
}
