"""Made-up records whose inputs name each other's files, as those of a finished run do."""

import hashlib
from pathlib import Path

import made_records as made
from m3ae.config import Run
from m3ae.records import read_record

MODELS = {"m3ae-b100": 0.62, "mae-b100": 0.44}


def sha256(name: str) -> str:
    """A hash that stands for a file of this name."""
    return hashlib.sha256(name.encode()).hexdigest()


def with_inputs(path: Path, inputs: dict[str, str], **details: str) -> Path:
    """Write the record anew with these inputs."""
    record = read_record(path)
    record.model_copy(update={"inputs": inputs, "details": {**record.details, **details}}).write(path)
    return path


def write_linked(run: Run) -> dict[str, Path]:
    """Pre-training, features, a probe, an OOD pair and held-out errors of two models, by `MODEL/STAGE`."""
    rng = made.np.random.default_rng(0)
    found = {}
    for model, share in MODELS.items():
        weights, features, probe = (sha256(f"{model} {what}") for what in ("weights", "features", "probe"))
        data = {"train_manifest": sha256("train"), "train_tokens": sha256("words")}
        beside = {"weights": weights, "features": features}
        records = {
            "pretrain": with_inputs(made.write_pretrain(run, model), data, weights_sha256=weights),
            "features": with_inputs(
                made.write(run, model, "features", {}),
                {"weights": weights, "toy-scenes": sha256("scenes"), "toy-textures": sha256("textures")},
            ),
            "probe": with_inputs(made.write_probe(run, model, run.tasks[0], made.hits(share, 1000)), beside),
            "ood": with_inputs(
                made.write_ood(
                    run, model, run.ood_pairs[0], rng.normal(share, 0.3, 500), rng.normal(0, 0.3, 300)
                ),
                {**beside, "probe": probe},
            ),
            "heldout": with_inputs(
                made.write_heldout(run, model), {"weights": weights, "heldout_manifest": sha256("heldout")}
            ),
        }
        found |= {f"{model}/{stage}": path for stage, path in records.items()}
    return found
