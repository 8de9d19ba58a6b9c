"""The target `robustness`: accuracy of the linear probe under attack. Our own experiment."""

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from m3ae.config import Run
from m3ae.config.extended import Attack
from m3ae.data.evalsets.evalsets import EvalImages
from m3ae.errors import UserError
from m3ae.evaluate.attack.robust import attack_of, robust_correct
from m3ae.evaluate.attack.victim import Victim, check_victim, is_right
from m3ae.evaluate.encoder import checked_encoder
from m3ae.evaluate.features import pool
from m3ae.evaluate.metrics import accuracy
from m3ae.evaluate.ood import classifier_of, open_probes
from m3ae.evaluate.scores import Classifier
from m3ae.evaluate.shift.shifted import evenly, views_of
from m3ae.evaluate.stored import Features
from m3ae.files import sha256_of
from m3ae.model.m3ae import M3AE
from m3ae.records import Metric, Record, provenance


def run_robustness(run: Run, model: str) -> None:
    """Write `robustness.json`. A killed run goes on after the last finished batch, from runs/."""
    started = time.time()
    run.model(model)
    settings = run.extended.robustness
    task = run.task(settings.task)
    for attack in settings.attacks:
        attack_of(attack.name)
    features = Features(run, model)
    probes = open_probes(run, model, features)
    inputs = {**probes.facts["inputs"], "probe": sha256_of(probes.path)}
    images, labels, rows = chosen(run, model)
    victim = victim_of(run, model, classifier_of(probes, task), images.device)
    stored = classifier_of(probes, task).logits(np.asarray(features.features(task.dataset, task.test))[rows])
    clean = torch.from_numpy(stored.argmax(axis=1)).to(labels.device) == labels
    victim.calibrate(images)
    check_victim(victim, images, labels, clean, settings.batch_size)
    store = run.paths.state(model) / "robustness"
    key = hashlib.sha256(json.dumps([inputs, run.stage("robustness", model)]).encode()).hexdigest()
    metrics = {"clean": accuracy(run, is_right(victim, images, labels).cpu().numpy())}
    for attack in settings.attacks:
        metrics |= under_attack(run, victim, images, labels, attack, Store(store, key))
    write_record(run, model, metrics, inputs, len(images), started)
    shutil.rmtree(store, ignore_errors=True)


class Store(NamedTuple):
    """Where finished batches lie, and what they must be of to be used again."""

    folder: Path
    key: str


def under_attack(
    run: Run,
    victim: Victim,
    images: Float[Tensor, "count 3 height width"],
    labels: Tensor,
    attack: Attack,
    store: Store,
) -> dict[str, Metric]:
    """Accuracy (%) at every radius of one attack."""
    right = robust_correct(
        victim,
        images,
        labels,
        attack.name,
        attack.norm,
        attack.radii,
        seed=run.settings.seed,
        batch_size=run.extended.robustness.batch_size,
        store=store.folder,
        key=store.key,
    )
    return {
        f"{attack.name}_{attack.norm}_{radius:g}": accuracy(run, row)
        for radius, row in zip(attack.radii, right, strict=True)
    }


def write_record(
    run: Run, model: str, metrics: dict[str, Metric], inputs: dict[str, str], num: int, started: float
) -> None:
    """The record of all attacks."""
    Record(
        run=run.name,
        model=model,
        stage="robustness",
        metrics=metrics,
        details={"num_images": num, "task": run.extended.robustness.task},
        settings=run.stage("robustness", model),
        inputs=inputs,
        seeds=[run.settings.seed],
        provenance=provenance(started),
    ).write(run.paths.record(model, "robustness"))


def chosen(run: Run, model: str) -> tuple[Float[Tensor, "count 3 height width"], Tensor, np.ndarray]:
    """Test images of the first task in [0, 1], their classes, and their rows: evenly spaced."""
    settings, device = run.extended.robustness, device_of()
    task = run.task(settings.task)
    split = EvalImages(run, task.dataset, task.test)
    rows = evenly(len(split), settings.num_samples)
    views = torch.from_numpy(views_of(run, model, split, rows)).permute(0, 3, 1, 2).contiguous()
    return views.to(device) / 255, torch.from_numpy(split.labels(task.label)[rows]).to(device), rows


def device_of() -> torch.device:
    """Where gradients are computed."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def victim_of(run: Run, model: str, classifier: Classifier, device: torch.device) -> Victim:
    """Encoder, pooling and probe of a model, in fp32."""
    if run.settings.features.precision != "fp32":
        raise UserError("robustness: expected features.precision fp32; bf16 rounds gradients away")
    encoder = checked_encoder(run, model).requires_grad_(False)
    image, pooling = run.settings_of(model).data.image, run.settings.features.pooling
    victim = Victim(Pooled(encoder, pooling), classifier, image.mean, image.std)
    return victim.to(device)


class Pooled(torch.nn.Module):
    """An encoder's pooled features."""

    def __init__(self, encoder: M3AE, pooling: str) -> None:
        super().__init__()
        self.encoder, self.pooling = encoder, pooling

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch width"]:
        """Features of normalised images."""
        return pool(self.encoder.encode(images), self.pooling)
