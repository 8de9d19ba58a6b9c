"""Reconstruction error as a score: what only a masked autoencoder knows of an image.

Most patches are hidden, as in pre-training, and rebuilt; an image unlike the training images is rebuilt
badly. With text, the model is also told what the probe takes the image for: the name of a class that is not
there should not help.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from m3ae.config import Run
from m3ae.config.classes import ClassList
from m3ae.config.datasets import load_dataset
from m3ae.config.evaluation import EvalSplit, Task
from m3ae.data.evalsets.evalsets import EvalImages
from m3ae.data.stream.keyed import IMAGE_MASK, uniforms
from m3ae.data.stream.words import pad_words
from m3ae.data.tokens import load_tokenizer
from m3ae.evaluate.encoder import checked_encoder
from m3ae.evaluate.features import batches
from m3ae.model.m3ae import M3AE

Errors = Float[np.ndarray, " count"]
Words = tuple[Int[Tensor, "batch words"], Tensor]


class Rebuilder:
    """Mean squared error of the hidden patches of each image of a split, over several maskings."""

    def __init__(self, run: Run, model: str, masks: int) -> None:
        self.run, self.model, self.masks = run, model, masks
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network: M3AE = checked_encoder(run, model).to(self.device)
        self.reads_text = self.network.architecture.has_text

    def errors(
        self, split: EvalSplit, names: list[list[int]] | None = None, taken_for: np.ndarray | None = None
    ) -> Errors:
        """The errors, in the order of the split; with the pieces of class ``names``, each image beside the
        name of the class that it is ``taken_for``."""
        images, found, start = EvalImages(self.run, split.dataset, split.split), [], 0
        for batch in batches(self.run, self.model, images):
            rows = np.arange(start, start := start + len(batch))
            words = None
            if names is not None and taken_for is not None:
                words = pieces_of([names[label] for label in taken_for[rows]], self.device)
            found.append(self.errors_of(torch.from_numpy(batch).to(self.device), rows, words))
        return np.concatenate(found)

    @torch.inference_mode()
    def errors_of(
        self, image: Float[Tensor, "batch 3 height width"], rows: np.ndarray, words: Words | None
    ) -> Errors:
        """The errors of some images. Which patches are hidden depends on seed, row and masking alone."""
        network, a = self.network, self.network.architecture
        text, padding = words if words is not None else (None, None)
        text_order = None if text is None else torch.arange(text.shape[1], device=text.device).expand_as(text)
        total = np.zeros(len(image))
        for masking in range(self.masks):
            order = uniforms(a.num_patches, self.run.settings.seed, IMAGE_MASK, masking, rows).argsort(axis=1)
            orders = (torch.from_numpy(order).to(self.device), text_order)
            encoded = network.encode_visible(image, text, padding, orders, (a.image_mask_ratio, 0.0))
            assert encoded.image_shuffle is not None
            decoded = network.decode(encoded, padding)
            total += network.image_errors(image, decoded, encoded.image_shuffle).double().cpu().numpy()
        return total / self.masks


def pieces_of(names: list[list[int]], device: str) -> Words:
    """Names as one text with its padding."""
    text, padding = pad_words([np.array(name) for name in names], max(len(name) for name in names))
    return torch.from_numpy(text).long().to(device), torch.from_numpy(padding).to(device)


def names_of(run: Run, task: Task) -> list[list[int]] | None:
    """The word pieces of each class's name; None where the registry has no names."""
    classes = load_dataset(task.dataset).classes_of(task.label)
    if not isinstance(classes, ClassList):
        return None
    tokenizer = load_tokenizer(run.paths.tokenizer)
    most = run.settings.data.tokens.max_tokens
    said = (name.replace("_", " ").split(",")[0] for name in classes.names)
    return [tokenizer.encode(name, add_special_tokens=False).ids[:most] for name in said]
