"""Accuracy under an attack at growing radii, batch by batch; finished batches survive a kill."""

import hashlib
import json
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn
from tqdm import tqdm

from m3ae.errors import UserError
from m3ae.evaluate.attack.autoattack import STANDARD, Attack, autoattack
from m3ae.evaluate.attack.gradient import fgsm, pgd
from m3ae.evaluate.attack.norms import size
from m3ae.evaluate.attack.victim import Images, Labels, is_right
from m3ae.files import write_text

NAMED: dict[str, Attack] = {"fgsm": fgsm, **STANDARD, "autoattack": autoattack}
Right = Bool[np.ndarray, "radii images"]
Truths = Bool[Tensor, " batch"]
ROUNDING = 1e-4  # what float32 may add to a radius: its share, and of images in [0, 1]


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
    what is attacked: another key's are left alone, and a line says so.
    """
    if sorted(set(radii)) != list(radii):
        raise UserError(f"attack {attack}: expected rising radii, got {radii}")
    series = Series(victim, attack_of(attack), attack, norm, radii, seed, batch_size, folder_of(store, key))
    starts = range(0, len(images), batch_size)
    bar = tqdm(starts, desc=f"{attack}, {norm}", disable=None)
    return np.concatenate([series.batch(images, labels, start) for start in bar], axis=1)


@dataclass(frozen=True)
class Series:
    """One attack at rising radii, a batch at a time."""

    victim: nn.Module
    function: Attack
    attack: str
    norm: str
    radii: list[float]
    seed: int
    batch_size: int
    folder: Path

    def batch(self, images: Images, labels: Labels, start: int) -> Right:
        """The batch that begins at ``start``: from the store, what of it was attacked before."""
        part = slice(start, start + self.batch_size)
        x, y = images[part], labels[part]
        right, each = is_right(self.victim, x, y), []
        for place, radius in enumerate(self.radii):
            draws = digest(self.seed, self.attack, self.norm, radius, start)
            path = self.folder / f"{digest(draws, self.batch_size, *self.radii[:place])}.json"
            if not path.is_file():
                left = self.survivors(x, y, right, radius, torch.Generator().manual_seed(int(draws[:15], 16)))
                write_text(path, json.dumps(left.int().tolist()))
            right = right & torch.tensor(json.loads(path.read_text()), dtype=torch.bool, device=right.device)
            each.append(right.cpu().numpy())
        return np.stack(each)

    def survivors(
        self, images: Images, labels: Labels, right: Truths, radius: float, random: torch.Generator
    ) -> Truths:
        """Of the images that are ``right`` so far, those that still are after the attack."""
        left, rows = right.clone(), right.nonzero()[:, 0]
        if len(rows):
            found = self.function(self.victim, images[rows], labels[rows], radius, self.norm, random)
            check_found(found, images[rows], radius, self.norm)
            left[rows] = is_right(self.victim, found, labels[rows])
        return left


def check_found(found: Images, clean: Images, radius: float, norm: str) -> None:
    """Raise UserError for images outside of ball or box, NaN among them: the model has not fallen to them."""
    farthest, low, high = size(found - clean, norm).max(), found.min(), found.max()
    if not (farthest <= radius * (1 + ROUNDING) + ROUNDING and low >= 0 and high <= 1):
        raise UserError(
            f"attack: expected images in [0, 1] within {radius:g} ({norm}), got {low:.3g} to {high:.3g} "
            f"within {farthest:.3g}; the attack is broken, or the model gives NaN"
        )


def folder_of(store: Path, key: str) -> Path:
    """Where results of ``key`` lie. Says so where the store holds only those of other keys."""
    folder = store / digest(key)[:16]
    if store.is_dir() and not folder.is_dir() and any(store.iterdir()):
        tqdm.write(
            f"attack: {store} holds results of other weights or settings; they are not used", sys.stderr
        )
    return folder


def digest(*parts: object) -> str:
    """64 hexadecimal digits, for a name or a seed: the same for the same parts."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()
