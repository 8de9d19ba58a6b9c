"""ODIN on images (Liang, Li, Srikant 2018, arXiv 1706.02690), through pytorch-ood."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from m3ae.config import Run
from m3ae.config.evaluation import EvalSplit
from m3ae.evaluate.detect.fitted import Scores
from m3ae.evaluate.detect.library import detectors, turned
from m3ae.evaluate.detect.logit_scores import ODIN_EPS, ODIN_TEMPERATURE
from m3ae.evaluate.scores import Classifier

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 128  # images at once, with gradients: changes the speed alone


class PixelOdin:
    """ODIN of a run's images: encoder and probe as one function of pixels, as the attacks take it (fp32)."""

    def __init__(self, run: Run, model: str, classifier: Classifier) -> None:
        from m3ae.evaluate.attack.robustness import device_of, victim_of

        self.run, self.model, self.device = run, model, device_of()
        self.victim = victim_of(run, model, classifier, self.device)

    def scores(self, split: EvalSplit) -> Scores:
        """Of every image of a split, in its order."""
        import torch

        from m3ae.data.evalsets.evalsets import EvalImages
        from m3ae.evaluate.shift.shifted import views_of

        images, found = EvalImages(self.run, split.dataset, split.split), []
        for rows in np.array_split(np.arange(len(images)), -(-len(images) // BATCH)):
            views = torch.from_numpy(views_of(self.run, self.model, images, rows)).permute(0, 3, 1, 2)
            found.append(odin_of_images(self.victim, views.to(self.device) / 255))
        return np.concatenate(found)


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
