"""Evidence that a model learns: errors on hidden patches and words of held-out pairs.

Beside two baselines that know nothing (the mean of the visible pixels, the most frequent word), and with a
wrong partner: if the image helps with words, a wrong one does harm, and the other way round.
"""

import time
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from m3ae.config.run import Run
from m3ae.data.tokens import Tokens
from m3ae.evaluate.bootstrap import Interval, interval_of_mean
from m3ae.evaluate.detect.reconstruction import Rebuilder
from m3ae.evaluate.encoder import checked_encoder
from m3ae.evaluate.heldout_pairs import HeldoutPairs
from m3ae.evaluate.hidden import constant_word_accuracy, hidden_errors, mean_of_visible_error
from m3ae.evaluate.stored import recorded_weights
from m3ae.files import sha256_of
from m3ae.model.m3ae import M3AE
from m3ae.records import Metric, Record, provenance

BATCH = 100
PerSample = dict[str, np.ndarray]

# metric -> (what it is, or what is subtracted from what, sample by sample; unit)
IMAGE_METRICS = {
    "image_error": ("image_error", None),
    "image_error_mean_visible": ("image_error_mean_visible", None),
    "image_error_gain_over_mean": ("image_error_mean_visible", "image_error"),
}
TEXT_METRICS = {
    "image_error_shuffled_caption": ("image_error_shuffled_caption", None),
    "image_error_caption_gain": ("image_error_shuffled_caption", "image_error"),
    "word_accuracy": ("word_accuracy", None),
    "word_accuracy_unigram": ("word_accuracy_unigram", None),
    "word_accuracy_shuffled_image": ("word_accuracy_shuffled_image", None),
    "word_accuracy_image_gain": ("word_accuracy", "word_accuracy_shuffled_image"),
    "word_accuracy_gain_over_unigram": ("word_accuracy", "word_accuracy_unigram"),
}


def run_heldout(run: Run, name: str) -> None:
    """Measure one model on the held-out pairs and write its record."""
    started = time.time()
    model = checked_encoder(run, name)
    pairs = HeldoutPairs(run)
    values = measure(run, model, pairs)
    metrics = IMAGE_METRICS | (TEXT_METRICS if model.architecture.has_text else {})
    Record(
        run=run.name,
        model=name,
        stage="heldout",
        metrics={key: difference(run, values, *parts) for key, parts in metrics.items()}
        | on_evaluation_sets(run, name),
        details={"num_samples": len(pairs)},
        settings=run.stage("heldout", name),
        inputs={
            "weights": recorded_weights(run, name),
            "heldout_manifest": sha256_of(run.paths.manifest("heldout")),
            "heldout_tokens": sha256_of(run.paths.tokens("heldout")),
        },
        seeds=[run.settings.seed],
        provenance=provenance(started),
    ).write(run.paths.record(name, "heldout"))


def on_evaluation_sets(run: Run, name: str) -> dict[str, Metric]:
    """Errors on the images of other sets, where the run names some: what is hidden depends on the row."""
    found = {}
    if sets := run.settings.heldout.images:
        rebuilder = Rebuilder(run, name, masks=1)
        for split in sets:
            key = f"image_error_{split.dataset}"
            found[key] = difference(run, {key: rebuilder.errors(split)}, key, None)
    return found


def measure(run: Run, model: M3AE, pairs: HeldoutPairs) -> PerSample:
    """Every per-sample value, in the order of the pairs."""
    partners = pairs.partners()
    collected: dict[str, list[np.ndarray]] = defaultdict(list)
    reads_text = model.architecture.has_text
    # The unigram baseline's one answer: the most frequent word piece of the training captions.
    word = int(Tokens(run.paths.tokens("train")).counts().argmax()) if reads_text else None
    for samples in batches(len(pairs), f"{run.name} held-out"):
        for key, column in measure_batch(model, pairs, samples, partners[samples], word).items():
            collected[key].append(column)
    values = {key: np.concatenate(columns) for key, columns in collected.items()}
    if reads_text:
        # The word accuracy of a mismatched pair belongs to its caption.
        by_caption = np.empty(len(pairs))
        by_caption[partners] = values["word_accuracy_shuffled_image"]
        values["word_accuracy_shuffled_image"] = by_caption
    return values


def measure_batch(
    model: M3AE, pairs: HeldoutPairs, samples: np.ndarray, partners: np.ndarray, word: int | None
) -> PerSample:
    """The values of some samples; words only where there is a most frequent ``word``."""
    a = model.architecture
    right = pairs.batch(samples, samples)
    errors = hidden_errors(model, right, with_text=word is not None)
    values = {
        "image_error": errors.image_error,
        "image_error_mean_visible": mean_of_visible_error(right, a.patch_px, a.image_mask_ratio),
    }
    if word is not None:
        wrong = hidden_errors(model, pairs.batch(samples, partners), with_text=True)
        assert errors.word_accuracy is not None
        assert wrong.word_accuracy is not None
        values["image_error_shuffled_caption"] = wrong.image_error
        values["word_accuracy"] = errors.word_accuracy
        values["word_accuracy_shuffled_image"] = wrong.word_accuracy
        values["word_accuracy_unigram"] = constant_word_accuracy(right, word, a.text_mask_ratio)
    return {key: value.double().numpy() for key, value in values.items()}


def batches(count: int, title: str) -> Iterator[np.ndarray]:
    """Sample ids in batches, with a progress bar."""
    for start in tqdm(range(0, count, BATCH), desc=title, disable=None):
        yield np.arange(start, min(start + BATCH, count))


def difference(run: Run, values: PerSample, of: str, minus: str | None) -> Metric:
    """Mean over samples of one value, or of the paired difference of two, with its interval."""
    per_sample = values[of] if minus is None else values[of] - values[minus]
    per_sample = per_sample[~np.isnan(per_sample)]  # captions without a hidden word
    statistics = run.settings.statistics
    interval = interval_of_mean(per_sample, statistics.draws, statistics.confidence, run.settings.seed)
    if of.startswith("word"):
        return metric(interval.times(100), len(per_sample), "%" if minus is None else "percentage points")
    return metric(interval, len(per_sample), "squared error of normalised pixels")


def metric(interval: Interval, n: int, unit: str) -> Metric:
    """An interval as a record's metric."""
    return Metric(value=interval.value, low=interval.low, high=interval.high, n=n, unit=unit)
