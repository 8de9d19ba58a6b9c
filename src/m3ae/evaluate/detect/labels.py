"""What the scores are called, and whose they are."""

from typing import NamedTuple


class Label(NamedTuple):
    """What a report says of a score."""

    name: str
    source: str
    """Authors and year of its paper."""


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
    "odin_pixels": Label("ODIN, in pixels", "Liang, Li, Srikant 2018"),
}
