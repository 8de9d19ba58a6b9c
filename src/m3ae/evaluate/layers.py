"""What the last blocks of an encoder say, each through the last LayerNorm, as DINO probes them."""

from collections.abc import Callable
from typing import Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from m3ae.errors import UserError
from m3ae.evaluate.archive import Form
from m3ae.model.blocks import Transformer
from m3ae.model.m3ae import M3AE

POOLINGS = ("cls", "mean")


def layer_forms(encoder: M3AE, counts: dict[str, int], num: int) -> dict[str, Form]:
    """For each split the array of its images: (count, num blocks, 2 poolings, width), the last block last.

    Raises UserError if the encoder has fewer blocks.
    """
    depth, width = encoder.architecture.depth, encoder.architecture.width
    if num > depth:
        raise UserError(f"extended.probes.layers: expected at most {depth}, the encoder's blocks, got {num}")
    return {f"{name}/layers": Form("float16", (count, num, 2, width)) for name, count in counts.items()}


class LastLayers:
    """Keeps what the last ``num`` blocks of a transformer give out while it encodes."""

    def __init__(self, transformer: Transformer, num: int) -> None:
        blocks = list(transformer.blocks)
        self.blocks = blocks[len(blocks) - num :]
        self.outputs: list[Tensor] = []
        self.handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> Self:
        for place, block in enumerate(self.blocks):
            self.handles.append(block.register_forward_hook(self.keep(place)))
        self.outputs = [torch.empty(0)] * len(self.blocks)
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def keep(self, place: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        """The hook of a block."""

        def hook(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
            self.outputs[place] = output

        return hook


def pooled_layers(
    transformer: Transformer,
    outputs: list[Float[Tensor, "batch tokens width"]],
    padding: Bool[Tensor, "batch words"] | None = None,
) -> Float[Tensor, "batch layers 2 width"]:
    """CLS and the mean of the other tokens of each block's output, after the last LayerNorm."""
    pooled = []
    for output in outputs:
        tokens = transformer.norm(output.float())
        pooled.append(torch.stack([tokens[:, 0], mean_of(tokens[:, 1:], padding)], dim=1))
    return torch.stack(pooled, dim=1)


def mean_of(
    tokens: Float[Tensor, "batch tokens width"], padding: Bool[Tensor, "batch words"] | None
) -> Float[Tensor, "batch width"]:
    """The mean of patches and words, which come last: where ``padding`` is True there is none to count."""
    if padding is None:
        return tokens.mean(dim=1)
    is_there = F.pad(~padding, (tokens.shape[1] - padding.shape[1], 0), value=True)[..., None]
    return tokens.where(is_there, 0).sum(dim=1) / is_there.sum(dim=1)
