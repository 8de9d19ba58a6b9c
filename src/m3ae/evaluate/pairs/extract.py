"""Pass the run's own pairs through a frozen encoder, and store what the stages ask for: `pairs.safetensors`.

`concepts` and `captions` read it. In fp32, in batches of the stated order; a killed pass leaves nothing, and
begins again.
"""

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor
from tqdm import tqdm

from m3ae.config import Run
from m3ae.config.inputs import pair_files
from m3ae.errors import UserError
from m3ae.evaluate.archive import Form, digest_of, new_archive
from m3ae.evaluate.features import finite
from m3ae.evaluate.language.pairs import BATCH, Ids, ModelPairs
from m3ae.evaluate.layers import LastLayers, pooled_layers
from m3ae.evaluate.pairs.asked import SPLITS, Asked, asked_of
from m3ae.evaluate.pairs.labels import fill_labels
from m3ae.evaluate.stored import checked_weights
from m3ae.files import sha256_of
from m3ae.model.clip import CLIP, TextTower
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import load_encoder
from m3ae.model.whole import load_clip

DIGEST = "sha256"
"""The array with the hash of all else: the archive vouches for itself."""
Arrays = dict[str, np.ndarray]


def extract_pairs(run: Run, model: str) -> None:
    """Write `pairs.safetensors` of a model: ids, features and labels of the pairs that the run asks for."""
    facts = {"inputs": pair_inputs(run, model), "settings": run.stage("pairs", model)}
    pairs = {split: ModelPairs(run, model, split) for split in SPLITS}
    asked = asked_of(run, model, pairs)
    net = load(run, model).to(pairs["train"].device)
    forms = {DIGEST: Form("uint8", (32,))}
    for part in asked:
        forms |= forms_of(part, tower_of(net, part.seen), facts["settings"]["layers"])
    with new_archive(run.paths.pairs(model), forms, facts) as arrays:
        digest = arrays.pop(DIGEST)
        for part in asked:
            fill(run, part, tower_of(net, part.seen), pairs[part.split], arrays)
        digest[:] = digest_of(facts, arrays)


def pair_inputs(run: Run, model: str) -> dict[str, str]:
    """SHA-256 of the weights and of all that is read beside them. Raises UserError for what is absent."""
    files = pair_files(run, model)
    del files["weights"]
    for path in files.values():
        if not path.is_file():
            raise UserError(f"{path}: no such file; make it with: snakemake {path}")
    return {"weights": checked_weights(run, model)} | {name: sha256_of(path) for name, path in files.items()}


def load(run: Run, model: str) -> M3AE | CLIP:
    """The encoder; of a CLIP whose captions are asked for, both towers."""
    path = run.paths.encoder(model)
    is_clip = run.model(model).method == "clip"
    return load_clip(path) if is_clip and run.reads_captions(model) else load_encoder(path)


def tower_of(net: M3AE | CLIP, seen: str) -> M3AE | TextTower:
    """What encodes images, captions or both: one transformer of an M3AE, one of the two of a CLIP."""
    if isinstance(net, M3AE):
        return net
    return net.text_tower if seen == "text" else net.image_tower


def forms_of(part: Asked, tower: M3AE | TextTower, num_layers: int) -> dict[str, Form]:
    """Ids (rows,), features (rows, layers, 2 poolings, width), the last block last, and labels (rows,)."""
    rows, depth = len(part.ids), len(tower.encoder.blocks)
    shape = (rows, min(num_layers, depth), 2, tower.cls_token.shape[-1])
    forms = {f"{part.name}/ids": Form("int64", (rows,)), f"{part.name}/features": Form("float32", shape)}
    return forms | {f"{part.name}/labels/{concept}": Form("uint8", (rows,)) for concept in part.words}


def fill(run: Run, part: Asked, tower: M3AE | TextTower, pairs: ModelPairs, arrays: Arrays) -> None:
    """Put ids, labels and features in their place."""
    arrays[f"{part.name}/ids"][:] = part.ids
    labels = {concept: arrays[f"{part.name}/labels/{concept}"] for concept in part.words}
    fill_labels(run.paths.shards(part.split), part.ids, part.captions, part.words, labels)
    fill_features(part, tower, pairs, arrays[f"{part.name}/features"])


@torch.inference_mode()
def fill_features(part: Asked, tower: M3AE | TextTower, pairs: ModelPairs, features: np.ndarray) -> None:
    """CLS and mean of every pair, batch by batch. Raises UserError for a value that is not finite."""
    with (
        LastLayers(tower.encoder, features.shape[1]) as last,
        tqdm(total=len(part.ids), desc=part.name, unit=" pairs", disable=None) as bar,
    ):
        for start in range(0, len(part.ids), BATCH):
            rows = slice(start, start + BATCH)
            padding = show(tower, part.seen, pairs, part.ids[rows])
            features[rows] = finite(pooled_layers(tower.encoder, last.outputs, padding), part.name)
            bar.update(len(part.ids[rows]))


def show(
    tower: M3AE | TextTower, seen: str, pairs: ModelPairs, ids: Ids
) -> Bool[Tensor, "batch words"] | None:
    """Pass a batch through a tower, whose blocks are listened to; the padding of its words, if it saw any."""
    image = None if seen == "text" else pairs.images(ids)
    text, padding = (None, None) if seen == "image" else pairs.texts(ids)
    if isinstance(tower, TextTower):
        tower(text, padding)
    else:
        tower.encode(image, text, padding)
    return padding
