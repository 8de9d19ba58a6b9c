"""Held-out errors: baselines and models against loops, partners that are wrong, records with intervals."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from m3ae.errors import UserError
from m3ae.evaluate.heldout import BATCH, measure, run_heldout
from m3ae.evaluate.heldout_pairs import HeldoutPairs
from m3ae.evaluate.hidden import constant_word_accuracy, hidden_errors, mean_of_visible_error
from m3ae.evaluate.reconstructions import rebuilt_pairs
from m3ae.model.masking import num_visible
from m3ae.model.patches import to_patches
from m3ae.model.weights import load_encoder
from m3ae.records import read_record
from m3ae.report.figure2 import make_figure2
from small_project import make_micro
from trained_files import save_first_weights

M3AE, MAE = "m3ae-b100", "mae-b100"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run = make_micro(folder)
        for name in (M3AE, MAE):
            save_first_weights(run, name)
        yield run


@pytest.fixture
def batch(run):
    samples = np.arange(5)
    return HeldoutPairs(run).batch(samples, samples)


def test_every_caption_gets_another_pairs_image_exactly_once(run):
    pairs = HeldoutPairs(run)
    partners = pairs.partners()
    assert len(pairs) == 20
    assert sorted(partners) == list(range(20))
    assert not np.any(partners == np.arange(20))


def test_what_is_hidden_depends_on_the_sample_alone(run):
    pairs = HeldoutPairs(run)
    together = pairs.batch(np.arange(8), np.arange(8))
    alone = pairs.batch(np.array([5]), np.array([2]))
    assert torch.equal(together.image_order[5], alone.image_order[0])
    assert torch.equal(together.text_order[2], alone.text_order[0])


def test_the_mean_of_the_visible_pixels_is_the_loops(batch):
    got = mean_of_visible_error(batch, 12, 0.75)
    patches = to_patches(batch.image, 12).reshape(5, 16, 144, 3)
    for b in range(5):
        visible, hidden = batch.image_order[b, :4].tolist(), batch.image_order[b, 4:].tolist()
        mean = torch.stack([patches[b, i].mean(0) for i in visible]).mean(0)
        expected = torch.stack([(patches[b, i] - mean).square().mean() for i in hidden]).mean()
        assert got[b].item() == pytest.approx(expected.item(), rel=1e-4)


def asked(batch, b):
    """Places of the hidden words of a caption, padding aside."""
    visible = num_visible(batch.text.shape[1], 0.75)
    return [i for i in batch.text_order[b, visible:].tolist() if not batch.padding[b, i]]


def test_a_constant_answer_is_right_where_that_word_stands(batch):
    word = int(batch.text[0, asked(batch, 0)[0]])
    got = constant_word_accuracy(batch, word, 0.75)
    for b in range(5):
        hits = [int(batch.text[b, i]) == word for i in asked(batch, b)]
        assert got[b].item() == pytest.approx(np.mean(hits))


def test_hidden_errors_are_those_of_the_models_predictions(run, batch):
    model = load_encoder(run.paths.encoder(M3AE))
    errors = hidden_errors(model, batch, with_text=True)
    with torch.inference_mode():
        out = model(**batch._asdict())
    patches = to_patches(batch.image, 12)
    for b in range(5):
        hidden = out.image_hidden[b]
        expected = (out.image_prediction[b][hidden] - patches[b][hidden]).square().mean()
        assert errors.image_error[b].item() == pytest.approx(expected.item(), rel=1e-5)
        hits = [out.text_logits[b, i].argmax().item() == batch.text[b, i].item() for i in asked(batch, b)]
        assert errors.word_accuracy[b].item() == pytest.approx(np.mean(hits))


def test_a_caption_without_a_hidden_word_is_not_counted(run, batch):
    padding = torch.ones_like(batch.padding)
    empty = batch._replace(padding=padding)
    assert torch.isnan(constant_word_accuracy(empty, 5, 0.75)).all()


def test_the_accuracy_beside_a_wrong_image_belongs_to_the_caption(run):
    """Measured per image, stored per caption: both have the same mean, in another order."""
    pairs = HeldoutPairs(run)
    values = measure(run, load_encoder(run.paths.encoder(M3AE)), pairs)
    partners = pairs.partners()
    assert len(pairs) < BATCH
    model = load_encoder(run.paths.encoder(M3AE))
    wrong = hidden_errors(model, pairs.batch(np.arange(20), partners), with_text=True).word_accuracy.double()
    for image, caption in enumerate(partners):
        assert values["word_accuracy_shuffled_image"][caption] == pytest.approx(
            wrong[image].item(), nan_ok=True
        )


def test_records_have_intervals_and_an_mae_has_no_words(run):
    for name in (M3AE, MAE):
        run_heldout(run, name)
    m3ae, mae = (read_record(run.paths.record(name, "heldout")) for name in (M3AE, MAE))
    assert set(mae.metrics) == {"image_error", "image_error_mean_visible", "image_error_gain_over_mean"}
    assert {"word_accuracy_image_gain", "image_error_caption_gain"} <= set(m3ae.metrics)
    for metric in m3ae.metrics.values():
        assert metric.low <= metric.value <= metric.high
    gain = m3ae.metrics["image_error_mean_visible"].value - m3ae.metrics["image_error"].value
    assert m3ae.metrics["image_error_gain_over_mean"].value == pytest.approx(gain)
    assert m3ae.settings == run.stage("heldout", M3AE)


def test_figure_2_shows_originals_masks_and_words(run):
    rebuilt = rebuilt_pairs(run)
    make_figure2(run, rebuilt)
    image = Image.open(run.paths.reports / "figure2.png")
    assert image.height > len(rebuilt) * 160  # a row of more than an inch for each
    facts = json.loads((run.paths.reports / "figure2.json").read_text())
    pictures = facts["samples"]
    assert len(pictures) == run.settings.heldout.num_pictures
    assert facts["alt"].startswith(f"{len(pictures)} held-out images")
    pairs = HeldoutPairs(run)
    for one in rebuilt:
        seen = (one.original == one.masked).reshape(4, 12, 4, 12, 3).all(axis=(1, 3, 4))
        assert seen.sum() == 4  # a quarter of 16 patches; there the rebuilt picture is the original, too
        kept = seen.repeat(12, axis=0).repeat(12, axis=1)
        assert np.array_equal(one.rebuilt[kept], one.original[kept])
    for sample, picture in enumerate(pictures):
        words = pairs.pairs.captions(sample)[0].lower().replace(".", "").split()
        said = "".join(piece.removeprefix("##") for piece, _, _ in picture["caption"])
        assert said == "".join(words)
        assert {type(hidden) for _, hidden, _ in picture["caption"]} <= {bool}


def test_weights_that_are_not_the_recorded_ones_are_measured_by_none(run):
    path = run.paths.encoder(M3AE)
    before = path.read_bytes()
    path.write_bytes(before[:-4] + b"\0\0\0\1")
    try:
        for measured in (lambda: run_heldout(run, M3AE), lambda: rebuilt_pairs(run)):
            with pytest.raises(UserError, match=r"expected the weights \w{12} .* got \w{12}; train again"):
                measured()
    finally:
        path.write_bytes(before)


def test_one_pair_alone_has_no_wrong_partner(run):
    heldout = run.settings.heldout.model_copy(update={"num_samples": 1})
    single = replace(run, settings=run.settings.model_copy(update={"heldout": heldout}))
    with pytest.raises(UserError, match=r"heldout: expected two pairs or more, .* got 1; raise heldout"):
        run_heldout(single, M3AE)
