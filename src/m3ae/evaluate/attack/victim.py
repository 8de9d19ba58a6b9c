"""What is attacked: normalisation, frozen encoder and probe as one function of images in [0, 1]."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from m3ae.errors import UserError
from m3ae.evaluate.scores import Classifier

Images = Float[Tensor, "batch 3 height width"]
Labels = Int[Tensor, " batch"]
Logits = Float[Tensor, "batch classes"]
EPS = 1e-5  # of the probe's BatchNorm, as in Classifier.logits
SILENT = 0.1
"""Share of the images whose gradient may be 0: the surest, whose cross-entropy is 0 in float32."""


class Victim(nn.Module):
    """Images in [0, 1] to logits; nothing of it learns.

    The normalisation is inside, so that radii are those of images. ``temperature`` divides the logits: no
    answer changes, and a cross-entropy that has saturated in float32 has a gradient again.
    """

    def __init__(
        self,
        encode: Callable[[Images], Float[Tensor, "batch width"]],
        classifier: Classifier,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        """``encode`` maps normalised images to features; a module is frozen and set to evaluation."""
        super().__init__()
        self.encode = encode
        facts = {**classifier._asdict(), "image_mean": mean, "image_std": std, "temperature": 1.0}
        for name, value in facts.items():
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))
        self.eval().requires_grad_(False)

    def forward(self, images: Images) -> Logits:
        """The probe's logits."""
        mean, std = (self.get_buffer(f"image_{name}").view(-1, 1, 1) for name in ("mean", "std"))
        features = self.encode((images - mean) / std)
        scale = torch.rsqrt(self.get_buffer("variance") + EPS)
        normalised = (features - self.get_buffer("mean")) * scale
        logits = F.linear(normalised, self.get_buffer("weight"), self.get_buffer("bias"))
        return logits / self.get_buffer("temperature")

    @torch.no_grad()
    def calibrate(self, images: Images) -> None:
        """Set the temperature to the median distance between the two largest logits on ``images``."""
        self.get_buffer("temperature").fill_(1.0)
        first, second = self(images).topk(2, dim=1).values.T
        self.get_buffer("temperature").copy_((first - second).median().clamp(min=1e-6))


@torch.no_grad()
def is_right(victim: nn.Module, images: Images, labels: Labels) -> Bool[Tensor, " batch"]:
    """Whether the largest logit is that of the right class; never where one is not finite."""
    logits = victim(images)
    return (logits.argmax(dim=1) == labels) & logits.isfinite().all(dim=1)


def check_victim(
    victim: nn.Module,
    images: Images,
    labels: Labels,
    clean: Bool[Tensor, " batch"],
    batch_size: int | None = None,
) -> None:
    """Raise UserError unless an attack on these images, ``batch_size`` at once, would mean something.

    ``clean``: whether the stored probe was right on each image, which radius 0 must give again.
    """
    if not (images.min() >= 0 and images.max() <= 1):  # true of NaN too
        raise UserError(
            f"attack: expected images in [0, 1], got {images.min():.3g} to {images.max():.3g}; "
            "normalise inside the model, or radii mean nothing"
        )
    if any(module.training for module in victim.modules()):
        raise UserError("attack: expected a model in evaluation, found one in training; call eval() first")
    wrong, size = 0, batch_size or len(images)
    for x, y, right in zip(images.split(size), labels.split(size), clean.split(size), strict=True):
        for with_gradients in (False, True):  # attacks call it in both ways
            check_logits(victim, x, with_gradients)
        wrong += int((is_right(victim, x, y) != right).sum())
        check_gradient(victim, x, y)
    if wrong > round(0.01 * len(images)):  # another batch size rounds otherwise
        raise UserError(
            f"attack: expected the clean answers at radius 0, got {wrong} of {len(images)} others; the model "
            "that is attacked is not the one that was probed"
        )


def check_logits(victim: nn.Module, images: Images, with_gradients: bool) -> None:
    """Raise UserError unless the logits are finite, and the same each time."""
    with torch.set_grad_enabled(with_gradients):
        first, second = victim(images).detach(), victim(images).detach()
    if not first.isfinite().all():
        row = int((~first.isfinite().all(dim=1)).nonzero()[0, 0])
        raise UserError(
            f"attack: expected finite logits, got NaN or infinity for image {row} of a batch; look "
            "for NaN in the weights"
        )
    if not torch.equal(first, second):
        raise UserError(
            "attack: expected the same logits twice, got others; a model that draws random numbers only "
            "looks robust"
        )


def check_gradient(victim: nn.Module, images: Images, labels: Labels) -> None:
    """Raise UserError if the loss has no gradient that an attack could follow."""
    x = images.clone().requires_grad_(True)
    loss = F.cross_entropy(victim(x), labels, reduction="sum")
    gradient = torch.autograd.grad(loss, x)[0] if loss.requires_grad else torch.zeros_like(x)
    if not gradient.isfinite().all():
        raise UserError("attack: the loss's gradient is not finite; look for NaN in the weights")
    silent = int((gradient.flatten(1).abs().amax(dim=1) == 0).sum())
    if silent > SILENT * len(images):
        raise UserError(
            f"attack: the loss's gradient is 0 for {silent} of {len(images)} images; gradients are masked, "
            "and what looks robust is not"
        )
