"""The two losses of masked autoencoding, on hidden tokens alone."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
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
