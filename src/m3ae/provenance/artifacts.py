"""The files that records speak of: where each lies in a project, and which stage makes it."""

from pathlib import Path

from m3ae.config.datasets import load_dataset
from m3ae.config.paths import Paths
from m3ae.errors import UserError
from m3ae.files import sha256_of
from m3ae.records import Record

MAKER = {"weights": "pretrain", "features": "features", "layers": "features", "probe": "probe"}
"""Inputs that a stage of the same model makes, and that stage."""
DERIVED = ("features", "layers", "probe")
"""Those whose maker is guessed where its record does not state their hash."""
STATED = ("weights", "features", "layers", "probe", "pairs")
"""Files whose hash the record of their maker states, as `features_sha256`; some records do not."""
SPLITS = ("train", "heldout", "images")


def file_of(record: Record, name: str) -> Path | None:
    """Where the input ``name`` of a record lies, relative to the project; None if nothing says so."""
    paths, model = Paths(record.run), record.model
    made = {
        "weights": paths.encoder(model),
        "features": paths.features(model),
        "layers": paths.layers(model),
        "probe": paths.classifier(model),
        "pairs": paths.pairs(model),
        "tokenizer": paths.tokenizer,
        "texts": paths.tokens("texts"),
    }
    for split in SPLITS:
        made |= {split: paths.manifest(split), f"{split}_manifest": paths.manifest(split)}
        made |= {f"{split}_tokens": paths.tokens(split)}
    if name in made:
        return made[name]
    labels = record.settings.get("labels")
    dataset = labels.get("dataset", name) if name == "labels" and isinstance(labels, dict) else name
    try:
        load_dataset(dataset)
    except UserError:
        return None
    return paths.evalset(dataset)


def stated_by(record: Record) -> dict[str, str]:
    """SHA-256 of the files that a record says its stage made, by name.

    The pairs' features have no record of their own: those of the stages that read them, or made them, do.
    """
    said = {**record.provenance, **record.details}
    found = {name: said.get(f"{name}_sha256") for name in STATED}
    return {name: sha256 for name, sha256 in found.items() if isinstance(sha256, str)}


def state_of(path: Path, sha256: str) -> str:
    """Whether a file is here with the bytes that a record states."""
    if not path.is_file():
        return "not here"
    found = sha256_of(path)
    return "here" if found == sha256 else f"here with other bytes, {found[:12]}"
