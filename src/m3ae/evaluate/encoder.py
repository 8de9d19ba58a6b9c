"""The frozen encoder that every stage measures: never another than the one that its records name."""

from m3ae.config import Run
from m3ae.evaluate.stored import checked_weights
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import load_encoder


def checked_encoder(run: Run, model: str) -> M3AE:
    """The encoder of ``model``, on the CPU, in eval mode.

    Raises UserError for weights that are missing, or others than the record of `pretrain` speaks of; stored
    features are held against the same record, so that the two are of one encoder.
    """
    checked_weights(run, model)
    return load_encoder(run.paths.encoder(model))
