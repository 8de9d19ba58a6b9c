"""What the workflow recorded about the weights that it trained: recipe, yield of the data, results."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from m3ae.config import load_run
from m3ae.config.paths import Paths
from m3ae.data.manifest import read_manifest
from m3ae.errors import UserError
from m3ae.files import sha256_of
from m3ae.records import Record, read_record

NOT_RECIPE = ("version", "encoder", "architecture")  # the model's table has the sizes


@dataclass(frozen=True)
class CardFacts:
    """What the run that trained the weights recorded."""

    run: str
    model: str
    banner: str
    recipe: dict[str, Any]
    details: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)


def facts_from_records(encoder: Path) -> CardFacts | None:
    """What lies beside results/RUN/MODEL/encoder.safetensors; None if it was not trained by the workflow.

    Raises UserError, one line, if the record of the training speaks of other weights.
    """
    folder = encoder.absolute().parent
    if encoder.name != "encoder.safetensors" or not (folder / "pretrain.json").is_file():
        return None
    pretrain = read_record(folder / "pretrain.json")
    sha256 = sha256_of(encoder)
    if pretrain.details.get("weights_sha256") != sha256:
        raise UserError(
            f"{encoder}: not the weights that {folder / 'pretrain.json'} speaks of; move one of them away"
        )
    return CardFacts(
        run=pretrain.run,
        model=pretrain.model,
        banner=banner_of(pretrain.run),
        recipe={name: value for name, value in pretrain.settings.items() if name not in NOT_RECIPE},
        details=pretrain.details,
        data=data_facts(folder, pretrain),
        records=measured(folder, sha256),
    )


def measured(folder: Path, weights_sha256: str) -> list[Record]:
    """The results of these very weights: a record of earlier ones may still lie there."""
    names = ("probe-*.json", "ood-*.json", "concepts.json", "heldout.json")
    records = [read_record(path) for path in sorted(path for name in names for path in folder.glob(name))]
    return [record for record in records if record.inputs.get("weights") == weights_sha256]


def banner_of(run: str) -> str:
    """The run's warning about its scale; a warning too where its configuration is not at hand."""
    try:
        return load_run(run).settings.banner
    except UserError:
        return f"Run {run!r}: a small run, as far as is known here (its configuration is not at hand)"


def data_facts(results_folder: Path, pretrain: Record) -> dict[str, Any]:
    """What came of the list, if the shards on disk are the ones that were trained on."""
    trained_on = pretrain.inputs.get("train_manifest")
    facts: dict[str, Any] = {"sha256 of the manifest": trained_on}
    project = next(iter(results_folder.parents[2:3]), results_folder)  # above results/RUN/MODEL
    path = project / Paths(pretrain.run).manifest("train")
    if not path.is_file() or sha256_of(path) != trained_on:
        return facts
    manifest = read_manifest(path)
    share = {"share": f"{manifest.yield_.share:.1%}"}
    facts |= {"samples": manifest.count, **flat({"yield": manifest.yield_.model_dump() | share})}
    return facts | flat({"rejected": manifest.rejected})


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    rows: dict[str, Any] = {}
    for name, value in tree.items():
        rows |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return rows
