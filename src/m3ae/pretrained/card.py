"""The model card: what the weights are, how they were made, what was measured, what their limits are."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tabulate import tabulate

from m3ae.config import load_run
from m3ae.config.paths import Paths
from m3ae.errors import UserError
from m3ae.files import sha256_of
from m3ae.records import Record, read_record

LICENCES = {
    "authors": (
        "apache-2.0",
        "Apache-2.0 is the licence of the authors' code; the weights carry none of their own.",
    ),
    "facebook": ("cc-by-nc-4.0", "CC BY-NC 4.0, that of facebookresearch/mae: not for commercial use."),
    "ours": ("apache-2.0", "Apache-2.0. The training data have terms of their own."),
}
MADE = {
    "authors": "Converted from the authors' JAX checkpoint (young-geng/m3ae_public), value by value.",
    "facebook": "Converted from Facebook's MAE checkpoint (facebookresearch/mae), value by value.",
    "ours": "Trained by this project, an open reproduction of the paper.",
}
SIZES = ("width", "depth", "num_heads", "decoder_width", "decoder_depth", "decoder_num_heads", "mlp_ratio",
         "image_px", "patch_px", "vocab_size", "max_tokens", "gelu", "type_embedding")  # fmt: skip


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


def card(config: dict[str, Any], num_parameters: int, facts: CardFacts | None = None) -> str:
    """The model card (Markdown) of a model with this configuration; "-" where nothing is known."""
    kind = (config.get("origin") or {}).get("kind", "ours")
    licence, about_licence = LICENCES.get(kind, LICENCES["ours"])
    is_mae = not config["vocab_size"]
    front = ["---", f"license: {licence}", "library_name: m3ae", "tags:", "- masked-autoencoder"]
    front += ["- vision"] if is_mae else ["- vision-language"]
    parts = [
        "\n".join([*front, "---"]),
        f"# {facts.model if facts else 'MAE' if is_mae else 'M3AE'}",
        f"**{facts.banner}**" if facts and facts.banner else "",
        f"{MADE.get(kind, MADE['ours'])} Paper: Geng et al. 2022, arXiv 2205.14204.",
        '```python\nfrom m3ae import load_pretrained\n\nmodel = load_pretrained("FOLDER")\n'
        "tokens = model.encode(image)  # (B, 1 + patches, width): CLS first\n```",
        "## Model",
        table({"parameters": f"{num_parameters:,}", **{name: config[name] for name in SIZES}}),
        "## Where the weights came from",
        table(dict(sorted((config.get("origin") or {"source": "-"}).items()))),
        "## Recipe",
        table(flat(facts.recipe)) if facts else "-",
        "## Training data",
        table(flat(facts.data)) if facts and facts.data else "-",
        "## Results",
        results(facts.records) if facts and facts.records else "-",
        "## Licence",
        about_licence,
        "## Limits",
        limits(facts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(rows: dict[str, Any]) -> str:
    """Two columns."""
    return tabulate(list(rows.items()), headers=["", ""], tablefmt="github", disable_numparse=True)


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    rows: dict[str, Any] = {}
    for name, value in tree.items():
        rows |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return rows


def results(records: list[Record]) -> str:
    """Every metric with its interval."""
    rows = [
        (record.subject or record.stage, name, f"{m.value:.4g} [{m.low:.4g}, {m.high:.4g}]", m.unit, m.n)
        for record in records
        for name, m in record.metrics.items()
    ]
    headers = ["subject", "metric", "value [95 % interval]", "unit", "n"]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def limits(facts: CardFacts | None) -> str:
    """What nobody should expect of the weights."""
    said = [
        "A representation for research: probe or fine-tune it. It generates neither captions nor images that "
        "anyone should use.",
        "Trained on images and captions from the web or made here, with whatever bias they have; nobody has "
        "audited it for people, places or languages.",
    ]
    if facts and facts.banner:
        said.append("Its scale is far below the paper's: accuracies cannot be compared with the paper's.")
    return "\n".join(f"* {sentence}" for sentence in said)


def facts_from_records(encoder: Path) -> CardFacts | None:
    """What lies beside results/RUN/MODEL/encoder.safetensors; None if it was not trained by the workflow."""
    folder = encoder.absolute().parent
    if encoder.name != "encoder.safetensors" or not (folder / "pretrain.json").is_file():
        return None
    pretrain = read_record(folder / "pretrain.json")
    if pretrain.details.get("weights_sha256") != sha256_of(encoder):
        raise UserError(
            f"{encoder}: not the weights that {folder / 'pretrain.json'} speaks of; move one of them away"
        )
    others = [path for path in sorted(folder.glob("*.json")) if path.name.split("-")[0] in RESULTS]
    return CardFacts(
        run=pretrain.run,
        model=pretrain.model,
        banner=banner_of(pretrain.run),
        recipe={key: value for key, value in pretrain.settings.items() if key not in ("version", "encoder")},
        details=pretrain.details,
        data=data_facts(folder.parents[2], pretrain),
        records=[read_record(path) for path in others],
    )


RESULTS = ("probe", "ood", "heldout.json")


def banner_of(run: str) -> str:
    """The run's warning about its scale; a warning too where its configuration is not at hand."""
    try:
        return load_run(run).settings.banner
    except UserError:
        return f"Run {run!r}: its scale is not known here"


def data_facts(project: Path, pretrain: Record) -> dict[str, Any]:
    """Count and rejections of the training shards, if those on disk are the ones that were trained on."""
    manifest = project / Paths(pretrain.run).manifest("train")
    if not manifest.is_file() or sha256_of(manifest) != pretrain.inputs.get("train_manifest"):
        return {"manifest sha256": pretrain.inputs.get("train_manifest", "-")}
    content = json.loads(manifest.read_text(encoding="utf-8"))
    return {
        "manifest sha256": pretrain.inputs["train_manifest"],
        "samples": content["count"],
        "rejected": content["rejected"],
    }
