"""pytorch-ood's detectors behind NumPy arrays; imported at first use, because it brings torch along."""

from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from m3ae.evaluate.detect.fitted import Fitted

if TYPE_CHECKING:
    from torch import Tensor, nn


def detectors() -> ModuleType:
    """The module `pytorch_ood.detector` (0.4), whose scores are *lower* for what is in distribution."""
    from m3ae.torchvision_ops import make_importable

    make_importable()
    import pytorch_ood.detector

    return pytorch_ood.detector


def tensor(x: np.ndarray) -> "Tensor":
    """The array as a tensor, without a copy where possible."""
    import torch

    return torch.from_numpy(np.require(x, requirements=("C", "W")))


def turned(outlier_scores: "Tensor") -> np.ndarray:
    """An outlier score of the library as one that is higher in distribution."""
    return -outlier_scores.detach().numpy().astype(np.float64)


def linear(fitted: Fitted, dtype: str) -> "nn.Linear":
    """The classifier's linear layer for normalised features of ``dtype`` ("float32", "float64")."""
    import torch

    weight, bias = (
        tensor(fitted.classifier.weight.astype(dtype)),
        tensor(fitted.classifier.bias.astype(dtype)),
    )
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer.requires_grad_(False)
