"""AdamW with the authors' choice of what decays."""

from inspect import unwrap

import torch
from torch import nn

from m3ae.config.training import Pretrain


class EagerAdamW(torch.optim.AdamW):
    """torch's AdamW without the marks that keep torch.compile out of it.

    We never compile the optimizer, and the marks alone import the compiler: 2 to 3 seconds of the processor
    for each training. What computes, and what a checkpoint holds, is torch's.
    """

    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)
    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))


def decays(module: nn.Module, name: str) -> bool:
    """Whether a parameter of ``module`` decays: weights of linear layers and scales of LayerNorms.

    Biases, CLS, mask tokens, type embeddings and the word embedding do not
    (``no_decay_list`` of the authors' model.py; docs/fidelity.md, item 9). So in the baselines, whose own
    code spares scales and, in SLIP, decays embeddings.
    """
    return isinstance(module, nn.Linear | nn.LayerNorm) and name == "weight"


def make_optimizer(model: nn.Module, recipe: Pretrain) -> torch.optim.AdamW:
    """AdamW over two groups of parameters; the learning rate is set at every step."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            groups[decays(module, name)].append(parameter)
    beta1, beta2 = recipe.betas
    return EagerAdamW(
        [
            {"params": groups[True], "weight_decay": recipe.weight_decay},
            {"params": groups[False], "weight_decay": 0.0},
        ],
        lr=0.0,
        betas=(beta1, beta2),
        eps=recipe.eps,
        fused=True,
    )
