"""Baselines in the file of their encoder: what a frozen encoder does not need lies beside it, and is kept.

The image tower's tensors have the names of an encoder alone, so that whatever reads encoders reads it. Text
tower, projections and head stand under `beside.`, with the facts that rebuild them.
"""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from m3ae.errors import UserError
from m3ae.model.architecture import TextArchitecture
from m3ae.model.classifier import Classifier
from m3ae.model.clip import CLIP
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import BESIDE, read_beside, read_weights, write_encoder

TOWER = "image_tower."
SCALE = "log_scale"


def write_model(model: M3AE | CLIP | Classifier, weights: dict[str, Tensor], path: Path) -> None:
    """Write a model from its whole tensors by name, atomically."""
    if isinstance(model, M3AE):
        write_encoder(model.architecture, weights, path)
        return
    named = {
        name.removeprefix(TOWER) if name.startswith(TOWER) else BESIDE + name: tensor
        for name, tensor in shaped(weights, ()).items()
    }
    write_encoder(model.architecture, named, path, beside=facts_of(model))


def shaped(weights: dict[str, Tensor], shape: tuple[int, ...]) -> dict[str, Tensor]:
    """With CLIP's scale in ``shape``, if it is there: in files a scalar as ever, which FSDP could not cut."""
    return {name: tensor.reshape(shape) if name == SCALE else tensor for name, tensor in weights.items()}


def facts_of(model: CLIP | Classifier) -> dict[str, Any]:
    """What a baseline is beside its encoder."""
    if isinstance(model, CLIP):
        return {"method": "clip", "text": model.text_architecture.plain()}
    return {"method": "supervised", "num_classes": model.head.out_features}


def load_clip(path: Path) -> CLIP:
    """The CLIP at ``path`` with both towers, on the CPU, in eval mode.

    Raises UserError, one line, if the file is missing, broken, or of another method.
    """
    model = load_whole(path)
    if not isinstance(model, CLIP):
        raise UserError(f"{path}: expected a CLIP with its text tower, got another model")
    return model


def load_whole(path: Path) -> nn.Module:
    """The baseline at ``path`` with all that it was trained with."""
    architecture, tensors, _ = read_weights(path)
    facts, beside = read_beside(path)
    if facts.get("method") == "clip":
        model: nn.Module = CLIP(architecture, TextArchitecture(**facts["text"]))
    elif facts.get("method") == "supervised":
        model = Classifier(architecture, facts["num_classes"])
    else:
        raise UserError(f"{path}: expected a baseline, got a masked autoencoder; read it with load_encoder")
    model.load_state_dict({TOWER + name: tensor for name, tensor in tensors.items()} | shaped(beside, (1,)))
    return model.eval()
