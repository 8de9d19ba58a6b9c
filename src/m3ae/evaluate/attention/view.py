"""Attention of one encoder on held-out pairs, as NumPy; where digits are in its view."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from m3ae.config import Run
from m3ae.config.data import ToySource
from m3ae.data.source.toy.scenes import Box
from m3ae.data.stream.words import pad_words
from m3ae.evaluate.language.pairs import Pieces
from m3ae.model.attention import attention, between
from m3ae.model.m3ae import M3AE

BATCH = 128


class Looks(NamedTuple):
    """Attention of one pair, in the grid of its patches; padding is left out."""

    word_to_patches: Float[np.ndarray, "words side side"]
    patch_to_words: Float[np.ndarray, "side side words"]


def looks_of(
    model: M3AE, images: Float[torch.Tensor, "n 3 size size"], captions: Sequence[Pieces], block: int
) -> list[Looks]:
    """Where words and patches look, of normalised images on the model's device, each with one caption."""
    found: list[Looks] = []
    for start in range(0, len(captions), BATCH):
        image, said = images[start : start + BATCH], captions[start : start + BATCH]
        arrays = pad_words(list(said), max(len(caption) for caption in said))
        text, padding = (torch.from_numpy(array).to(image.device) for array in arrays)
        num = (image.shape[2] // model.architecture.patch_px) ** 2
        to_patches, to_words = between(attention(model, image, text, padding, block), num)
        for row, caption in enumerate(said):
            found.append(in_grid(to_patches[row], to_words[row], len(caption)))
    return found


def in_grid(
    to_patches: Float[torch.Tensor, "words patches"], to_words: Float[torch.Tensor, "patches words"], num: int
) -> Looks:
    """The first ``num`` words, with patches in rows and columns."""
    side = round(to_patches.shape[1] ** 0.5)
    patches = to_patches[:num].double().cpu().numpy().reshape(num, side, side)
    return Looks(patches, to_words[:, :num].double().cpu().numpy().reshape(side, side, num))


def in_view(run: Run, box: Box) -> Box:
    """A scene's box in the pixels that the encoder sees: resized, then cut around the centre."""
    size, resize = run.settings.data.image.size_px, run.settings.features.resize_px
    source = run.settings.data.source
    assert isinstance(source, ToySource)
    scale, cut = resize / source.scene_px, round((resize - size) / 2)
    return Box(round(box.top * scale) - cut, round(box.left * scale) - cut, round(box.side * scale))


def centres_inside(box: Box, side: int, patch_px: int) -> Bool[np.ndarray, "side side"]:
    """Of a grid of ``side`` patches each way, those whose centre lies in the box."""
    centres = (np.arange(side) + 0.5) * patch_px
    rows, columns = ((start <= centres) & (centres < start + box.side) for start in (box.top, box.left))
    return rows[:, None] & columns[None, :]
