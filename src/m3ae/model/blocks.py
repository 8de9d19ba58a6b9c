"""The transformer: pre-norm blocks of attention and MLP, as in ViT."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from m3ae.model.linear import Linear, linear
from m3ae.model.masking import take

EPS = 1e-6  # of every LayerNorm, in flax and in Facebook's MAE
SHORT = 128  # tokens; up to here two matrix products beat torch's fused attention in bf16 on a processor


class Attention(nn.Module):
    """Multi-head self-attention that does not look at padding."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "batch tokens dim"],
        is_key: Bool[Tensor, "batch 1 1 tokens"] | None,
        asking: Float[Tensor, "batch some dim"] | None = None,
    ) -> Float[Tensor, "batch some dim"]:
        """What the tokens of ``x`` (or those ``asking`` alone) see of ``x`` where ``is_key`` is True."""
        if asking is None:
            query, key, value = self.heads_of(self.qkv(x), 3)
        else:
            width = x.shape[-1]
            weights, biases = (
                self.qkv.weight.split([width, 2 * width]),
                self.qkv.bias.split([width, 2 * width]),
            )
            (query,) = self.heads_of(linear(asking, weights[0], biases[0]), 1)
            key, value = self.heads_of(linear(x, weights[1], biases[1]), 2)
        return self.proj(attend(query, key, value, is_key).transpose(1, 2).flatten(2))

    def heads_of(self, x: Tensor, parts: int) -> tuple[Float[Tensor, "batch heads tokens dim"], ...]:
        """Cut the last dimension into ``parts``, each of them into heads."""
        return x.unflatten(-1, (parts, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


def attend(
    query: Float[Tensor, "batch heads some dim"],
    key: Float[Tensor, "batch heads tokens dim"],
    value: Float[Tensor, "batch heads tokens dim"],
    is_key: Bool[Tensor, "batch 1 1 tokens"] | None,
) -> Float[Tensor, "batch heads some dim"]:
    """Softmax attention over the tokens where ``is_key`` is True.

    torch's fused kernel, save in bf16 on a processor, where it is slow: short sequences are faster as
    two matrix products, long ones in fp32 (benchmarks/attention.py).
    """
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        if query.shape[-2] <= SHORT:
            return matrix_products(query, key, value, is_key)
        query, key, value = query.float(), key.float(), value.float()
    return F.scaled_dot_product_attention(query, key, value, attn_mask=is_key)


def matrix_products(query: Tensor, key: Tensor, value: Tensor, is_key: Tensor | None) -> Tensor:
    """Attention as it is written, the softmax in fp32; shapes as in ``attend``."""
    weights = ((query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)).float()
    if is_key is not None:
        weights = weights.masked_fill(~is_key, float("-inf"))
    return weights.softmax(dim=-1).to(value.dtype) @ value


class Block(nn.Module):
    """Attention, then MLP, each on the normalised input and added to it."""

    def __init__(self, width: int, heads: int, mlp_ratio: int, gelu: str) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.fc1 = Linear(width, mlp_ratio * width)
        self.act = nn.GELU(approximate="tanh" if gelu == "tanh" else "none")
        self.fc2 = Linear(mlp_ratio * width, width)

    def forward(self, x: Tensor, is_key: Tensor | None, at: Tensor | None = None) -> Tensor:
        """One block; shapes as in ``Attention``. With ``at`` (batch, some) only what comes out there."""
        normed = self.norm1(x)
        if at is None:
            x = x + self.attn(normed, is_key)
        else:
            x = take(x, at) + self.attn(normed, is_key, take(normed, at))
        return x + self.fc2(self.act(self.fc1(self.norm2(x))))


class Transformer(nn.Module):
    """A stack of blocks and a last LayerNorm."""

    def __init__(self, width: int, depth: int, heads: int, mlp_ratio: int, gelu: str) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio, gelu) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.recompute = False
        """Activation checkpointing: keep what goes into a block, compute the rest again going back."""

    def forward(
        self,
        x: Float[Tensor, "batch tokens dim"],
        padding: Bool[Tensor, "batch tokens"] | None = None,
        at: Int[Tensor, "batch some"] | None = None,
    ) -> Float[Tensor, "batch some dim"]:
        """Encode the tokens; padding (True) is never a key. What comes out at padding is meaningless.

        With ``at`` only the tokens at these positions come out: the last block asks for no other.
        """
        is_key = None if padding is None else ~padding[:, None, None, :]
        *first, last = self.blocks
        for block in first:
            x = self.apply_block(block, x, is_key, None)
        return self.norm(self.apply_block(last, x, is_key, at))

    def apply_block(self, block: nn.Module, x: Tensor, is_key: Tensor | None, at: Tensor | None) -> Tensor:
        """One block, with its activations kept or not."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, x, is_key, at, use_reentrant=False)
        return block(x, is_key, at)


def init_linear(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases, as the authors' code sets every linear layer."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def init_normal(*parameters: nn.Parameter) -> None:
    """N(0, 0.02) for CLS, type embeddings and mask tokens."""
    for parameter in parameters:
        with torch.no_grad():
            parameter.normal_(std=0.02)
