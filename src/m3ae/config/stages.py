"""The identity of a stage: the settings that it depends on, sorted, and the version of its code.

Snakemake plans a stage again when this dict changes, and every record carries it.
"""

from typing import Any

from m3ae.config.models import RunSettings
from m3ae.config.training import Model

# Bumped by hand when a stage's code changes what it computes.
VERSIONS = {
    "source": 1,
    "images": 1,
    "download": 1,
    "clean": 2,
    "tokens": 2,
    "texts": 1,
    "evalset": 1,
    "pretrain": 2,
    "heldout": 1,
    "features": 1,
    "probe": 1,
    "ood": 1,
    "figure2": 1,
    "figure3": 1,
    "figure6": 1,
    "curves": 1,
    "report": 1,
}


def stage_settings(run: RunSettings, stage: str, model: Model | None = None) -> dict[str, Any]:
    """The settings of ``stage`` (for a row of the grid, where it needs one), sorted by key."""
    settings = SELECT[stage](run, model)
    return sort_keys({**settings, "version": VERSIONS[stage]})


def pretrain(run: RunSettings, model: Model | None) -> dict[str, Any]:
    """A row's own settings, resolved: what the row overrides does not stand there twice."""
    assert model is not None
    recipe = run.pretrain.plain()
    for operational in ("checkpoint_minutes", "log_steps", "picture_steps"):
        del recipe[operational]  # how it is watched and saved, not what comes out
    if model.text_mask_ratio is not None:
        recipe["text_mask_ratio"] = model.text_mask_ratio
    architecture = run.architecture.plain()
    del architecture["sizes"]
    mixed_in = {}
    if run.data.texts and run.pretrain.mixture.texts > 0:
        mixed_in["texts_max_tokens"] = run.data.texts.max_tokens
    return {
        "method": model.method,
        "epochs": model.epochs,
        "paired_share": model.paired_share,
        "samples_per_epoch": run.samples_per_epoch,
        "batch_size": run.batch_size,
        "seed": run.seed,
        "encoder": run.architecture.sizes[model.size].plain(),
        "architecture": architecture,
        "recipe": recipe,
        "image": run.data.image.plain(),
        "max_tokens": run.data.tokens.max_tokens,
        **mixed_in,
    }


def view(run: RunSettings) -> dict[str, Any]:
    """How a frozen encoder sees an image: no augmentation."""
    image = run.data.image.plain()
    return {key: image[key] for key in ("size_px", "mean", "std")}


def clean(run: RunSettings, _: Model | None) -> dict[str, Any]:
    """Cleaning also judges the yield of the whole way."""
    return {**run.data.clean.plain(), "min_yield": run.data.download.min_yield}


def download(run: RunSettings, _: Model | None) -> dict[str, Any]:
    """What decides which bytes arrive."""
    settings = run.data.download.plain()
    for elsewhere in ("min_yield", "per_host"):
        del settings[elsewhere]  # judged by cleaning; how politely, not what
    if settings["resize"] == "keep_ratio":
        settings["short_side_px"] = run.data.clean.short_side_px
    return settings


def features(run: RunSettings, _: Model | None) -> dict[str, Any]:
    """The representation and the splits that pass through the encoder."""
    splits = {
        f"{dataset}/{split}"
        for task in run.probe.tasks
        for dataset, split in ((task.dataset, task.train), (task.dataset, task.test))
    } | {f"{pair.out.dataset}/{pair.out.split}" for pair in run.ood.pairs}
    return {**run.features.plain(), "view": view(run), "splits": sorted(splits)}


def table(run: RunSettings, _: Model | None) -> dict[str, Any]:
    """What a table adds to its records."""
    return {
        "rows": run.rows,
        "tasks": [task.name for task in run.probe.tasks],
        "check": run.check.plain(),
        "statistics": run.statistics.plain(),
        "banner": run.banner,
    }


SELECT: dict[str, Any] = {
    "source": lambda run, _: {**run.data.source.plain(), "seed": run.seed},
    "images": lambda run, _: run.data.images.plain() if run.data.images else {},
    "texts": lambda run, _: run.data.texts.plain() if run.data.texts else {},
    "download": download,
    "clean": clean,
    "tokens": lambda run, _: run.data.tokens.plain(),
    "evalset": lambda run, _: {},
    "pretrain": pretrain,
    "heldout": lambda run, _: {
        "num_samples": run.heldout.num_samples,
        "statistics": run.statistics.plain(),
        "seed": run.seed,
    },
    "features": features,
    "probe": lambda run, _: {
        **run.probe.plain(),
        "statistics": run.statistics.plain(),
        "seed": run.seed,
    },
    "ood": lambda run, _: {
        "pairs": [pair.plain() for pair in run.ood.pairs],
        "statistics": run.statistics.plain(),
        "seed": run.seed,
    },
    "figure2": lambda run, _: {"num_pictures": run.heldout.num_pictures, "seed": run.seed},
    "figure3": table,
    "figure6": lambda run, _: {
        **table(run, _),
        "bins": run.ood.bins,
        "pairs": [p.plain() for p in run.ood.pairs],
    },
    "curves": lambda run, _: {"rows": run.rows},
    "report": lambda run, _: {**table(run, _), "title": run.title},
}


def sort_keys(value: Any) -> Any:
    """Dicts with sorted keys all the way down: their order must not look like a change."""
    if isinstance(value, dict):
        return {key: sort_keys(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [sort_keys(item) for item in value]
    return value
