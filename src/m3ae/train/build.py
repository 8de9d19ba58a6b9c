"""From the configuration to a model with its first weights."""

import torch

from m3ae.config.run import Run
from m3ae.model.classifier import Classifier
from m3ae.model.clip import CLIP
from m3ae.model.m3ae import M3AE
from m3ae.train.architecture import architecture_of, num_classes, text_architecture_of

Model = M3AE | CLIP | Classifier


def build_model(run: Run, name: str, vocab_size: int) -> Model:
    """The model with its initial weights, which depend on the seed alone."""
    method, architecture = run.model(name).method, architecture_of(run, name, vocab_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.settings_of(name).seed)
        if method == "clip":
            return CLIP(architecture, text_architecture_of(run, name, vocab_size))
        if method == "supervised":
            return Classifier(architecture, num_classes(run))
        return M3AE(architecture)


def encoder_of(model: Model) -> M3AE:
    """The part that is frozen and evaluated."""
    return model if isinstance(model, M3AE) else model.image_tower


def count_parameters(model: Model) -> dict[str, int]:
    """Parameters in all, and those that a frozen encoder needs for images."""
    frozen = encoder_of(model)
    encoder = [frozen.patch_embedding, frozen.encoder]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "encoder_parameters": sum(p.numel() for module in encoder for p in module.parameters())
        + frozen.cls_token.numel(),
    }
