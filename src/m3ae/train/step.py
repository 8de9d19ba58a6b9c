"""One step of pre-training: forward, backward, update."""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from m3ae.config.data import Image
from m3ae.data.stream.loader import TensorBatch
from m3ae.model.m3ae import M3AE


class Normaliser:
    """Bytes to normalised values on the device: (x / 255 - mean) / std per channel."""

    def __init__(self, image: Image, device: torch.device) -> None:
        self.mean = 255 * torch.tensor(image.mean, device=device).view(3, 1, 1)
        self.std = 255 * torch.tensor(image.std, device=device).view(3, 1, 1)

    def __call__(self, image: UInt8[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Normalise a batch."""
        return (image.float() - self.mean) / self.std


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
    precision: str,
) -> StepResult:
    """Take one step at learning rate ``lr``. An MAE is given the images alone."""
    device = model.cls_token.device
    batch = batch.to(device)
    words = {}
    if model.architecture.has_text:
        words = {"text": batch.text, "padding": batch.padding, "text_order": batch.text_order}
    with precision_of(precision, device):
        out = model(normalise(batch.image), image_order=batch.image_order, predictions=False, **words)
    optimizer.zero_grad(set_to_none=True)
    out.loss.backward()
    grad_norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    losses = {"image_loss": out.image_loss, "text_loss": out.text_loss}
    return StepResult({name: value for name, value in losses.items() if value is not None}, grad_norm)
