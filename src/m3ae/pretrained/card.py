"""The model card: what the weights are, how they were made, what was measured, what their limits are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from m3ae.pretrained.facts import CardFacts, flat
from m3ae.pretrained.methods import Method, method_of
from m3ae.records import Record

README = "README.md"
MARK = "<!-- Written by m3ae at every save. Without this line the card is yours and stays as it is. -->"


@dataclass(frozen=True)
class Kind:
    """What is true of all weights of one origin."""

    made: str
    licence: str
    """As the hub spells it."""
    about_licence: str
    paper: str = ""
    """Where it is not that of the method."""
    data: str = "-"


KINDS = {
    "authors": Kind(
        "Converted, value by value, from a checkpoint in the format of the authors' JAX code "
        "(young-geng/m3ae_public).",
        "apache-2.0",
        "Apache-2.0 is the licence of the authors' code (young-geng/m3ae_public); the weights have no "
        "statement of their own.",
        data="The file does not name it; the paper's models saw CC12M.",
    ),
    "facebook": Kind(
        "Converted, value by value, from a checkpoint in the format of facebookresearch/mae.",
        "cc-by-nc-4.0",
        "CC-BY-NC-4.0, the licence of facebookresearch/mae: not for commercial use.",
        paper="He et al. 2021, arXiv 2111.06377",
        data="The file does not name it; the released models saw the images of ImageNet-1K, no labels.",
    ),
    "timm": Kind(
        "Converted from a model of timm (huggingface/pytorch-image-models).",
        "apache-2.0",
        "Apache-2.0, as timm states it for DeiT; what it states for these weights is in the file's origin.",
        paper="Touvron et al. 2021, arXiv 2012.12877 (DeiT)",
        data="timm's name of the weights says it.",
    ),
    "ours": Kind(
        "Trained by this project, an open reproduction of M3AE.",
        "apache-2.0",
        "Apache-2.0. The training images and captions have terms of their own.",
    ),
}
UNKNOWN = Kind("A model of this project's code; where its weights came from is not known.", "unknown", "-")

SETTINGS = (
    "width", "depth", "num_heads", "decoder_width", "decoder_depth", "decoder_num_heads", "mlp_ratio",
    "image_px", "patch_px", "vocab_size", "max_tokens", "gelu", "type_embedding", "image_mask_ratio",
    "text_mask_ratio", "mask_scope", "norm_pix_loss", "image_loss_weight", "text_loss_weight",
    "image_mean", "image_std",
)  # fmt: skip
NOT_OUTCOME = ("weights_sha256", "parameters")
OPTIMISATION = "AdamW; linear warm-up to base_lr x batch_size / 256, then a half cosine to 0."


def card(config: dict[str, Any], num_parameters: int, facts: CardFacts | None = None) -> str:
    """The model card (Markdown) of a model with this configuration; "-" where nothing is known."""
    origin = config.get("origin") or {}
    kind = KINDS.get(str(origin.get("kind")), UNKNOWN)
    method = method_of(origin, bool(config["vocab_size"]))
    data = table(facts.data) if facts and facts.data else kind.data
    parts = [
        front_matter(kind, method),
        MARK,
        f"# {facts.model if facts else method.name}",
        f"**{facts.banner}**" if facts and facts.banner else "",
        f"{kind.made} Method: {method.name}. Paper: {kind.paper or method.paper}.",
        f"Not converted: {method.left_out}." if method.left_out else "",
        "## Use\n\n" + USE,
        "## Model\n\n" + table({"parameters": f"{num_parameters:,}", **{n: config.get(n) for n in SETTINGS}}),
        "## Where the weights came from\n\n" + table(dict(sorted(origin.items()))),
        "## Recipe\n\n" + (recipe(facts) if facts else "-"),
        "## Training data\n\n" + data,
        "## Results\n\n" + results(facts.records if facts else []),
        "## Licence\n\n" + kind.about_licence,
        "## Limits\n\n" + limits(facts, has_decoder=config["decoder_width"] > 0),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


USE = """\
```python
from m3ae import M3AEProcessor, load_pretrained

model = load_pretrained("FOLDER")
inputs = M3AEProcessor.for_model(model.config)(images=picture)  # a PIL image
tokens = model.encode(**inputs)  # (1, 1 + patches, width), CLS first
```

After `import m3ae.pretrained.huggingface`, `transformers.AutoModel.from_pretrained("FOLDER")` works too."""


def front_matter(kind: Kind, method: Method) -> str:
    """What the hub reads."""
    tags = [f"- {tag}" for tag in method.tags]
    return "\n".join(["---", f"license: {kind.licence}", "library_name: m3ae", "tags:", *tags, "---"])


def recipe(facts: CardFacts) -> str:
    """Settings of the training, and what came of it."""
    outcome = {name: value for name, value in facts.details.items() if name not in NOT_OUTCOME}
    settings = table({"run": facts.run, "model": facts.model, **flat(facts.recipe), **flat(outcome)})
    return f"{OPTIMISATION}\n\n{settings}"


def results(records: list[Record]) -> str:
    """Every metric with its interval."""
    rows = [
        (record.subject or record.stage, name, f"{m.value:.4g} [{m.low:.4g}, {m.high:.4g}]", m.unit, m.n)
        for record in records
        for name, m in record.metrics.items()
    ]
    if not rows:
        return "-"
    headers = ["subject", "metric", f"value [{interval_name(records)}]", "unit", "n"]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def interval_name(records: list[Record]) -> str:
    """`95 % interval`, if all records agree on it."""
    shares = {record.settings.get("statistics", {}).get("confidence") for record in records if record.metrics}
    share = shares.pop()
    return "interval" if shares or share is None else f"{100 * share:g} % interval"


def limits(facts: CardFacts | None, has_decoder: bool) -> str:
    """What nobody should expect of the weights."""
    said = [
        "A representation for research: probe it or fine-tune it. It makes neither captions nor images that "
        "anyone should use.",
        "Whatever bias its training data have, it has; nobody has audited it for people, places, languages.",
        "Read images with the mean and the standard deviation above; other ones give worse features.",
    ]
    if not has_decoder:
        said.append("An encoder alone: it represents and can rebuild nothing, so it has no loss.")
    if facts and facts.banner:
        said.append("Its scale is far below the paper's: its numbers cannot be compared with the paper's.")
    return "\n".join(f"* {sentence}" for sentence in said)


def table(rows: dict[str, Any]) -> str:
    """Two columns; "-" without rows."""
    if not rows:
        return "-"
    cells = [(cell(name), cell(value)) for name, value in rows.items()]
    return tabulate(cells, headers=["", ""], tablefmt="github", disable_numparse=True)


def cell(value: Any) -> str:
    """A value that stays within its cell, whatever a file said."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value)) or "-"
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


def is_ours(readme: Path) -> bool:
    """Whether ``readme`` is a card of ours that nobody has made theirs."""
    return MARK in readme.read_text(encoding="utf-8", errors="replace")
