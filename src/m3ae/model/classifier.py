"""The supervised baseline: an encoder with a linear layer on CLS, as in DeiT (Touvron et al. 2021)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from m3ae.model.architecture import Architecture
from m3ae.model.blocks import init_linear
from m3ae.model.linear import Linear
from m3ae.model.m3ae import M3AE


class Classifier(nn.Module):
    """An image encoder and its head."""

    def __init__(self, architecture: Architecture, num_classes: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.image_tower = M3AE(architecture)
        self.head = Linear(architecture.width, num_classes)
        init_linear(self.head)

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of images that are normalised as in training."""
        logits: torch.Tensor = self.head(self.image_tower.encode(image)[:, 0])
        return logits
