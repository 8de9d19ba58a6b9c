"""Linear probes of a model: choose a learning rate on training images, train, touch the test set once."""

import time
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm

from m3ae.config import Run
from m3ae.config.datasets import load_dataset
from m3ae.config.evaluation import Probe, Task
from m3ae.errors import UserError
from m3ae.evaluate.archive import write_archive
from m3ae.evaluate.linear import LinearProbe, fit, is_correct
from m3ae.evaluate.metrics import accuracy
from m3ae.evaluate.stored import Features, checked_sha256
from m3ae.files import sha256_of
from m3ae.records import Record, provenance


class Labelled(NamedTuple):
    """Features of a split with their classes."""

    x: Float[Tensor, "count width"]
    classes: Int[Tensor, " count"]


class Probed(NamedTuple):
    """A task's result: the trained probe, its answers on the test set, and how it came about."""

    probe: LinearProbe
    correct: Bool[np.ndarray, " count"]
    details: dict


def run_probe(run: Run, model: str) -> None:
    """Write `probe-<task>.json` for every task, and the weights of all probes to `probe.safetensors`."""
    started = time.time()
    run.model(model)
    features = Features(run, model)
    inputs = {
        "weights": features.facts["inputs"]["weights"],
        "features": checked_sha256(features, run, model),
    }
    tasks = tqdm(run.settings.probe.tasks, desc=f"probes of {model}", disable=None)
    results = {task.name: probe_task(run, features, task) for task in tasks}
    settings = run.stage("probe", model)
    arrays = {
        f"{task}/{name}": array for task in results for name, array in weights(results[task].probe).items()
    }
    write_archive(run.paths.classifier(model), arrays, {"inputs": inputs, "settings": settings})
    stored = {"probe_sha256": sha256_of(run.paths.classifier(model))}
    for task, result in results.items():
        Record(
            run=run.name,
            model=model,
            stage="probe",
            subject=task,
            metrics={"accuracy": accuracy(run, result.correct)},
            details=result.details | stored,
            settings=settings,
            inputs=inputs,
            seeds=[run.settings.seed],
            provenance=provenance(started),
        ).write(run.paths.record(model, f"probe-{task}"))


def probe_task(run: Run, features: Features, task: Task) -> Probed:
    """The result of one task. Raises UserError if its training diverges."""
    num_classes = load_dataset(task.dataset).num_classes(task.label)
    train = labelled(features, task, task.train, num_classes)
    test = labelled(features, task, task.test, num_classes)
    result = train_and_test(train, test, num_classes, run.settings.probe, run.settings.seed)
    if not all(tensor.isfinite().all() for tensor in result.probe.state_dict().values()):
        raise UserError(
            f"probe {task.name}: diverged at base_lr {result.details['base_lr']}; "
            "put a smaller rate into probe.base_lrs"
        )
    return result


def train_and_test(train: Labelled, test: Labelled, num_classes: int, recipe: Probe, seed: int) -> Probed:
    """Choose a rate on training images, train on all of them, and apply the probe to the test images."""
    base_lr, validation = choose_rate(train, num_classes, recipe, seed)
    probe = fit(*train, num_classes, recipe, base_lr, seed)
    details = {
        "base_lr": base_lr,
        "num_train": len(train.x),
        "num_test": len(test.x),
        "num_classes": num_classes,
        "chance": 100 / len(train.classes.unique()),
        **({"validation": validation} if validation else {}),
    }
    return Probed(probe, is_correct(probe, *test).cpu().numpy(), details)


def labelled(features: Features, task: Task, split: str, num_classes: int) -> Labelled:
    """A task's split, on the accelerator if there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = features.features(task.dataset, split)
    classes = features.labels(task.dataset, split, task.label, num_classes)
    return Labelled(torch.from_numpy(x).to(device), torch.from_numpy(classes).to(device))


def choose_rate(
    train: Labelled, num_classes: int, recipe: Probe, seed: int
) -> tuple[float, dict[str, float]]:
    """The learning rate that is best on a part of the *training* set, and the accuracies there (%).

    A tie goes to the rate that is named first. A single rate needs no choice: the accuracies are then empty.
    """
    if len(recipe.base_lrs) == 1:
        return recipe.base_lrs[0], {}
    held = validation_rows(train.classes.cpu().numpy(), recipe.validation_share, seed)
    chosen_on, trained_on = rows_of(train, held), rows_of(train, ~held)
    accuracies = {}
    for base_lr in recipe.base_lrs:
        probe = fit(*trained_on, num_classes, recipe, base_lr, seed)
        accuracies[base_lr] = is_correct(probe, *chosen_on).double().mean().item() * 100
    best = max(accuracies, key=lambda base_lr: accuracies[base_lr])
    return best, {str(base_lr): value for base_lr, value in accuracies.items()}


def rows_of(labelled: Labelled, rows: Bool[np.ndarray, " count"]) -> Labelled:
    """The chosen rows of a split."""
    chosen = torch.from_numpy(rows).to(labelled.x.device)
    return Labelled(labelled.x[chosen], labelled.classes[chosen])


def validation_rows(
    classes: Int[np.ndarray, " count"], share: float, seed: int
) -> Bool[np.ndarray, " count"]:
    """Rows for validation: the same ``share`` of every class, at least one of a class that has two."""
    rng = np.random.default_rng(seed)
    held = np.zeros(len(classes), bool)
    for label in np.unique(classes):
        rows = rng.permutation(np.flatnonzero(classes == label))
        num = min(max(1, round(share * len(rows))), len(rows) - 1)
        held[rows[:num]] = True
    if not held.any():
        raise UserError(
            "probe.base_lrs: choosing one needs a class with two training images; name a single rate"
        )
    return held


def weights(probe: LinearProbe) -> dict[str, np.ndarray]:
    """What the probe learned: mean, variance (width,), weight (classes, width), bias (classes,)."""
    tensors = {
        "mean": probe.norm.mean,
        "variance": probe.norm.variance,
        "weight": probe.linear.weight,
        "bias": probe.linear.bias,
    }
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
