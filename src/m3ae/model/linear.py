"""Linear layers, on a processor in fp32 by oneDNN's matrix products.

torch gives fp32 products to MKL, and bf16 ones to oneDNN. On an AMD processor oneDNN's fp32 products are the
faster ones too (docs/performance.md). Sums run in another order: results differ by rounding.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

LEAST = 2**22
"""Multiply-adds of a product from which on its speed matters more than the call."""
HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """torch's layer, through `linear`."""

    def forward(self, input: Tensor) -> Tensor:  # torch's name for it
        """``input`` (..., width in) to (..., width out)."""
        return linear(input, self.weight, self.bias)


def linear(
    x: Float[Tensor, "*rows dim_in"], weight: Float[Tensor, "dim_out dim_in"], bias: Float[Tensor, " dim_out"]
) -> Float[Tensor, "*rows dim_out"]:
    """``x @ weight.T + bias``, by whichever library is faster at it."""
    return OneDNN.apply(x, weight, bias) if suits_onednn(x, weight) else F.linear(x, weight, bias)


def suits_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether this is a large fp32 product on a processor; where a graph is made, it is torch's own."""
    return (
        HAS_ONEDNN
        and not makes_graph()  # first: a size that a graph leaves open must not be asked
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() * len(weight) >= LEAST
        and not torch.is_autocast_enabled("cpu")
    )


def makes_graph() -> bool:
    """Whether torch compiles, exports, traces, or transforms a function (torch.func): none knows `OneDNN`."""
    return (
        torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._are_functorch_transforms_active()
    )


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias`` in oneDNN, without gradient."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def weight_gradient(
    gradient: Float[Tensor, "rows dim_out"], x: Float[Tensor, "rows dim_in"]
) -> Float[Tensor, "dim_out dim_in"]:
    """``gradient.T @ x``, or the transpose of ``x.T @ gradient``: whichever has fewer values to turn round.

    oneDNN wants its first matrix row by row, and torch transposes with one thread.
    """
    rows, width_out, width_in = *gradient.shape, x.shape[1]
    if rows * width_out <= rows * width_in + width_in * width_out:
        return product(gradient.T, x.T)
    return product(x.T, gradient.T).T.contiguous()


class OneDNN(torch.autograd.Function):
    """See `linear`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The product."""
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Of what is wanted among input, weight and bias."""
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows = gradient.flatten(0, -2)
        return (
            product(gradient, weight.T) if of_x else None,
            weight_gradient(rows, x.flatten(0, -2)) if of_weight else None,
            rows.sum(dim=0) if of_bias else None,
        )
