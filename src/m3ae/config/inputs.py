"""The files that a model is trained on, for the workflow and for the training's identity."""

from pathlib import Path

from m3ae.config.datasets import load_dataset
from m3ae.config.rows import READS_WORDS, taken_weights
from m3ae.config.run import Run


def training_files(run: Run, name: str) -> dict[str, Path]:
    """By what they are: words only where the model reads them, what is mixed in where it is."""
    method, mixture, paths = run.model(name).method, run.settings_of(name).pretrain.mixture, run.paths
    if taken_weights(run.settings, run.model(name)):
        return {}
    if method == "supervised":
        return {"labels": paths.evalset(run.settings.probe.tasks[0].dataset)}
    files = {"train_manifest": paths.manifest("train")}
    if mixture.images > 0:
        files["images_manifest"] = paths.manifest("images")
    if method in READS_WORDS:
        files["train_tokens"] = paths.tokens("train")
        if mixture.texts > 0:
            files["texts"] = paths.tokens("texts")
    return files


def read_files(run: Run, name: str) -> list[Path]:
    """All that the training reads."""
    return [*training_files(run, name).values(), *beside_files(run, name)]


def beside_files(run: Run, name: str) -> list[Path]:
    """What the training reads besides: for an MAE the words, which decide nothing; of labels the images."""
    if "labels" in training_files(run, name):
        return image_files(run)
    return [run.paths.tokens("train")] * (run.model(name).method == "mae")


def pair_files(run: Run, name: str) -> dict[str, Path]:
    """What the features of the run's own pairs are made of; word pieces where captions are encoded."""
    return imaged_files(run, name) | word_files(run, name)


def imaged_files(run: Run, name: str) -> dict[str, Path]:
    """Those of them that features of the images alone are made of."""
    manifests = {f"{split}_manifest": run.paths.manifest(split) for split in ("train", "heldout")}
    return {"weights": run.paths.encoder(name)} | manifests


def word_files(run: Run, name: str) -> dict[str, Path]:
    """The word pieces of a model that reads captions."""
    splits = ("train", "heldout") if run.reads_captions(name) else ()
    return {f"{split}_tokens": run.paths.tokens(split) for split in splits}


def encoded_files(run: Run, name: str) -> list[Path]:
    """What features are made of: an encoder, and every evaluation set."""
    return [run.paths.encoder(name), *map(run.paths.evalset, run.eval_datasets)]


def made_here(run: Run) -> list[str]:
    """The evaluation sets that a run makes itself."""
    return [name for name in run.eval_datasets if load_dataset(name).made_here]


def image_files(run: Run) -> list[Path]:
    """What the images of such sets come with: the list of the run's pairs."""
    return [run.paths.list("train")] * bool(made_here(run))
