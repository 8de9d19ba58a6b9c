"""ODIN on images (Liang, Li, Srikant 2018, arXiv 1706.02690), through pytorch-ood."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from m3ae.evaluate.detect.fitted import Scores
from m3ae.evaluate.detect.library import detectors, turned
from m3ae.evaluate.detect.logit_scores import ODIN_EPS, ODIN_TEMPERATURE

if TYPE_CHECKING:
    from torch import Tensor


def odin_of_images(
    logits_of: Callable[["Tensor"], "Tensor"],
    images: "Tensor",
    eps: float = ODIN_EPS,
    temperature: float = ODIN_TEMPERATURE,
    std: list[float] | None = None,
) -> Scores:
    """The largest probability at ``temperature``, after a step of ``eps`` towards the predicted class.

    ``images`` (images x channels x height x width) are what ``logits_of`` takes; it must be differentiable
    and in evaluation mode. ``std``, if the pixels were divided by it, turns the step into one of raw pixels.
    The step may leave [0, 1], as in the paper. Higher is more in-distribution; no label is used.
    """
    detector = detectors().ODIN(logits_of, eps=eps, temperature=temperature, norm_std=std)
    return turned(detector.predict(images).cpu())
