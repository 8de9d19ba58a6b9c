"""From the configuration to a model with its first weights."""

import torch

from m3ae.config.run import Run
from m3ae.model.m3ae import M3AE
from m3ae.train.architecture import architecture_of


def build_model(run: Run, name: str, vocab_size: int) -> M3AE:
    """The model with its initial weights, which depend on the run's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.settings_of(name).seed)
        return M3AE(architecture_of(run, name, vocab_size))


def count_parameters(model: M3AE) -> dict[str, int]:
    """Parameters in all, and those that a frozen encoder needs for images."""
    encoder = [model.patch_embedding, model.encoder]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "encoder_parameters": sum(p.numel() for module in encoder for p in module.parameters())
        + model.cls_token.numel(),
    }
