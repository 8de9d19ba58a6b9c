"""What differs between masked autoencoders and the baselines: their data, their model, their objective."""

from m3ae.config.run import Run
from m3ae.data.stream.labelled import LabelledStream
from m3ae.data.stream.loader import AnyStream
from m3ae.data.stream.stream import Stream
from m3ae.model.classifier import Classifier
from m3ae.model.clip import CLIP
from m3ae.train.build import Model
from m3ae.train.classification import ClassificationObjective
from m3ae.train.contrastive import ContrastiveObjective
from m3ae.train.masked import MaskedObjective
from m3ae.train.objective import Normaliser, Objective


def open_stream(run: Run, name: str) -> AnyStream:
    """The samples that a model is trained on."""
    return (LabelledStream if run.model(name).method == "supervised" else Stream)(run, name)


def objective_of(run: Run, name: str, model: Model) -> Objective:
    """What a model minimises."""
    settings = run.settings_of(name)
    normalise = Normaliser(settings.data.image)
    if isinstance(model, CLIP):
        return ContrastiveObjective(model, normalise)
    if isinstance(model, Classifier):
        return ClassificationObjective(model, normalise, settings.supervised.label_smoothing)
    return MaskedObjective(model, normalise, settings.pretrain.unpaired_text_loss_weight)
