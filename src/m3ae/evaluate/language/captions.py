"""The target `captions`: everything that one model knows of language, as one record."""

import time

from torch import nn

from m3ae.config import Run
from m3ae.config.language import Language
from m3ae.config.rows import READS_WORDS
from m3ae.errors import UserError
from m3ae.evaluate.language.answers import measure_questions
from m3ae.evaluate.language.measured import Measured
from m3ae.evaluate.language.pairs import ModelPairs, draw
from m3ae.evaluate.language.probes import measure_concepts
from m3ae.evaluate.language.retrieval import measure_retrieval
from m3ae.evaluate.language.words import measure_words
from m3ae.evaluate.pairs.asked import SPLITS
from m3ae.evaluate.pairs.stored import PairFeatures
from m3ae.evaluate.stored import checked_weights
from m3ae.files import sha256_of
from m3ae.model.clip import CLIP
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import load_encoder
from m3ae.model.whole import load_clip
from m3ae.records import Record, provenance


def run_language(run: Run, model: str) -> None:
    """Write `captions.json` of one model. Raises UserError for a model that reads no text."""
    started = time.time()
    settings = settings_of(run, model)
    inputs = inputs_of(run, model)
    pairs = {split: ModelPairs(run, model, split, settings.image_mask_ratio) for split in SPLITS}
    net = load(run, model).to(pairs["heldout"].device)
    stored = PairFeatures.made(run, model)
    parts = [measure_concepts(run, settings, stored), *measure(run, settings, net, pairs)]
    Record(
        run=run.name,
        model=model,
        stage="captions",
        metrics={name: metric for part in parts for name, metric in part.metrics.items()},
        details={name: fact for part in parts for name, fact in part.details.items()},
        settings=run.stage("captions", model),
        inputs=inputs,
        seeds=[run.settings.seed],
        provenance=provenance(started) | {"pairs_sha256": sha256_of(stored.path)},
    ).write(run.paths.record(model, "captions"))


def settings_of(run: Run, model: str) -> Language:
    """What to measure. Raises UserError where the run has none, or the model reads no text."""
    method = run.model(model).method
    if method not in READS_WORDS:
        raise UserError(
            f"captions of {model}: expected a model that reads text ({', '.join(READS_WORDS)}), "
            f"got {method}; it has no text side to measure"
        )
    settings: Language | None = run.settings.language
    if settings is None:
        raise UserError(f"language: run {run.name!r} has none; set language in config/{run.name}.yaml")
    return settings


def inputs_of(run: Run, model: str) -> dict[str, str]:
    """SHA-256 of the weights and of everything that is read beside them."""
    files = {f"{split}_manifest": run.paths.manifest(split) for split in SPLITS}
    files |= {f"{split}_tokens": run.paths.tokens(split) for split in SPLITS}
    files["tokenizer"] = run.paths.tokenizer
    return {"weights": checked_weights(run, model)} | {name: sha256_of(path) for name, path in files.items()}


def load(run: Run, model: str) -> nn.Module:
    """The whole model, both of whose sides are measured."""
    path = run.paths.encoder(model)
    return load_clip(path) if run.model(model).method == "clip" else load_encoder(path)


def measure(run: Run, settings: Language, net: nn.Module, pairs: dict[str, ModelPairs]) -> list[Measured]:
    """What needs the model itself: all of it for an M3AE; for CLIP, which writes no words, retrieval."""
    assert isinstance(net, M3AE | CLIP)
    train, heldout = pairs["train"], pairs["heldout"]
    ids = draw(run, heldout, settings.num_samples)
    parts = [measure_retrieval(run, settings, net, heldout, ids)]
    if isinstance(net, M3AE):
        known = train, draw(run, train, settings.num_train)
        parts += [
            measure_words(run, settings, net, heldout, ids),
            measure_questions(run, settings, net, heldout, ids, known),
        ]
    return parts
