"""Metrics beyond the paper's as people read them: `shots5` is "5 per class", `vim_auroc` is "ViM"."""

import re

from m3ae.evaluate.detect.labels import LABELS

ATTACK = re.compile(r"(?P<attack>\w+)_(?P<norm>linf|l2)_(?P<radius>[\d.e-]+)")
NORMS = {"linf": "L-infinity", "l2": "L2"}
STEPS = re.compile(r"pgd(\d+)")
RECALL = re.compile(r"_recall_(\d+)$")
KINDS = {"auroc": "", "in": ", AUPR in", "out": ", AUPR out", "fpr95": ", FPR@95"}
WORDS = {
    "sweep": "best of the sweep",
    "logistic": "logistic regression",
    "knn": "nearest neighbours",
    "linear": "linear probe",
    "linear_selected_on_test": "linear probe, best test epoch (whole test batches)",
    "finetuned": "fine-tuned",
    "concepts_image": "concepts: image alone",
    "concepts_text": "concepts: caption alone",
    "concepts_joint": "concepts: image and caption",
    "concepts_joint_minus_image": "concepts: gain by the caption",
    "concepts_joint_minus_text": "concepts: gain by the image",
}
PARTS = [
    ("gaussian_noise", "Gaussian noise"),
    ("jpeg_compression", "JPEG compression"),
    ("image_to_text_minus_mean", "image to text, less the caption's mean"),
    ("image_to_text_minus_text_only", "image to text, less the text alone"),
    ("_minus_one_pass_wrong_image", ", gain by the image"),
    ("_minus_steps_wrong_image", ", gain by the image"),
    ("_image_gain", ", gain by the image"),
    ("_minus_frequent", ", gain over the most frequent"),
    ("_minus_one_pass", ", gain over one pass"),
    ("_wrong_image", ", wrong image"),
    ("_frequent", ", most frequent"),
    ("words_steps", "words: step by step"),
    ("words_", "words: "),
    ("words,", "words:"),
    ("question_", "question: "),
]
"""What stands in a name for what; longer ones first."""


def in_words(metric: str) -> str:
    """A metric's name for people."""
    score, _, kind = metric.rpartition("_")
    if kind in KINDS:
        score = score.removesuffix("_aupr")
        name = LABELS[score].name if score in LABELS else score.replace("_", " ")
        return name + KINDS[kind]
    if found := ATTACK.fullmatch(metric):
        radius = in_steps(found["radius"]) if found["norm"] == "linf" else found["radius"]
        return f"{attack(found['attack'])}, {NORMS[found['norm']]}, {radius}"
    if metric.startswith("shots"):
        return f"{metric.removeprefix('shots')} per class"
    if metric in WORDS:
        return WORDS[metric]
    for part, words in PARTS:
        metric = metric.replace(part, words)
    return RECALL.sub(r", recall@\1", metric).replace("_", " ")


def attack(name: str) -> str:
    """An attack's name: `pgd40` is "PGD, 40 steps"."""
    if found := STEPS.fullmatch(name):
        return f"PGD, {found[1]} steps"
    return {"autoattack": "AutoAttack"}.get(name, name.upper())


def in_steps(radius: str) -> str:
    """A radius in the 255 steps of a colour, where it is a multiple of a quarter of one."""
    quarters = 4 * 255 * float(radius)
    return f"{round(quarters) / 4:g}/255" if abs(quarters - round(quarters)) < 0.01 else radius
