"""Weighted nearest neighbours on stored features, as in DINO (Caron et al. 2021, Sec. 4.1 and App. F.1).

Cosine similarity; each of the k nearest training images votes for its class with ``exp(similarity / 0.07)``
(after Wu et al. 2018). Nothing is trained.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from m3ae.evaluate.heads.choose import best_of, held_rows

KS = (10, 20)  # DINO's best two
TEMPERATURE = 0.07
CHUNK = 2**26  # similarities that are held at once (256 MiB): changes no number

Inputs = Float[Tensor, "count width"]
Classes = Int[Tensor, " count"]


class Neighbours(NamedTuple):
    """The k that was chosen, and the classes that the whole training set's neighbours vote for."""

    k: int
    accuracies: dict[int, float]
    """Of every k, on the validation part of the training set (%); empty where one k was given."""
    predictions: Int[Tensor, " asked"]


def knn(
    x: Inputs,
    classes: Classes,
    num_classes: int,
    asked: Float[Tensor, "asked width"],
    *,
    ks: Sequence[int] = KS,
    temperature: float = TEMPERATURE,
    validation_share: float = 0.1,
    seed: int = 0,
) -> Neighbours:
    """Choose k on a part of the training set, then let all of it vote. A tie goes to the k named first.

    Raises UserError if there is nothing to choose on.
    """
    accuracies = {}
    if len(ks) > 1:
        held = torch.from_numpy(held_rows(classes.cpu().numpy(), validation_share, seed, "kNN")).to(x.device)
        votes = vote(x[~held], classes[~held], num_classes, x[held], ks, temperature)
        accuracies = {k: 100 * (votes[k] == classes[held]).double().mean().item() for k in ks}
    k = best_of(accuracies) if accuracies else ks[0]
    return Neighbours(k, accuracies, vote(x, classes, num_classes, asked, [k], temperature)[k])


def vote(
    x: Inputs,
    classes: Classes,
    num_classes: int,
    asked: Float[Tensor, "asked width"],
    ks: Sequence[int],
    temperature: float = TEMPERATURE,
) -> dict[int, Int[Tensor, " asked"]]:
    """The class with the most weight among the k nearest, for every k; equal weights: the lower class.

    A set smaller than k votes as a whole.
    """
    known = F.normalize(x.float())
    parts = asked.split(max(1, CHUNK // len(x)))
    found = [(F.normalize(part.float()) @ known.T).topk(min(max(ks), len(x)), dim=1) for part in parts]
    similarity, nearest = (torch.cat(part) for part in zip(*found, strict=True))
    weights, theirs = (similarity / temperature).exp(), classes[nearest]
    empty = weights.new_zeros(len(asked), num_classes)
    return {k: empty.scatter_add(1, theirs[:, :k], weights[:, :k]).argmax(dim=1) for k in ks}
