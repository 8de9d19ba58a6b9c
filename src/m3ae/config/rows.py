"""What a row of the grid changes: the run's settings as its pre-training sees them."""

from typing import TYPE_CHECKING, Any

from m3ae.config.training import Clip, Model, Supervised

if TYPE_CHECKING:
    from m3ae.config.models import RunSettings

READS_WORDS = ("m3ae", "clip")
REBUILDS = ("m3ae", "mae")
LIKE_PRETRAIN = ("base_lr", "betas", "weight_decay", "warmup_epochs")


def settings_of_row(run: "RunSettings", row: Model) -> "RunSettings":
    """The settings with everything that ``row`` or its method overrides put in its place."""
    recipe, data = run.pretrain, run.data
    over: dict[str, Any] = {}
    if row.text_mask_ratio is not None:
        over["text_mask_ratio"] = row.text_mask_ratio
    if row.texts is not None:
        over["mixture"] = recipe.mixture.model_copy(update={"texts": row.texts})
    if (baseline := baseline_of(run, row)) is not None:
        over |= {key: getattr(baseline, key) for key in LIKE_PRETRAIN}
        over["mixture"] = recipe.mixture.model_copy(update={"images": 0.0, "texts": 0.0})
        data = data.model_copy(update={"image": baseline.image})
    return run.model_copy(
        update={
            "pretrain": recipe.model_copy(update=over),
            "data": data,
            "seed": run.seed if row.seed is None else row.seed,
        }
    )


def taken_weights(run: "RunSettings", row: Model) -> str | None:
    """The timm model whose weights a row takes in place of training; else None."""
    return run.supervised.weights if row.method == "supervised" and row.epochs > 0 else None


def baseline_of(run: "RunSettings", row: Model) -> Clip | Supervised | None:
    """The recipe of a row that is no masked autoencoder."""
    if row.method == "clip":
        return run.clip
    return run.supervised if row.method == "supervised" else None
