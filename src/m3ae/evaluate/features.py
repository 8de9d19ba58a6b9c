"""Features of a frozen encoder: every evaluation image passes through it once."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from m3ae.config import Run
from m3ae.config.datasets import load_dataset
from m3ae.config.evaluation import EvalSplit
from m3ae.data.evalsets.evalsets import EvalImages
from m3ae.data.images import normalise, view
from m3ae.errors import UserError
from m3ae.evaluate.archive import write_archive
from m3ae.evaluate.stored import checked_weights
from m3ae.files import sha256_of
from m3ae.model.weights import load_encoder
from m3ae.records import Record, provenance

if TYPE_CHECKING:
    from m3ae.model.m3ae import M3AE

BATCH = 256  # images at once: changes the speed alone


def extract_features(run: Run, model: str) -> None:
    """Write `features.safetensors` and the record `features.json` of a model.

    Images alone, unmasked and without augmentation; one vector per image, pooled as the run says.
    """
    started = time.time()
    inputs = checked_inputs(run, model)
    encoder = load_encoder(run.paths.encoder(model)).to("cuda" if torch.cuda.is_available() else "cpu")
    arrays: dict[str, np.ndarray] = {}
    for split in run.eval_splits:
        arrays |= arrays_of_split(run, model, encoder, split)
    settings = run.stage("features", model)
    facts = {"inputs": inputs, "pooling": run.settings.features.pooling, "settings": settings}
    write_archive(run.paths.features(model), arrays, facts)
    Record(
        run=run.name,
        model=model,
        stage="features",
        details=shapes(arrays),
        settings=settings,
        inputs=inputs,
        seeds=[],
        provenance=provenance(started),
    ).write(run.paths.record(model, "features"))


def checked_inputs(run: Run, model: str) -> dict[str, str]:
    """SHA-256 of the weights and of every evaluation set's listing, all of which must be there."""
    inputs = {"weights": checked_weights(run, model)}
    for dataset in run.eval_datasets:
        listing = run.paths.evalset(dataset)
        if not listing.is_file():
            raise UserError(f"{listing}: no such file; make it with: snakemake {listing}")
        inputs[dataset] = sha256_of(listing)
    return inputs


def arrays_of_split(run: Run, model: str, encoder: "M3AE", split: EvalSplit) -> dict[str, np.ndarray]:
    """Features (count, width) and all the labels (count,) of a split, by their names in the archive."""
    images = EvalImages(run, split.dataset, split.split)
    name = f"{split.dataset}/{split.split}"
    features = pass_through(run, model, encoder, images, name)
    if not np.isfinite(features).all():
        raise UserError(f"{name}: the encoder gives values that are not finite; train it again")
    labels = {
        f"{name}/labels/{label}": images.labels(label).astype(np.int64)
        for label in load_dataset(split.dataset).labels
    }
    return {f"{name}/features": features, **labels}


@torch.inference_mode()
def pass_through(
    run: Run, model: str, encoder: "M3AE", images: EvalImages, name: str
) -> Float[np.ndarray, "count width"]:
    """The pooled features of all images, in their order."""
    device = next(encoder.parameters()).device
    pooled = []
    with tqdm(total=len(images), desc=name, unit=" images", disable=None) as bar:
        for batch in batches(run, model, images):
            tokens = encoder.encode(torch.from_numpy(batch).to(device))
            pooled.append(pool(tokens, run.settings.features.pooling).float().cpu().numpy())
            bar.update(len(batch))
    return np.concatenate(pooled)


def batches(run: Run, model: str, images: EvalImages) -> Iterator[Float[np.ndarray, "batch 3 height width"]]:
    """Images as the encoder sees them: resized, cropped in the centre, normalised."""
    resize_px, image = run.settings.features.resize_px, run.settings_of(model).data.image
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for batch in images.batches(BATCH):
            views = threads.map(lambda picture: view(picture, resize_px, image.size_px), batch)
            yield normalise(np.stack(list(views)), image.mean, image.std)


def pool(tokens: Float[Tensor, "batch tokens width"], pooling: str) -> Float[Tensor, "batch width"]:
    """The CLS token, which comes first, or the mean of the patches."""
    return tokens[:, 0] if pooling == "cls" else tokens[:, 1:].mean(dim=1)


def shapes(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Number of images and of features each of every split."""
    return {
        name.removesuffix("/features"): {"count": len(array), "dim": array.shape[1]}
        for name, array in arrays.items()
        if name.endswith("/features")
    }
