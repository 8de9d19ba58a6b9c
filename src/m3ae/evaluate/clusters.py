"""Do classes form groups in the features? Figure 9's t-SNE, and two numbers that need no eye.

The first test images of some classes; all distances are Euclidean, of the stored features as they are. An
image asks its nearest *other* images for its class; its silhouette is positive where its own class is nearer
than the next one (Rousseeuw 1987). No torch.
"""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from m3ae.config import Run
from m3ae.config.datasets import load_dataset
from m3ae.errors import UserError
from m3ae.evaluate.bootstrap import Interval, interval_of_mean, percentiles
from m3ae.evaluate.metrics import percent
from m3ae.evaluate.stored import Features, checked_sha256
from m3ae.records import Items, Metric, Record, provenance

Points = Float[np.ndarray, "n width"]
Classes = Int[np.ndarray, " n"]


class Points2D(NamedTuple):
    """The map of a record: a point and a class for each image."""

    x: Float[np.ndarray, " n"]
    y: Float[np.ndarray, " n"]
    classes: Classes


def run_clusters(run: Run, models: Sequence[str]) -> None:
    """Write `clusters.json` of each model. Raises UserError where the test set has too few images."""
    for model in models:
        started = time.time()
        stored = Features(run, model)
        inputs = {"features": checked_sha256(stored, run, model)}
        x, classes = chosen(run, stored)
        placed = embed(x, run.settings.clusters.perplexity, run.settings.seed)
        settings = run.settings.clusters
        Record(
            run=run.name,
            model=model,
            stage="clusters",
            metrics=measure(run, x, classes),
            details={
                "task": settings.task,
                "classes": names_of(run),
                "chance": 100 * largest_share(classes),
                "map": {
                    name: Items.pack(values).model_dump()
                    for name, values in (("x", placed[:, 0]), ("y", placed[:, 1]), ("classes", classes))
                },
            },
            settings=run.stage("clusters", model),
            inputs=inputs,
            seeds=[run.settings.seed],
            provenance=provenance(started),
        ).write(run.paths.record(model, "clusters"))


def chosen(run: Run, stored: Features) -> tuple[Points, Classes]:
    """Features and classes of the images that are shown, by class as the run lists them."""
    settings, task = run.settings.clusters, run.task(run.settings.clusters.task)
    num = load_dataset(task.dataset).num_classes(task.label)
    labels = stored.labels(task.dataset, task.test, task.label, num)
    rows = [np.flatnonzero(labels == one)[: settings.per_class] for one in settings.classes]
    for one, found in zip(settings.classes, rows, strict=True):
        if len(found) < 2:
            raise UserError(
                f"clusters.classes: expected two or more test images of class {one} of {task.dataset}, found "
                f"{len(found)}; choose other classes"
            )
    count = sum(map(len, rows))
    needed = max(settings.neighbours, settings.perplexity)
    if count <= needed:
        raise UserError(
            f"clusters: expected more than {needed:g} images (neighbours, perplexity), found {count}; "
            "lower them, or choose more classes"
        )
    picked = np.concatenate(rows)
    classes = np.repeat(np.arange(len(rows)), [len(found) for found in rows])
    return np.asarray(stored.features(task.dataset, task.test)[picked], np.float64), classes


def names_of(run: Run) -> list[str]:
    """What the classes are called; their numbers where the registry has no names."""
    settings, task = run.settings.clusters, run.task(run.settings.clusters.task)
    classes = load_dataset(task.dataset).classes_of(task.label)
    return [str(one) if isinstance(classes, int) else classes.names[one] for one in settings.classes]


def largest_share(classes: Classes) -> float:
    """How often the most frequent class would be right."""
    return float(np.bincount(classes).max() / len(classes))


