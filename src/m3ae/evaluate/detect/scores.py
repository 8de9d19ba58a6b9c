"""The table of post-hoc scores: all of them from stored features and a trained probe, none sees a test label.

Higher is more in-distribution; float64; a function of the image alone, once ``fitted`` is there.
"""

from typing import NamedTuple

from m3ae.evaluate.detect import (
    distance_scores,
    head_scores,
    logit_scores,
    shaping_scores,
    subspace_scores,
)
from m3ae.evaluate.detect.fitted import Fitted, Score, fit

__all__ = ["LABELS", "SCORES", "Fitted", "Label", "fit"]


class Label(NamedTuple):
    """What a report says of a score."""

    name: str
    source: str
    """Authors and year of its paper."""


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

LABELS: dict[str, Label] = {
    "msp": Label("maximum softmax probability", "Hendrycks and Gimpel 2017"),
    "max_logit": Label("maximum logit", "Hendrycks et al. 2022"),
    "energy": Label("energy", "Liu et al. 2020"),
    "entropy": Label("entropy", "Chan, Rottmann, Gottschalk 2021"),
    "gen": Label("generalised entropy (GEN)", "Liu, Lochman, Zach 2023"),
    "kl_matching": Label("KL matching", "Hendrycks et al. 2022"),
    "gradnorm": Label("GradNorm", "Huang, Geng, Li 2021"),
    "odin": Label("ODIN, in features", "Liang, Li, Srikant 2018"),
    "mahalanobis": Label("Mahalanobis", "Lee et al. 2018"),
    "relative_mahalanobis": Label("relative Mahalanobis", "Ren et al. 2021"),
    "knn": Label("k-th nearest neighbour", "Sun et al. 2022"),
    "cosine": Label("cosine to the class means", "Techapanurak, Suganuma, Okatani 2020"),
    "residual": Label("residual", "Wang et al. 2022"),
    "vim": Label("ViM", "Wang et al. 2022"),
    "she": Label("SHE", "Zhang et al. 2023"),
    "nnguide": Label("NNGuide", "Park, Jung, Teoh 2023"),
    "pnml": Label("pNML", "Bibas, Feder, Hassner 2021"),
    "nci": Label("NCI", "Liu and Qin 2025"),
    "fdbd": Label("fDBD", "Liu and Qin 2024"),
    "react": Label("ReAct", "Sun, Guo, Li 2021"),
    "vra": Label("VRA", "Xu et al. 2023"),
    "ash_s": Label("ASH-S", "Djurisic et al. 2023"),
    "ash_p": Label("ASH-P", "Djurisic et al. 2023"),
    "scale": Label("SCALE", "Xu et al. 2024"),
    "dice": Label("DICE", "Sun and Li 2022"),
}
