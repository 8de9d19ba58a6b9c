"""The identity of a stage: the settings that it depends on, sorted, and the version of its code.

Snakemake plans a stage again when this dict changes, and every record carries it.
"""

from typing import Any

from m3ae.config.evaluation import EvalSplit
from m3ae.config.models import RunSettings
from m3ae.config.rows import LIKE_PRETRAIN, READS_WORDS, REBUILDS, settings_of_row, taken_weights
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
    "pretrain": 3,
    "heldout": 1,
    "features": 2,
    "layers": 1,
    "pairs": 1,
    "probe": 1,
    "ood": 1,
    "concepts": 1,
    "pointing": 2,
    "clusters": 1,
    "captions": 1,
    "probes": 1,
    "augmented": 1,
    "detection": 1,
    "shift": 2,
    "robustness": 1,
    "figure2": 2,
    "figure3": 7,
    "figure4": 4,
    "figure5": 4,
    "figure6": 4,
    "figure7": 4,
    "figure9": 3,
    "extended": 5,
    "curves": 2,
    "compute": 2,
    "report": 6,
}

CLIP_VERSION = 2
"""The same for what only CLIP's training computes: the other rows stay as they are."""


def stage_settings(run: RunSettings, stage: str, model: Model | None = None) -> dict[str, Any]:
    """The settings of ``stage`` (for a row of the grid, where it needs one), sorted by key."""
    settings = SELECT[stage](run, model)
    return sort_keys({**settings, "version": VERSIONS[stage]})


def pretrain(run: RunSettings, model: Model | None) -> dict[str, Any]:
    """A row's own settings, resolved: what it overrides does not stand there twice."""
    assert model is not None
    row = settings_of_row(run, model)
    if weights := taken_weights(run, model):
        return taken(row, model, weights)
    recipe, architecture = row.pretrain.plain(), row.architecture.plain()
    for operational in ("checkpoint_minutes", "log_steps", "picture_steps"):
        del recipe[operational]  # how it is watched and saved, not what comes out
    del architecture["sizes"]
    if model.method not in REBUILDS:
        del architecture["decoder"]
        kept = ("eps", "precision", "random_drop_text", "store")
        recipe = {key: recipe[key] for key in (*LIKE_PRETRAIN, *kept)}
    elif not row.pretrain.mixture.texts:
        del recipe["unpaired_text_loss_weight"]
    common = {
        "method": model.method,
        "epochs": model.epochs,
        "samples_per_epoch": row.samples_per_epoch,
        "batch_size": row.batch_size,
        "seed": row.seed,
        "encoder": row.architecture.sizes[model.size].plain(),
        "architecture": architecture,
        "recipe": recipe,
        "image": row.data.image.plain(),
    }
    return common | OWN[model.method](row, model)


def taken(row: RunSettings, model: Model, weights: str) -> dict[str, Any]:
    """Weights in place of training: no recipe enters, and the labels' number alone (for the head)."""
    task, shared = row.probe.tasks[0], row.architecture
    return {
        "method": model.method,
        "weights": weights,
        "encoder": shared.sizes[model.size].plain(),
        "architecture": {"patch_px": shared.patch_px, "mlp_ratio": shared.mlp_ratio},
        "store": row.pretrain.store,
        "image": {key: row.data.image.plain()[key] for key in ("size_px", "mean", "std")},
        "labels": {"dataset": task.dataset, "label": task.label},
    }


def words(row: RunSettings, model: Model) -> dict[str, Any]:
    """What a model that reads captions adds."""
    added = {"paired_share": model.paired_share, "max_tokens": row.data.tokens.max_tokens}
    if row.data.texts and row.pretrain.mixture.texts > 0:
        added["texts_max_tokens"] = row.data.texts.max_tokens
    return added


def clip(row: RunSettings, model: Model) -> dict[str, Any]:
    """What CLIP adds; what it overrides stands in the recipe already."""
    return {**words(row, model), "clip": left_over(row.clip.plain()), "clip_version": CLIP_VERSION}


def supervised(row: RunSettings, model: Model) -> dict[str, Any]:
    """What supervised training adds, the labels it learns among it."""
    task = row.probe.tasks[0]
    labels = {"dataset": task.dataset, "split": task.train, "label": task.label}
    return {"supervised": left_over(row.supervised.plain()), "labels": labels}


def left_over(baseline: dict[str, Any]) -> dict[str, Any]:
    """Without what stands in the recipe and the view."""
    return {key: value for key, value in baseline.items() if key not in (*LIKE_PRETRAIN, "image")}


OWN: dict[str, Any] = {"m3ae": words, "mae": words, "clip": clip, "supervised": supervised}


def view(run: RunSettings, model: Model | None) -> dict[str, Any]:
    """How a frozen encoder sees an image: no augmentation."""
    image = (run if model is None else settings_of_row(run, model)).data.image.plain()
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


def features(run: RunSettings, model: Model | None) -> dict[str, Any]:
    """The representation and the splits that pass through the encoder."""
    splits = {f"{split.dataset}/{split.split}" for split in splits_of(run)}
    return {**run.features.plain(), "view": view(run, model), "splits": sorted(splits)}


