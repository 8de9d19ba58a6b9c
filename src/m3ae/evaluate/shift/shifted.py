"""The target `shift`: the probe's accuracy on corrupted test images, and on sets that others took."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from tqdm import tqdm

from m3ae.config import Run
from m3ae.config.evaluation import Task
from m3ae.data.evalsets.evalsets import EvalImages
from m3ae.data.images import normalise, view
from m3ae.evaluate.encoder import checked_encoder
from m3ae.evaluate.features import BATCH, encode, finite, pool
from m3ae.evaluate.metrics import mean_share
from m3ae.evaluate.ood import classifier_of, open_probes
from m3ae.evaluate.scores import Classifier
from m3ae.evaluate.shift.corruptions import ALEXNET, check, corrupt
from m3ae.evaluate.shift.natural import natural_metrics
from m3ae.evaluate.stored import Features
from m3ae.files import sha256_of
from m3ae.model.m3ae import M3AE
from m3ae.records import Metric, Record, provenance

Views = UInt8[np.ndarray, "count size_px size_px 3"]
Right = Bool[np.ndarray, " count"]
CLEAN = ("clean", 0)


def run_shift(run: Run, model: str) -> None:
    """Write `shift-<task>.json` for every task. Raises UserError for an unknown corruption."""
    started = time.time()
    run.model(model)
    settings = run.extended.shift
    for kind in settings.corruptions:
        for severity in settings.severities:
            check(kind, severity)
    features = Features(run, model)
    probes = open_probes(run, model, features)
    classifiers = {task.name: classifier_of(probes, task) for task in run.settings.probe.tasks}
    corrupted = on_corrupted(run, model, classifiers)
    for task in run.settings.probe.tasks:
        metrics = corruption_metrics(run, corrupted[task.name])
        metrics |= natural_metrics(run, features, classifiers[task.name], task)
        Record(
            run=run.name,
            model=model,
            stage="shift",
            subject=task.name,
            metrics=metrics,
            details={"num_corrupted": len(corrupted[task.name][CLEAN])},
            settings=run.stage("shift", model),
            inputs={**probes.facts["inputs"], "probe": sha256_of(probes.path)},
            seeds=[run.settings.seed],
            provenance=provenance(started),
        ).write(run.paths.record(model, f"shift-{task.name}"))


def on_corrupted(
    run: Run, model: str, classifiers: dict[str, Classifier]
) -> dict[str, dict[tuple[str, int], Right]]:
    """For each task, whether each chosen image is classified right: clean, and of each kind and severity.

    Tasks on the same images share the passes through the encoder.
    """
    encoder = checked_encoder(run, model).to("cuda" if torch.cuda.is_available() else "cpu")
    found: dict[str, dict[tuple[str, int], Right]] = {name: {} for name in classifiers}
    groups: dict[tuple[str, str], list[Task]] = {}
    for task in run.settings.probe.tasks:
        groups.setdefault((task.dataset, task.test), []).append(task)
    for (dataset, split), tasks in groups.items():
        images = EvalImages(run, dataset, split)
        rows = evenly(len(images), run.extended.shift.num_samples)
        clean = views_of(run, model, images, rows)
        for key, views in changes(run, clean, rows, f"{model}, {dataset}"):
            x = features_of(run, model, encoder, views)
            for task in tasks:
                answers = classifiers[task.name].logits(x).argmax(axis=1)
                found[task.name][key] = answers == images.labels(task.label)[rows]
    return found


def evenly(count: int, wanted: int) -> np.ndarray:
    """At most ``wanted`` rows, evenly spaced: sets that are sorted by class keep all classes."""
    return np.linspace(0, count - 1, min(wanted, count)).astype(np.int64)


def views_of(run: Run, model: str, images: EvalImages, rows: np.ndarray) -> Views:
    """The chosen images as the encoder sees them, before normalisation."""
    resize_px, image = run.settings.features.resize_px, run.settings_of(model).data.image
    return np.stack([view(images.image(int(row)), resize_px, image.size_px) for row in rows])


def changes(run: Run, clean: Views, rows: np.ndarray, title: str) -> Iterator[tuple[tuple[str, int], Views]]:
    """The clean views, then each corruption of them; an image's corruption depends on its row alone."""
    settings, seed = run.extended.shift, run.settings.seed
    yield CLEAN, clean
    keys = [(kind, severity) for kind in settings.corruptions for severity in settings.severities]
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for kind, severity in tqdm(keys, desc=f"corruptions of {title}", disable=None):

            def changed(place: int, kind: str = kind, severity: int = severity) -> np.ndarray:
                return corrupt(clean[place], kind, severity, seed=seed, item=int(rows[place]))

            yield (kind, severity), np.stack(list(threads.map(changed, range(len(clean)))))


@torch.inference_mode()
def features_of(run: Run, model: str, encoder: M3AE, views: Views) -> Float[np.ndarray, "count width"]:
    """The pooled features of views, as ``m3ae features`` makes them."""
    image, pooling = run.settings_of(model).data.image, run.settings.features.pooling
    pooled = []
    for start in range(0, len(views), BATCH):
        batch = normalise(views[start : start + BATCH], image.mean, image.std)
        pooled.append(finite(pool(encode(run, encoder, batch), pooling), "corrupted images"))
    return np.concatenate(pooled)


def corruption_metrics(run: Run, right: dict[tuple[str, int], Right]) -> dict[str, Metric]:
    """Accuracies (%): clean, of each kind over its severities, of each severity; and the mean error."""
    settings = run.extended.shift
    metrics = {"clean": mean_share(run, right[CLEAN].astype(np.float64), keep=True)}
    weighted = []
    for kind in settings.corruptions:
        each = np.stack([right[kind, severity] for severity in settings.severities])
        metrics[kind] = mean_share(run, each.mean(axis=0), keep=True)
        for severity, row in zip(settings.severities, each, strict=True):
            metrics[f"{kind}_{severity}"] = mean_share(run, row.astype(np.float64))
        baseline = ALEXNET[kind] / 100 if settings.relative_to == "alexnet" else 1.0
        weighted.append((1 - each.mean(axis=0)) / baseline)
    if weighted:  # linear in the images, so that its interval is that of a mean
        metrics["mean_corruption_error"] = mean_share(run, np.mean(weighted, axis=0), keep=True)
    return metrics
