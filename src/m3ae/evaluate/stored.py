"""Stored features, read back only if they fit the encoder and the settings of the run. No torch."""

import numpy as np
from jaxtyping import Float, Int

from m3ae.config import Run
from m3ae.errors import UserError
from m3ae.evaluate.archive import Archive
from m3ae.files import sha256_of
from m3ae.packing import unpacked
from m3ae.records import read_record


class Features(Archive):
    """Features and labels of a model's evaluation splits."""

    def __init__(self, run: Run, model: str) -> None:
        """Open the archive of ``model``. Raises UserError if it is not of these weights and settings."""
        path = run.paths.features(model)
        super().__init__(path, f"features --run {run.name} --model {model}")
        self.check("settings", run.stage("features", model), "made with other settings than the run's")
        weights = self.facts["inputs"]["weights"]
        trained = recorded_weights(run, model)
        if weights != trained:
            raise UserError(
                f"{path}: made from weights {weights[:12]}, but {run.paths.record(model, 'pretrain')} "
                f"speaks of {trained[:12]}; make it again with: m3ae {self.command}"
            )
        check_data(self, run)

    def features(self, dataset: str, split: str) -> Float[np.ndarray, "count width"]:
        """Features of a split, row i = image i."""
        return self.array(f"{dataset}/{split}/features")

    def labels(self, dataset: str, split: str, label: str, num_classes: int) -> Int[np.ndarray, " count"]:
        """Classes of a split, each in [0, num_classes). Raises UserError with the first that is not."""
        labels = self.array(f"{dataset}/{split}/labels/{label}")
        wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
        if len(wrong):
            raise UserError(
                f"{dataset}/{split}: {label} of image {wrong[0]}: expected a class "
                f"from 0 to {num_classes - 1}, got {labels[wrong[0]]}; "
                "mend the set or its entry in config/datasets.yaml"
            )
        return labels


def check_data(archive: Archive, run: Run) -> None:
    """Raise UserError if an evaluation set is another than when the archive was made.

    A set whose listing is not here says nothing: features may be all that was brought.
    """
    for dataset in run.eval_datasets:
        listing = run.paths.evalset(dataset)
        if listing.is_file() and sha256_of(listing) != archive.facts["inputs"].get(dataset):
            raise UserError(
                f"{archive.path}: made from another {dataset} than {listing} lists; "
                f"make it again with: m3ae {archive.command}"
            )


def checked_sha256(archive: Archive, run: Run, model: str) -> str:
    """SHA-256 of `features.safetensors` or `layers.safetensors`.

    Raises UserError if the record of `features` speaks of other bytes; without a record nothing does.
    """
    path, found = run.paths.record(model, "features"), sha256_of(archive.path)
    stated = read_record(path).provenance if path.is_file() else {}
    recorded = stated.get(f"{archive.path.stem}_sha256", found)
    if found != recorded:
        raise UserError(
            f"{archive.path}: expected the bytes {recorded[:12]} that {path} speaks of, got {found[:12]}; "
            f"make it again with: m3ae {archive.command}"
        )
    return found


def recorded_weights(run: Run, model: str) -> str:
    """SHA-256 of the weights that the model's pre-training ended with, from its record."""
    path = run.paths.record(model, "pretrain")
    weights = read_record(path).details.get("weights_sha256")
    if not isinstance(weights, str):
        raise UserError(
            f"{path}: expected details.weights_sha256, found none; run again: snakemake -f {path}"
        )
    return weights


def checked_weights(run: Run, model: str) -> str:
    """SHA-256 of the encoder's file. Raises UserError unless its record speaks of the same bytes."""
    run.model(model)
    path = unpacked(run.paths.encoder(model))
    if not path.is_file():
        raise UserError(f"{path}: no such weights; make them with: snakemake {path}")
    found, recorded = sha256_of(path), recorded_weights(run, model)
    if found != recorded:
        record = run.paths.record(model, "pretrain")
        raise UserError(
            f"{path}: expected the weights {recorded[:12]} that {record} speaks of, "
            f"got {found[:12]}; train again: m3ae pretrain --run {run.name} --model {model}"
        )
    return found


class Layers(Archive):
    """Features of the last blocks of a headline row, both poolings."""

    def __init__(self, run: Run, model: str) -> None:
        """Open the archive. Raises UserError if it is not of these weights and settings."""
        super().__init__(run.paths.layers(model), f"features --run {run.name} --model {model}")
        self.check("settings", run.stage("layers", model), "made with other settings than the run's")
        weights, trained = self.facts["inputs"]["weights"], recorded_weights(run, model)
        if weights != trained:
            raise UserError(
                f"{self.path}: made from weights {weights[:12]}, expected {trained[:12]}; "
                f"make it again with: m3ae {self.command}"
            )
        check_data(self, run)

    def representations(self, dataset: str, split: str) -> dict[str, Float[np.ndarray, "count width"]]:
        """Features by the name of block (1 is the last) and pooling: `block1/cls`, `block1/mean`, ..."""
        stored = self.array(f"{dataset}/{split}/layers")
        num = stored.shape[1]
        return {
            f"block{num - layer}/{pooling}": stored[:, layer, place]
            for layer in reversed(range(num))
            for place, pooling in enumerate(("cls", "mean"))
        }
