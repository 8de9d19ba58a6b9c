"""Accuracy under an attack at growing radii, batch by batch; finished batches survive a kill."""

import hashlib
import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import nn
from tqdm import tqdm

from m3ae.errors import UserError
from m3ae.evaluate.attack.autoattack import STANDARD, Attack, autoattack
from m3ae.evaluate.attack.gradient import fgsm, pgd
from m3ae.evaluate.attack.victim import Images, Labels, is_right
from m3ae.files import write_text

NAMED: dict[str, Attack] = {"fgsm": fgsm, **STANDARD, "autoattack": autoattack}
Right = Bool[np.ndarray, "radii images"]


def attack_of(name: str) -> Attack:
    """The attack of a name; `pgdN` makes N steps. Raises UserError for an unknown one."""
    if found := re.fullmatch(r"pgd([1-9]\d*)", name):
        return partial(pgd, steps=int(found[1]))
    if name not in NAMED:
        raise UserError(f"attack {name!r}: expected pgdN (N steps), {', '.join(NAMED)}")
    return NAMED[name]


def robust_correct(
    victim: nn.Module,
    images: Images,
    labels: Labels,
    attack: str,
    norm: str,
    radii: list[float],
    *,
    seed: int,
    batch_size: int,
    store: Path,
    key: str,
) -> Right:
    """Whether each image is classified right after the attack, for each radius, which must rise.

    An image that is wrong without an attack is wrong at every radius; one that fell at a radius has fallen
    at all larger ones, whose balls contain it. Finished batches lie in ``store`` under ``key``, a hash of
    what is attacked: others' are left alone.
    """
    if sorted(set(radii)) != list(radii):
        raise UserError(f"attack {attack}: expected rising radii, got {radii}")
    function, rows = attack_of(attack), []
    for start in tqdm(range(0, len(images), batch_size), desc=f"{attack}, {norm}", disable=None):
        part = slice(start, start + batch_size)
        x, y = images[part], labels[part]
        right, each = is_right(victim, x, y), []
        for radius in radii:
            name = batch_name(key, attack, norm, radius, seed, start, batch_size)
            right = right & attacked(
                function, victim, x, y, radius, norm, right, store / f"{name}.json", name
            )
            each.append(right.cpu().numpy())
        rows.append(np.stack(each))
    return np.concatenate(rows, axis=1)


def attacked(
    function: Attack,
    victim: nn.Module,
    images: Images,
    labels: Labels,
    radius: float,
    norm: str,
    right: torch.Tensor,
    path: Path,
    name: str,
) -> torch.Tensor:
    """Whether each image of a batch survives one radius; from the store if it was attacked before."""
    if path.is_file():
        return torch.tensor(json.loads(path.read_text()), dtype=torch.bool, device=images.device)
    survives, rows = right.clone(), right.nonzero()[:, 0]
    if len(rows):
        random = torch.Generator().manual_seed(int(name[:15], 16))
        found = function(victim, images[rows], labels[rows], radius, norm, random)
        survives[rows] = is_right(victim, found, labels[rows])
    write_text(path, json.dumps(survives.int().tolist()))
    return survives


def batch_name(*parts: object) -> str:
    """What a batch's result is stored under, and its random numbers are drawn from."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()
