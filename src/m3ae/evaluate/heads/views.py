"""A task's training images, augmented anew in every epoch; keyed, so that threads change no byte."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Int

from m3ae.config import Run
from m3ae.config.evaluation import Task
from m3ae.config.extended import Augmented
from m3ae.config.models import RunSettings
from m3ae.data.evalsets.evalsets import EvalImages
from m3ae.data.images import normalise
from m3ae.data.stream.keyed import SHUFFLE_LABELLED
from m3ae.data.stream.labelled_view import View, labelled_view
from m3ae.data.stream.order import locate
from m3ae.evaluate.heads.epochs import Batch


class AugmentedImages:
    """Whole batches of an epoch's crops; the order and every draw depend on (seed, epoch, image) alone."""

    def __init__(
        self, run: Run, task: Task, settings: RunSettings, classes: Int[np.ndarray, " count"]
    ) -> None:
        self.images = EvalImages(run, task.dataset, task.train)
        self.settings, self.classes = settings, classes
        self.device = "cuda" if torch.cuda.is_available() else "cpu"

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """The batches of an epoch (from 0): normalised images and their classes; no incomplete one."""
        count = len(self.images)
        whole = count // batch_size * batch_size
        positions = np.arange(epoch * count, epoch * count + whole)
        _, order = locate(positions, count, self.settings.seed, SHUFFLE_LABELLED)
        image = self.settings.data.image
        alone = bool(self.settings.supervised.rand_augment)  # its draws go through global generators
        with ThreadPoolExecutor(1 if alone else torch.get_num_threads()) as threads:
            for rows in order.reshape(-1, batch_size):
                views = threads.map(lambda row: self.view(epoch, row), rows.tolist())
                pixels = np.stack(list(views)).transpose(0, 2, 3, 1)
                batch = normalise(pixels, image.mean, image.std)
                yield (
                    torch.from_numpy(batch).to(self.device),
                    torch.from_numpy(self.classes[rows]).to(self.device),
                )

    def view(self, epoch: int, row: int) -> View:
        """What an epoch shows of an image."""
        return labelled_view(self.images.image(row), self.settings, epoch, row)


def settings_for(
    run: Run, model: str, augmented: Augmented, rand_augment: str = "", erase: float = 0.0
) -> RunSettings:
    """The model's settings with the augmentation of a head in place of pre-training's."""
    own = run.settings_of(model)
    image = own.data.image.model_copy(update={"crop_scale": augmented.crop_scale, "flip": augmented.flip})
    data = own.data.model_copy(update={"image": image})
    supervised = own.supervised.model_copy(update={"rand_augment": rand_augment, "erase": erase})
    return own.model_copy(update={"data": data, "supervised": supervised})
