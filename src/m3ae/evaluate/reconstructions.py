"""Figure 2: what was there, what the model saw, what it made of the rest."""

import numpy as np
import torch
from torch import Tensor

from m3ae.config.run import Run
from m3ae.data.tokens import load_tokenizer
from m3ae.evaluate.encoder import checked_encoder
from m3ae.evaluate.heldout_pairs import HeldoutBatch, HeldoutPairs
from m3ae.evaluate.rebuilt import Picture, Rebuilt
from m3ae.model.m3ae import M3AE
from m3ae.model.outputs import Output
from m3ae.model.patches import to_patches
from m3ae.model.pictures import triple


def rebuilt_pairs(run: Run) -> list[Rebuilt]:
    """Rebuild the first held-out pairs of the run with its first M3AE."""
    name = run.models_of("m3ae")[0]
    model = checked_encoder(run, name)
    pairs = HeldoutPairs(run)
    samples = np.arange(min(run.settings.heldout.num_pictures, len(pairs)))
    if not len(samples):
        return []
    batch = pairs.batch(samples, samples)
    with torch.inference_mode():
        output = model(**batch._asdict())
    shown = zip(
        samples,
        pictures(run, model, batch, output),
        describe(run, batch, output),
        errors(model, batch, output),
        strict=True,
    )
    return [Rebuilt(name, int(sample), *images, words, error) for sample, images, words, error in shown]


def errors(model: M3AE, batch: HeldoutBatch, output: Output) -> list[float]:
    """Mean squared error of each picture over its hidden patches."""
    assert output.image_prediction is not None
    assert output.image_hidden is not None
    squared = (
        (output.image_prediction - to_patches(batch.image, model.architecture.patch_px)).square().mean(-1)
    )
    return ((squared * output.image_hidden).sum(1) / output.image_hidden.sum(1)).tolist()


def describe(run: Run, batch: HeldoutBatch, output: Output) -> list[list[tuple[str, bool, str]]]:
    """Each caption as (word piece, was it hidden, what the model predicts there)."""
    tokenizer = load_tokenizer(run.paths.tokenizer)
    assert output.text_logits is not None
    assert output.text_hidden is not None

    def pieces(ids: Tensor) -> list[str]:
        return [tokenizer.id_to_token(word) or "[UNK]" for word in ids.tolist()]

    rows = zip(batch.text, ~batch.padding, output.text_hidden, output.text_logits.argmax(-1), strict=True)
    return [
        list(zip(pieces(text[there]), hidden[there].tolist(), pieces(predicted[there]), strict=True))
        for text, there, hidden, predicted in rows
    ]


def pictures(
    run: Run, model: M3AE, batch: HeldoutBatch, output: Output
) -> list[tuple[Picture, Picture, Picture]]:
    """Original, masked and rebuilt picture of each pair, in grey levels."""
    image = run.settings.data.image
    mean, std = torch.tensor(image.mean), torch.tensor(image.std)
    assert output.image_prediction is not None
    assert output.image_hidden is not None
    found = triple(model.architecture, batch.image, output.image_prediction, output.image_hidden, mean, std)
    levels = [(kind * 255).round().byte().permute(0, 2, 3, 1).numpy() for kind in found]
    return list(zip(*levels, strict=True))
