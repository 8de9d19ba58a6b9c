"""Models as training leaves them, with their first weights: the encoder's file and the record of it."""

from m3ae.config import Run
from m3ae.data.tokens import Tokens
from m3ae.files import sha256_of
from m3ae.model.weights import save_encoder
from m3ae.records import Record
from m3ae.train.build import build_model


def save_first_weights(run: Run, model: str) -> None:
    """Write the encoder of ``model`` and a record of pre-training that speaks of its bytes."""
    path = run.paths.encoder(model)
    save_encoder(build_model(run, model, Tokens(run.paths.tokens("heldout")).vocab_size), path)
    vouch_for_encoder(run, model)


def vouch_for_encoder(run: Run, model: str) -> None:
    """Write a record of pre-training that speaks of the encoder's bytes."""
    Record(
        run=run.name,
        model=model,
        stage="pretrain",
        details={"weights_sha256": sha256_of(run.paths.encoder(model))},
        settings=run.stage("pretrain", model),
        inputs={},
        seeds=[run.settings.seed],
    ).write(run.paths.record(model, "pretrain"))
