"""The two losses of masked autoencoding, on hidden tokens alone."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


def patch_error(
    predicted: Float[Tensor, "batch hidden values"], target: Float[Tensor, "batch hidden values"]
) -> Float[Tensor, " batch"]:
    """Mean squared error of each sample over its hidden patches.

    The mean over the batch is the image loss: ``patch_mse_loss`` of the authors' model.py. Where nothing
    was hidden the error is 0 (theirs is not a number).
    """
    if predicted.shape[1] == 0:
        return predicted.new_zeros(len(predicted), dtype=torch.float32)
    return (predicted.float() - target.float()).square().mean(dim=(1, 2))


def normalise_patches(patches: Float[Tensor, "batch n values"]) -> Float[Tensor, "batch n values"]:
    """Each patch by its own mean and unbiased variance (eps 1e-6): ``norm_pix_loss`` of Facebook's MAE."""
    variance, mean = patches.var(dim=-1, keepdim=True), patches.mean(dim=-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


def word_loss(
    logits: Float[Tensor, "batch hidden vocab"],
    words: Int[Tensor, "batch hidden"],
    counts: Bool[Tensor, "batch hidden"],
) -> Float[Tensor, " batch"]:
    """Cross-entropy of each sample: the mean over its hidden words that count (are not padding).

    A sample without any such word has loss 0 and still counts in the batch's mean:
    ``cross_entropy_loss_and_accuracy`` of the authors' model.py (docs/fidelity.md, item 3).
    """
    entropy = F.cross_entropy(logits.flatten(0, 1).float(), words.flatten(), reduction="none")
    entropy = entropy.unflatten(0, words.shape) * counts
    return entropy.sum(dim=1) / counts.sum(dim=1).clamp(min=1)


CHUNK = 2**24
"""Most logits (rows x vocabulary) that exist at a time: 64 MiB in fp32."""


def hidden_word_loss(
    x: Float[Tensor, "words dim"],
    head: nn.Linear,
    words: Int[Tensor, " words"],
    share: Float[Tensor, " words"],
) -> tuple[Float[Tensor, ""], Float[Tensor, " words"]]:
    """The sum over hidden words of ``share`` times their cross-entropy; and each word's, without gradient.

    Head and cross-entropy together, some rows at a time: the logits of all rows never exist, and their
    gradient is taken while they do, so that nothing is computed twice.
    """
    weight, bias = head.weight, head.bias
    if torch.is_autocast_enabled(x.device.type):
        x, weight = (t.to(torch.get_autocast_dtype(x.device.type)) for t in (x, weight))
    return WordLoss.apply(x, weight, bias, words, share)


class WordLoss(torch.autograd.Function):
    """See `hidden_word_loss`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, words: Tensor, share: Tensor) -> Any:
        """Losses, and their gradients if they are wanted."""
        entropy = x.new_empty(len(x), dtype=torch.float32)
        wanted = any(ctx.needs_input_grad)
        if wanted:
            gradients = (
                torch.empty_like(x),
                weight.new_zeros(weight.shape, dtype=torch.float32),
                bias.new_zeros(bias.shape),
            )
        rows_at_a_time = max(CHUNK // len(weight), 1)
        with torch.autocast(x.device.type, enabled=False):
            for start in range(0, len(x), rows_at_a_time):
                rows = slice(start, start + rows_at_a_time)
                logits = (x[rows] @ weight.T).float().add_(bias)
                entropy[rows] = cross_entropy_in_place(logits, words[rows])
                if wanted:
                    add_gradients(gradients, logits, x, weight, words, share, rows)
        if wanted:
            ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(entropy)
        return (entropy * share).sum(), entropy

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Any) -> Any:
        """The gradients, times that of the loss."""
        x, weight, bias = ctx.saved_tensors
        return x * gradient, weight * gradient, bias * gradient, None, None


def cross_entropy_in_place(
    logits: Float[Tensor, "rows vocab"], words: Int[Tensor, " rows"]
) -> Float[Tensor, " rows"]:
    """Cross-entropy of each row; ``logits`` become probabilities."""
    logits -= logits.amax(dim=1, keepdim=True)
    right = logits.gather(1, words[:, None]).squeeze(1)
    total = logits.exp_().sum(dim=1)
    logits /= total[:, None]
    return total.log() - right


def add_gradients(
    gradients: tuple[Tensor, Tensor, Tensor],
    probabilities: Tensor,
    x: Tensor,
    weight: Tensor,
    words: Tensor,
    share: Tensor,
    rows: slice,
) -> None:
    """Gradients of some rows: of their ``x``, and added to those of weight and bias."""
    of_x, of_weight, of_bias = gradients
    of_logits = probabilities.mul_(share[rows, None])
    of_logits.scatter_add_(1, words[rows, None], -share[rows, None])
    of_bias += of_logits.sum(dim=0)
    of_logits = of_logits.to(x.dtype)
    of_x[rows] = of_logits @ weight
    if of_weight.dtype == x.dtype:
        of_weight.addmm_(of_logits.T, x[rows])
    else:
        of_weight += of_logits.T @ x[rows]
