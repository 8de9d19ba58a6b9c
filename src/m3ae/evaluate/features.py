"""Features of a frozen encoder: every evaluation image passes through it once, whatever is asked later."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
from m3ae.evaluate.archive import Form, new_archive
from m3ae.evaluate.layers import LastLayers, layer_forms, pooled_layers
from m3ae.evaluate.stored import checked_weights
from m3ae.files import sha256_of
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import load_encoder
from m3ae.records import Record, provenance

BATCH = 256  # images at once: changes the speed alone
Arrays = dict[str, np.ndarray]


def extract_features(run: Run, model: str) -> None:
    """Write `features.safetensors` and the record `features.json` of a model.

    Images alone, unmasked and without augmentation; one vector per image, pooled as the run says. Of a
    headline row also `layers.safetensors`: CLS and patch mean of its last blocks, for the sweep of heads.
    """
    started = time.time()
    inputs = checked_inputs(run, model)
    encoder = load_encoder(run.paths.encoder(model)).to("cuda" if torch.cuda.is_available() else "cpu")
    splits = {split: EvalImages(run, split.dataset, split.split) for split in run.eval_splits}
    forms = forms_of(splits, encoder)
    facts = {"inputs": inputs, "settings": run.stage("features", model)}
    with new_archive(run.paths.features(model), forms, facts) as arrays:
        if model in run.headline:
            extract_both(run, model, encoder, splits, arrays, inputs)
        else:
            fill(run, model, encoder, splits, arrays, {})
    Record(
        run=run.name,
        model=model,
        stage="features",
        details=shapes(forms),
        settings=run.stage("features", model),
        inputs=inputs,
        seeds=[],
        provenance=provenance(started) | stored(run, model),
    ).write(run.paths.record(model, "features"))


def stored(run: Run, model: str) -> dict[str, Any]:
    """SHA-256 of the archives that the record vouches for, and which layers were asked for."""
    facts: dict[str, Any] = {"features_sha256": sha256_of(run.paths.features(model))}
    if model in run.headline:
        facts["layers_sha256"] = sha256_of(run.paths.layers(model))
        facts["layers_settings"] = run.stage("layers", model)
    return facts


def extract_both(
    run: Run,
    model: str,
    encoder: M3AE,
    splits: dict[EvalSplit, EvalImages],
    arrays: Arrays,
    inputs: dict[str, str],
) -> None:
    """Fill the features, and write the layers of the tasks' splits in the same pass."""
    settings = run.stage("layers", model)
    counts = {name_of(split): len(images) for split, images in splits.items()}
    forms = layer_forms(encoder, {name: counts[name] for name in settings["splits"]}, settings["layers"])
    facts = {"inputs": inputs, "settings": settings}
    with new_archive(run.paths.layers(model), forms, facts) as layers:
        fill(run, model, encoder, splits, arrays, layers)


def checked_inputs(run: Run, model: str) -> dict[str, str]:
    """SHA-256 of the weights and of every evaluation set's listing, all of which must be there."""
    inputs = {"weights": checked_weights(run, model)}
    for dataset in run.eval_datasets:
        listing = run.paths.evalset(dataset)
        if not listing.is_file():
            raise UserError(f"{listing}: no such file; make it with: snakemake {listing}")
        inputs[dataset] = sha256_of(listing)
    return inputs


def forms_of(splits: dict[EvalSplit, EvalImages], encoder: M3AE) -> dict[str, Form]:
    """Features (count, width), ids and all the labels (count,) of every split."""
    forms = {}
    for split, images in splits.items():
        name, count = name_of(split), len(images)
        forms[f"{name}/features"] = Form("float32", (count, encoder.architecture.width))
        forms[f"{name}/ids"] = Form("int64", (count,))
        for label in load_dataset(split.dataset).labels:
            forms[f"{name}/labels/{label}"] = Form("int64", (count,))
    return forms


def fill(
    run: Run,
    model: str,
    encoder: M3AE,
    splits: dict[EvalSplit, EvalImages],
    arrays: Arrays,
    layers: Arrays,
) -> None:
    """Pass every split through the encoder, and put what comes out in its place."""
    for split, images in splits.items():
        name = name_of(split)
        arrays[f"{name}/ids"][:] = np.arange(len(images))  # rows of the split, in its stated order
        for label in load_dataset(split.dataset).labels:
            arrays[f"{name}/labels/{label}"][:] = images.labels(label)
        pass_through(run, model, encoder, images, name, arrays, layers)


@torch.inference_mode()
def pass_through(
    run: Run, model: str, encoder: M3AE, images: EvalImages, name: str, arrays: Arrays, layers: Arrays
) -> None:
    """The features of all images of a split, batch by batch."""
    features, start = arrays[f"{name}/features"], 0
    wanted = layers.get(f"{name}/layers")
    with (
        LastLayers(encoder.encoder, 0 if wanted is None else wanted.shape[1]) as last,
        tqdm(total=len(images), desc=name, unit=" images", disable=None) as bar,
    ):
        for batch in batches(run, model, images):
            rows = slice(start, start := start + len(batch))
            tokens = encode(run, encoder, batch)
            features[rows] = finite(pool(tokens, run.settings.features.pooling), name)
            if wanted is not None:
                wanted[rows] = finite(pooled_layers(encoder.encoder, last.outputs), name)
            bar.update(len(batch))


def encode(
    run: Run, encoder: M3AE, batch: Float[np.ndarray, "batch 3 height width"]
) -> Float[Tensor, "batch tokens width"]:
    """The encoder's tokens, in the precision that the run states."""
    device = next(encoder.parameters()).device
    half = run.settings.features.precision == "bf16"
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        return encoder.encode(torch.from_numpy(batch).to(device))


def finite(values: Tensor, name: str) -> np.ndarray:
    """The values as an array, if all are finite; else UserError."""
    found = values.float().cpu().numpy()
    if not np.isfinite(found).all():
        raise UserError(f"{name}: the encoder gives values that are not finite; train it again")
    return found


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


def name_of(split: EvalSplit) -> str:
    """The prefix of a split's arrays."""
    return f"{split.dataset}/{split.split}"


def shapes(forms: dict[str, Form]) -> dict[str, Any]:
    """Number of images and of features each of every split."""
    return {
        name.removesuffix("/features"): {"count": form.shape[0], "dim": form.shape[1]}
        for name, form in forms.items()
        if name.endswith("/features")
    }
