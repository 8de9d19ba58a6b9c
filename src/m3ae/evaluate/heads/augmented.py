"""The target `augmented`: heads for which the encoder runs again in every epoch.

The authors' linear probe as published, with their choice of an epoch on the test set beside it where the run
asks for it, and fine-tuning as an option.
"""

import time
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from m3ae.config import Run
from m3ae.config.datasets import load_dataset
from m3ae.config.evaluation import Task
from m3ae.config.extended import Augmented
from m3ae.config.models import RunSettings
from m3ae.data.evalsets.evalsets import EvalImages
from m3ae.errors import UserError
from m3ae.evaluate.features import batches, encode, pool
from m3ae.evaluate.heads.finetune import finetune
from m3ae.evaluate.heads.strict import fit_strict
from m3ae.evaluate.heads.views import AugmentedImages, settings_for
from m3ae.evaluate.linear import is_correct
from m3ae.evaluate.metrics import accuracy
from m3ae.evaluate.probe import Labelled, labelled
from m3ae.evaluate.stored import Features, checked_sha256, checked_weights
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import load_encoder
from m3ae.records import Metric, Record, provenance, read_record


class Asked(NamedTuple):
    """One task of one model."""

    run: Run
    model: str
    task: Task
    settings: Augmented
    encoder: M3AE
    train: Labelled
    test: Labelled
    num_classes: int
    inputs: dict[str, str]
    """SHA-256 of weights and features."""


class Found(NamedTuple):
    """What one kind of head adds to the record."""

    metrics: dict[str, Metric]
    details: dict[str, Any]


def run_augmented(run: Run, model: str) -> None:
    """Write `augmented-<task>.json` for every task that the run names."""
    started = time.time()
    run.model(model)
    features = Features(run, model)
    inputs = {
        "weights": checked_weights(run, model),
        "features": checked_sha256(features, run, model),
    }
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = load_encoder(run.paths.encoder(model)).to(device)
    for name in tqdm(run.augmented_tasks, desc=f"augmented heads of {model}", disable=None):
        asked = ask(run, model, run.task(name), features, encoder, inputs)
        found = [as_published(asked), fine_tuned(asked)]
        Record(
            run=run.name,
            model=model,
            stage="augmented",
            subject=name,
            metrics={metric: value for part in found for metric, value in part.metrics.items()},
            details={
                "num_train": len(asked.train.x),
                "num_test": len(asked.test.x),
                **{fact: value for part in found for fact, value in part.details.items()},
            },
            settings=run.stage("augmented", model),
            inputs=inputs,
            seeds=[run.settings.seed],
            provenance=provenance(started),
        ).write(run.paths.record(model, f"augmented-{name}"))


def ask(run: Run, model: str, task: Task, features: Features, encoder: M3AE, inputs: dict[str, str]) -> Asked:
    """A task with its stored features: of the test images, for the encoder is frozen."""
    settings = run.extended.augmented
    assert settings is not None  # else there is no such task
    num_classes = load_dataset(task.dataset).num_classes(task.label)
    train = labelled(features, task, task.train, num_classes)
    test = labelled(features, task, task.test, num_classes)
    return Asked(run, model, task, settings, encoder, train, test, num_classes, inputs)


def as_published(asked: Asked) -> Found:
    """The authors' probe; its rate is the one that the probe on stored features chose on training images."""
    run, recipe = asked.run, asked.run.settings.probe
    recipe = recipe.model_copy(update={"epochs": asked.settings.epochs})
    chosen = chosen_rate(asked)
    images = images_of(asked, settings_for(run, asked.model, asked.settings))
    batch_size = min(recipe.batch_size, len(asked.train.x))
    cut = whole_batches(asked.test, recipe.batch_size)
    fitted = fit_strict(
        partial(feature_of, run, asked.encoder),
        partial(images.epoch, batch_size=batch_size),
        len(asked.train.x),
        asked.test,
        asked.num_classes,
        recipe,
        chosen,
        run.settings.seed,
        select_on=cut if asked.settings.select_on_test else None,
    )
    metrics = {"linear": accuracy(run, is_correct(fitted.probe, *asked.test).cpu().numpy())}
    details: dict[str, Any] = {"linear": {"base_lr": chosen, "of_each_epoch": fitted.accuracies}}
    if fitted.selected:
        probe, epoch = fitted.selected
        metrics["linear_selected_on_test"] = accuracy(run, is_correct(probe, *cut).cpu().numpy())
        details["linear_selected_on_test"] = {"epoch": epoch, "num_test": len(cut.x)}
    return Found(metrics, details)


def chosen_rate(asked: Asked) -> float:
    """The rate of the stored probe. Raises UserError if that was trained on other features than these."""
    path = asked.run.paths.record(asked.model, f"probe-{asked.task.name}")
    record = read_record(path)
    if record.inputs.get("features", asked.inputs["features"]) != asked.inputs["features"]:
        raise UserError(
            f"{path}: expected a probe of the features {asked.inputs['features'][:12]}, got one of "
            f"{record.inputs['features'][:12]}; train it again: "
            f"m3ae probe --run {asked.run.name} --model {asked.model}"
        )
    rate: float = record.details["base_lr"]
    return rate


def feature_of(
    run: Run, encoder: M3AE, images: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch width"]:
    """What the probe reads of a batch, as for stored features."""
    return pool(encode(run, encoder, images.cpu().numpy()), run.settings.features.pooling).float()


def images_of(asked: Asked, settings: RunSettings) -> AugmentedImages:
    """The task's training images under an augmentation."""
    classes = asked.train.classes.cpu().numpy()
    return AugmentedImages(asked.run, asked.task, settings, classes)


def whole_batches(test: Labelled, batch_size: int) -> Labelled:
    """Without the images of an incomplete batch, which the authors drop; a set smaller than one stays."""
    count = len(test.x) // batch_size * batch_size or len(test.x)
    return Labelled(test.x[:count], test.classes[:count])


def fine_tuned(asked: Asked) -> Found:
    """The whole encoder trained with its head, if the run asks for it."""
    recipe, run = asked.settings.finetune, asked.run
    if recipe is None:
        return Found({}, {})
    settings = settings_for(run, asked.model, asked.settings, recipe.rand_augment, recipe.erase)
    images = images_of(asked, settings)
    batch_size = min(recipe.batch_size, len(asked.train.x))
    model = finetune(
        asked.encoder,
        partial(images.epoch, batch_size=batch_size),
        len(asked.train.x),
        asked.num_classes,
        recipe,
        run.settings.seed,
    )
    return Found({"finetuned": accuracy(run, right_answers(asked, model))}, {})


@torch.inference_mode()
def right_answers(asked: Asked, model: torch.nn.Module) -> Bool[np.ndarray, " count"]:
    """Whether the fine-tuned model is right, per test image, which it sees as features do."""
    images = EvalImages(asked.run, asked.task.dataset, asked.task.test)
    device = asked.test.x.device
    logits = [model(torch.from_numpy(batch).to(device)) for batch in batches(asked.run, asked.model, images)]
    found: Bool[np.ndarray, " count"] = (torch.cat(logits).argmax(1) == asked.test.classes).cpu().numpy()
    return found