def layers(run: RunSettings, model: Model | None) -> dict[str, Any]:
    """The same splits through the last blocks."""
    tasks = [f"{task.dataset}/{split}" for task in run.probe.tasks for split in (task.train, task.test)]
    found = features(run, model)
    del found["pooling"]  # both are stored
    num = run.extended.probes.layers if run.extended else 0
    return {**found, "splits": sorted(set(tasks)), "layers": num}


def pairs(run: RunSettings, model: Model | None) -> dict[str, Any]:
    """What an encoder is shown of the run's own pairs, and which words label them."""
    assert model is not None
    return {
        "resize_px": run.features.resize_px,
        "view": view(run, model),
        "precision": "fp32",  # whatever the evaluation sets take: captions were always read in it
        "layers": run.extended.probes.layers if run.extended else 1,
        "concepts": run.concepts.words if run.concepts else None,
        "captions": captions_encoded(run) if model.method in READS_WORDS else None,
        "seed": run.seed,
    }


def captions_encoded(run: RunSettings) -> dict[str, Any] | None:
    """Which captions are encoded, and what labels them; None where the run measures nothing of text."""
    if run.language is None:
        return None
    drawn = run.language.model_dump(include={"num_samples", "num_train", "other_captions"})
    return {**drawn, "concepts": (concepts_asked(run) or {}).get("words")}


def splits_of(run: RunSettings) -> list[EvalSplit]:
    """Every split of an evaluation set that passes through the encoders, once."""
    splits = [
        EvalSplit(dataset=task.dataset, split=split)
        for task in run.probe.tasks
        for split in (task.train, task.test)
    ]
    splits += [pair.out for pair in run.ood.pairs]
    if run.extended:
        splits += [pair.out for pair in run.extended.detection.pairs]
        splits += [shift.images for shift in run.extended.shift.natural]
    return list(dict.fromkeys(splits))


def concepts_asked(run: RunSettings) -> dict[str, Any] | None:
    """The concepts of the probes of `captions`: their own, or the run's."""
    asked = (run.language and run.language.concepts) or run.concepts
    return asked.plain() if asked else None


def extended(part: str) -> Any:
    """The identity of a target beyond the figures: its own settings, and how intervals are drawn."""

    def select(run: RunSettings, _: Model | None) -> dict[str, Any]:
        added = {"statistics": run.statistics.plain(), "seed": run.seed}
        own = getattr(run.extended, part) if run.extended else None
        return {**(own.plain() if own else {}), **added}

    return select


def table(run: RunSettings, _: Model | None) -> dict[str, Any]:
    """What a table adds to its records."""
    return {
        "rows": run.rows,
        "repeats": run.repeats,
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
        **({"images": [split.plain() for split in run.heldout.images]} if run.heldout.images else {}),
    },
    "features": features,
    "layers": layers,
    "pairs": pairs,
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
    "concepts": lambda run, model: {
        **(run.concepts.plain() if run.concepts else {}),
        **run.features.plain(),
        "view": view(run, model),
        "statistics": run.statistics.plain(),
        "seed": run.seed,
    },
    "pointing": lambda run, model: {
        "block": run.attended.block,
        "resize_px": run.features.resize_px,
        "view": view(run, model),
        "statistics": run.statistics.plain(),
        "seed": run.seed,
    },
    "clusters": lambda run, _: {
        **run.clusters.plain(),
        "task": next(task.plain() for task in run.probe.tasks if task.name == run.clusters.task),
        "statistics": run.statistics.plain(),
        "seed": run.seed,
    },
    "captions": lambda run, model: {
        **(run.language.plain() if run.language else {}),
        "concepts": concepts_asked(run),
        "resize_px": run.features.resize_px,
        "view": view(run, model),
        "statistics": run.statistics.plain(),
        "seed": run.seed,
    },
    "probes": lambda run, _: {
        **extended("probes")(run, _),
        "tasks": [task.plain() for task in run.probe.tasks],
        "validation_share": run.probe.validation_share,
    },
    "augmented": lambda run, model: {
        **extended("augmented")(run, model),
        "features": {**run.features.plain(), "view": view(run, model)},
        "probe": run.probe.plain(),
    },
    "detection": extended("detection"),
    "shift": lambda run, _: {
        **extended("shift")(run, _),
        "tasks": [task.plain() for task in run.probe.tasks],
    },
    "robustness": extended("robustness"),
    "figure2": lambda run, _: {
        "num_pictures": run.heldout.num_pictures,
        "seed": run.seed,
        "banner": run.banner,
    },
    "figure3": table,
    "figure4": table,
    "figure5": table,
    "figure6": lambda run, _: {
        **table(run, _),
        "bins": run.ood.bins,
        "pairs": [p.plain() for p in run.ood.pairs],
    },
    "figure7": lambda run, _: {**run.attended.plain(), "banner": run.banner},
    "figure9": lambda run, _: {"statistics": run.statistics.plain(), "banner": run.banner},
    "extended": lambda run, _: {
        "rows": run.extended.rows if run.extended else [],
        "statistics": run.statistics.plain(),
        "banner": run.banner,
    },
    "curves": lambda run, _: {"rows": run.rows},
    "compute": lambda run, _: {"rows": run.rows, "repeats": run.repeats, "banner": run.banner},
    "report": lambda run, _: {**table(run, _), "title": run.title},
}


def sort_keys(value: Any) -> Any:
    """Dicts with sorted keys all the way down: their order must not look like a change."""
    if isinstance(value, dict):
        return {key: sort_keys(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [sort_keys(item) for item in value]
    return value
