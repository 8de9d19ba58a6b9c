"""What an encoder looks at: the attention of one block over the whole sequence, nothing hidden."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from m3ae.model.blocks import Block
from m3ae.model.m3ae import M3AE


class Between(NamedTuple):
    """Attention from one modality to the other; each row is normalised over what it looks at."""

    words_to_patches: Float[Tensor, "batch words patches"]
    patches_to_words: Float[Tensor, "batch patches words"]
    """0 at padding."""


@torch.inference_mode()
def attention(
    model: M3AE,
    image: Float[Tensor, "batch 3 height width"],
    text: Int[Tensor, "batch words"],
    padding: Bool[Tensor, "batch words"] | None = None,
    block: int = 1,
) -> Float[Tensor, "batch tokens tokens"]:
    """Attention probabilities of a block of the encoder, counted from its end (1: the last); mean over heads.

    Tokens are CLS, then patches, then words; row i says where token i looks, and sums to 1. Padding is never
    looked at, and its own rows mean nothing. Raises ValueError if the encoder has no such block.
    """
    depth = len(model.encoder.blocks)
    if not 1 <= block <= depth:
        raise ValueError(f"expected a block from 1 (the last) to {depth} (the first), got {block}")
    x = model.with_cls([model.embed_image(image), model.embed_text(text)])
    key_padding = model.key_padding(x, padding)
    is_key = None if key_padding is None else ~key_padding[:, None, None, :]
    for before in model.encoder.blocks[: depth - block]:
        x = before(x, is_key)
    chosen = model.encoder.blocks[depth - block]
    assert isinstance(chosen, Block)
    return probabilities(chosen, x, is_key).mean(dim=1)


def probabilities(
    block: Block, x: Float[Tensor, "batch tokens dim"], is_key: Bool[Tensor, "batch 1 1 tokens"] | None
) -> Float[Tensor, "batch heads tokens tokens"]:
    """Softmax of the scaled products of queries and keys, in fp32, for what goes into a block."""
    query, key, _ = block.attn.heads_of(block.attn.qkv(block.norm1(x)), 3)
    logits = ((query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)).float()
    if is_key is not None:
        logits = logits.masked_fill(~is_key, float("-inf"))
    return logits.softmax(dim=-1)


def between(found: Float[Tensor, "batch tokens tokens"], num_patches: int) -> Between:
    """Cut out the attention between patches and words, each row normalised anew."""
    patches, words = slice(1, 1 + num_patches), slice(1 + num_patches, None)
    parts = found[:, words, patches], found[:, patches, words]
    return Between(*(part / part.sum(dim=-1, keepdim=True) for part in parts))
