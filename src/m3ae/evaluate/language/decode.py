"""Captions from images alone: every word hidden, then decoded at once or in steps."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from m3ae.evaluate.language.hide import Seen, hidden_log_probs
from m3ae.model.m3ae import M3AE


class Written(NamedTuple):
    """What a model writes where all words were hidden."""

    text: Int[Tensor, "batch words"]
    """The most probable piece of each slot, in the pass that settled it."""
    best: Float[Tensor, "batch vocab"]
    """Of each piece its largest log-probability over the slots, each in the pass that settled it."""


def schedule(words: int, steps: int) -> list[int]:
    """How many words are still hidden after each pass: MaskGIT's cosine.

    ``floor(words * cos(pi / 2 * t / steps))`` after pass t (Chang et al. 2022, arXiv 2202.04200, Sec. 3.2),
    but every pass settles at least one word, so that there are no more passes than words.
    """
    left = [words]
    while left[-1]:
        t = len(left)
        planned = math.floor(words * math.cos(math.pi / 2 * t / steps)) if t < steps else 0
        left.append(max(0, min(left[-1] - 1, planned)))
    return left[1:]


@torch.inference_mode()
def write(model: M3AE, seen: Seen, words: int, steps: int) -> Written:
    """Decode ``words`` words for each image in ``steps`` passes, the most confident ones first.

    A settled word becomes visible to the encoder and is never hidden again. Greedy: the same each time.
    """
    num, device = len(seen.image), seen.image.device
    text = torch.zeros(num, words, dtype=torch.int64, device=device)
    hidden = torch.arange(words, device=device).repeat(num, 1)
    settled_best = []
    for left in schedule(words, steps):
        log_probs = hidden_log_probs(model, seen, text, hidden)
        confidence, guess = log_probs.max(dim=-1)
        order = confidence.argsort(dim=1, descending=True, stable=True)
        settled, open_ = order.split([hidden.shape[1] - left, left], dim=1)
        text.scatter_(1, hidden.gather(1, settled), guess.gather(1, settled))
        settled_best.append(log_probs.take_along_dim(settled[..., None], dim=1).amax(dim=1))
        hidden = hidden.gather(1, open_)
    return Written(text, torch.stack(settled_best).amax(dim=0))
