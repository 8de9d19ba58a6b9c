"""Reconstructions of a few samples while a model learns."""

import os
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from m3ae.config.data import Image
from m3ae.data.stream.loader import TensorBatch
from m3ae.files import atomic_write
from m3ae.model.m3ae import M3AE
from m3ae.model.pictures import sheet, triple

Picture = UInt8[np.ndarray, "height width 3"]


def draw_rebuilt(
    model: M3AE, batch: TensorBatch, normalise: Callable[[Tensor], Tensor], image: Image
) -> Picture:
    """A row for each sample: original, visible patches on grey, hidden ones as the model rebuilds them.

    ``batch`` lies on the model's device and its orders say what is hidden, so that no random number is
    drawn. ``normalise`` makes of its bytes what the model reads. Neither gradients nor modes of the model
    change: it has nothing that works otherwise in evaluation, and compiled blocks stay as they are.
    """
    words = (
        {"text": batch.text, "padding": batch.padding, "text_order": batch.text_order}
        if model.architecture.has_text
        else {}
    )
    with torch.no_grad():
        pixels = normalise(batch.image)
        output = model(image=pixels, image_order=batch.image_order, **words)
        assert output.image_prediction is not None
        assert output.image_hidden is not None
        mean, std = (pixels.new_tensor(values) for values in (image.mean, image.std))
        prediction = output.image_prediction.to(pixels.dtype)
        drawn = triple(model.architecture, pixels, prediction, output.image_hidden, mean, std)
        return sheet(list(torch.stack(drawn, dim=1))).cpu().numpy()


def write_picture(path: str | os.PathLike[str], picture: Picture) -> None:
    """Write a picture as PNG: whole or not at all."""
    from PIL import Image as Pillow

    with atomic_write(path) as file:
        Pillow.fromarray(picture).save(file, format="PNG")
