"""One step of pre-training: forward, backward, update."""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from m3ae.config.data import Image
from m3ae.config.training import Pretrain
from m3ae.data.stream.loader import TensorBatch
from m3ae.model.m3ae import M3AE


class Normaliser:
    """Bytes to normalised values on the device: (x / 255 - mean) / std per channel."""

    def __init__(self, image: Image, device: torch.device) -> None:
        self.mean = 255 * torch.tensor(image.mean, device=device).view(3, 1, 1)
        self.std = 255 * torch.tensor(image.std, device=device).view(3, 1, 1)

    def __call__(self, image: UInt8[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Normalise a batch."""
        return image.float().sub_(self.mean).div_(self.std)


class StepResult(NamedTuple):
    """Scalars of a step, on the device."""

    losses: dict[str, Tensor]
    grad_norm: Tensor


def precision_of(name: str, device: torch.device) -> AbstractContextManager:
    """The context of the forward pass: bf16 autocast, or plain fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if name == "bf16" else nullcontext()


def train_step(
    model: M3AE,
    optimizer: torch.optim.Optimizer,
    batch: TensorBatch,
    lr: float,
    normalise: Normaliser,
    recipe: Pretrain,
) -> StepResult:
    """Take one step at learning rate ``lr`` on pairs, images alone and passages, whichever there are."""
    device = model.cls_token.device
    batch = batch.to(device)
    with precision_of(recipe.precision, device):
        loss, losses = loss_of(model, batch, normalise, recipe.unpaired_text_loss_weight)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    grad_norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    return StepResult(losses, grad_norm)


def loss_of(
    model: M3AE, batch: TensorBatch, normalise: Normaliser, unpaired_text_loss_weight: float
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """The loss of a step, and its parts by name: as m3ae_main.py of the authors adds them up.

    An image alone counts in the mean of the text loss with 0, whether it lost its caption or never had one:
    the authors' rule for dropped captions. Passages have a mean, and a weight, of their own; with weight 0
    nothing is computed for them. An MAE is given the images alone.

    Every part is a mean over rows of the whole batch. Split over ranks, sums must be divided by the global
    number of images or passages: a mean of the ranks' means differs where their numbers do.
    """
    reads_text = model.architecture.has_text
    words = {"text": batch.text, "padding": batch.padding, "text_order": batch.text_order}
    out = model(
        normalise(batch.image),
        image_order=batch.image_order,
        predictions=False,
        **(words if reads_text else {}),
    )
    losses = {"image_loss": out.image_loss}
    if reads_text:
        losses["text_loss"] = out.text_loss
    loss = out.loss
    if reads_text and len(batch.passage) and unpaired_text_loss_weight > 0:
        losses["unpaired_text_loss"] = model(
            text=batch.passage_text,
            padding=batch.passage_padding,
            text_order=batch.passage_order,
            predictions=False,
        ).text_loss
        loss = loss + unpaired_text_loss_weight * losses["unpaired_text_loss"]
    return loss, losses
