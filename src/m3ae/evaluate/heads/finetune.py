"""Fine-tuning a whole encoder with layer-wise learning rates, mixup and CutMix: an option beside the probes.

He et al. 2021 (MAE), Table 9; the paper itself does not fine-tune. Parameter groups and mixing are timm's.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from m3ae.config.extended import FineTune
from m3ae.data.stream.keyed import MIX, key_of
from m3ae.data.stream.labelled_view import seeded
from m3ae.errors import UserError
from m3ae.evaluate.features import pool
from m3ae.evaluate.heads.epochs import Batch, EpochsOf, Steps
from m3ae.evaluate.linear import learning_rate
from m3ae.model.m3ae import M3AE
from m3ae.torchvision_ops import make_importable

HEAD_STD = 2e-5  # of the first weights of the head (facebookresearch/mae, main_finetune.py)
STEM = r"^encoder\.(?:patch_embedding|cls_token|image_type|word_embedding|text_type)"
BLOCKS = r"^encoder\.encoder\.blocks\.(\d+)"


class FineTuned(nn.Module):
    """An encoder and a linear head on its pooled tokens."""

    def __init__(self, encoder: M3AE, num_classes: int, pooling: str, generator: torch.Generator) -> None:
        super().__init__()
        self.encoder, self.pooling = encoder, pooling
        self.head = nn.Linear(encoder.architecture.width, num_classes)
        nn.init.trunc_normal_(self.head.weight, std=HEAD_STD, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of normalised images."""
        logits: Tensor = self.head(pool(self.encoder.encode(images), self.pooling))
        return logits

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Layers as timm asks for them: embeddings, each block, and the rest (last LayerNorm and head)."""
        return {"stem": STEM, "blocks": [(BLOCKS, None)]}


def finetune(
    encoder: M3AE, epochs_of: EpochsOf, num_train: int, num_classes: int, recipe: FineTune, seed: int
) -> FineTuned:
    """Train a copy of ``encoder`` with a new head; the model after the last step, ready to be applied.

    Linear warm-up from 0, then a cosine to 0 per step, times each layer's share. Draws depend on ``seed``
    alone. Raises UserError if the loss is not finite, or an epoch has other batches than promised.
    """
    generator = torch.Generator().manual_seed(seed)
    model = FineTuned(copy.deepcopy(encoder), num_classes, recipe.pooling, generator)
    model.to(encoder.cls_token.device).requires_grad_().train()
    optimizer = make_optimizer(model, recipe)
    mix, steps = make_mix(recipe, num_classes, seed), Steps.of(num_train, recipe.batch_size)
    num_warmup, num_steps = recipe.warmup_epochs * steps.per_epoch, recipe.epochs * steps.per_epoch
    peak = recipe.base_lr * steps.batch_size / 256
    for step, batch in steps.batches(epochs_of, recipe.epochs):
        for group in optimizer.param_groups:
            group["lr"] = group["lr_scale"] * learning_rate(step, peak, num_warmup, num_steps)
        images, targets = mix(step, batch)
        loss = F.cross_entropy(model(images), targets)
        if not math.isfinite(loss.item()):
            raise UserError(f"fine-tuning diverged at step {step}; lower base_lr ({recipe.base_lr})")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def make_optimizer(model: FineTuned, recipe: FineTune) -> torch.optim.AdamW:
    """AdamW whose groups have a share of the rate (`lr_scale`): ``layer_decay ** (layers above)``.

    Of ``depth`` blocks, block i (from 1) has ``depth + 1 - i`` layers above it, the embeddings ``depth + 1``,
    last LayerNorm and head none. Vectors (biases, scales, CLS, types) do not decay.
    """
    make_importable()
    from timm.optim import param_groups_layer_decay

    groups = param_groups_layer_decay(model, recipe.weight_decay, layer_decay=recipe.layer_decay)
    return torch.optim.AdamW(groups, lr=0.0, betas=(recipe.betas[0], recipe.betas[1]))


def make_mix(
    recipe: FineTune, num_classes: int, seed: int
) -> Callable[[int, Batch], tuple[Tensor, Float[Tensor, "batch classes"]]]:
    """The images of a step mixed with their partners, and smoothed targets, whose rows sum to 1.

    timm's Mixup, which draws from NumPy's global generator: keyed by (seed, step) meanwhile.
    """
    make_importable()
    from timm.data.mixup import Mixup, mixup_target

    mixup = Mixup(
        recipe.mixup, recipe.cutmix, label_smoothing=recipe.label_smoothing, num_classes=num_classes
    )

    def mix(step: int, batch: Batch) -> tuple[Tensor, Tensor]:
        images, classes = batch
        if not recipe.mixup and not recipe.cutmix:
            return images, mixup_target(classes, num_classes, smoothing=recipe.label_smoothing)
        if len(images) % 2:
            raise UserError(
                f"mixup needs batches of an even size, got {len(images)} images; change batch_size"
            )
        with seeded(int(key_of((seed, MIX, step))[0])):
            mixed: tuple[Tensor, Tensor] = mixup(images.clone(), classes)
        return mixed

    return mix
