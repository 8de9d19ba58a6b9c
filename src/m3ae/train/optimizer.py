"""AdamW with the authors' choice of what decays."""

import torch
from torch import nn

from m3ae.config.training import Pretrain


def decays(module: nn.Module, name: str) -> bool:
    """Whether a parameter of ``module`` decays: weights of linear layers and scales of LayerNorms.

    Biases, CLS, mask tokens, type embeddings and the word embedding do not
    (``no_decay_list`` of the authors' model.py; docs/fidelity.md, item 9).
    """
    return isinstance(module, nn.Linear | nn.LayerNorm) and name == "weight"


def make_optimizer(model: nn.Module, recipe: Pretrain) -> torch.optim.AdamW:
    """AdamW over two groups of parameters; the learning rate is set at every step."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            groups[decays(module, name)].append(parameter)
    beta1, beta2 = recipe.betas
    return torch.optim.AdamW(
        [
            {"params": groups[True], "weight_decay": recipe.weight_decay},
            {"params": groups[False], "weight_decay": 0.0},
        ],
        lr=0.0,
        betas=(beta1, beta2),
        eps=recipe.eps,
        fused=True,
    )