def measure(run: Run, x: Points, classes: Classes) -> dict[str, Metric]:
    """Accuracy of the neighbours (%) and mean silhouette, each with its interval over images."""
    from sklearn.metrics import silhouette_score

    correct = neighbours_agree(x, classes, run.settings.clusters.neighbours)
    statistics, seed = run.settings.statistics, run.settings.seed
    drawn = (statistics.draws, statistics.confidence, seed)
    value = float(silhouette_score(x, classes))
    halves = silhouettes_of_halves(x, classes, statistics.draws, seed).astype(np.float32)
    spread = spread_of_halves(value, halves, statistics.confidence)
    return {
        "knn_accuracy": percent(
            interval_of_mean(correct, *drawn), len(correct), correct=correct.astype(np.uint8)
        ),
        "silhouette": Metric(
            **spread._asdict(),
            n=len(classes),
            unit="silhouette, -1 to 1",
            items={"halves": Items.pack(halves)},
        ),
    }


def neighbours_agree(x: Points, classes: Classes, k: int) -> Bool[np.ndarray, " n"]:
    """Whether the ``k`` nearest other images vote for an image's class; a tie goes to the nearest tied."""
    squares = (x**2).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * x @ x.T
    np.fill_diagonal(distances, np.inf)
    nearest = classes[np.argsort(distances, axis=1, kind="stable")[:, :k]]
    votes = (nearest[:, :, None] == nearest[:, None, :]).sum(axis=2)  # how many share the neighbour's class
    winners = nearest[np.arange(len(x)), votes.argmax(axis=1)]
    return winners == classes


def silhouettes_of_halves(x: Points, classes: Classes, draws: int, seed: int) -> Float[np.ndarray, " draws"]:
    """The mean silhouette of half of the images of each class, drawn without replacement; the same halves for
    all models of the same images.
    """
    from sklearn.metrics import pairwise_distances

    distances, members = pairwise_distances(x), np.eye(classes.max() + 1)[classes]
    rng = np.random.default_rng(seed)
    return np.array([silhouette(distances, members, half) for half in halves(classes, draws, rng)])


def halves(classes: Classes, draws: int, rng: np.random.Generator) -> Iterator[Int[np.ndarray, " half"]]:
    """Places of half of the images of each class, of two at least."""
    groups = [np.flatnonzero(classes == one) for one in np.unique(classes)]
    for _ in range(draws):
        yield np.concatenate([rng.permutation(group)[: max(2, len(group) // 2)] for group in groups])


def silhouette(
    distances: Float[np.ndarray, "n n"],
    members: Float[np.ndarray, "n classes"],
    chosen: Int[np.ndarray, " half"],
) -> float:
    """The mean silhouette of chosen images among themselves."""
    own = members[chosen]
    counts = own.sum(axis=0)
    sums = distances[np.ix_(chosen, chosen)] @ own
    within = (sums * own).sum(axis=1) / (own @ counts - 1)
    between = np.where(own > 0, np.inf, sums / counts).min(axis=1)
    return float(np.mean((between - within) / np.maximum(between, within)))


def spread_of_halves(value: float, found: Float[np.ndarray, " draws"], confidence: float) -> Interval:
    """An interval from the statistic of random halves, which scatter about their mean as much as that of all
    images does about the truth.

    A silhouette hangs on all images: drawing its terms one by one, as a bootstrap of means does, gives
    intervals half as wide as they should be. Delete-d jackknife with d = n / 2 (Shao and Wu 1989).
    """
    return percentiles(value, value + found.astype(np.float64) - found.mean(dtype=np.float64), confidence)


def embed(x: Points, perplexity: float, seed: int) -> Float[np.ndarray, "n 2"]:
    """t-SNE in two dimensions, from the first two principal components (van der Maaten and Hinton 2008)."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed, metric="euclidean")
    with threadpool_limits(1):  # sums in one order: the same map every time; and faster, for so few points
        return tsne.fit_transform(x.astype(np.float32)).astype(np.float32)


def map_of(record: Record) -> Points2D:
    """The map that a record holds."""
    stored = record.details["map"]
    return Points2D(*(Items(**stored[name]).unpack() for name in ("x", "y", "classes")))
