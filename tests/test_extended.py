"""Beyond the figures, from the features of a small encoder to records, tables and charts."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from sklearn.metrics import average_precision_score, roc_auc_score
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from m3ae.cli.main import main
from m3ae.config.evaluation import EvalSplit
from m3ae.data.evalsets.evalsets import EvalImages
from m3ae.errors import UserError
from m3ae.evaluate.attack.robustness import run_robustness
from m3ae.evaluate.detect.detection import run_detection
from m3ae.evaluate.detect.odin import PixelOdin
from m3ae.evaluate.detect.reconstruction import Rebuilder
from m3ae.evaluate.detect.scores import SCORES
from m3ae.evaluate.heads import augmented
from m3ae.evaluate.heads.augmented import run_augmented
from m3ae.evaluate.heads.probes import run_probes
from m3ae.evaluate.heads.views import AugmentedImages, settings_for
from m3ae.evaluate.heldout import on_evaluation_sets
from m3ae.evaluate.scores import max_softmax_score
from m3ae.evaluate.shift.corruptions import ALEXNET, corrupt
from m3ae.evaluate.shift.shifted import changes, evenly, run_shift
from m3ae.evaluate.stored import Features
from m3ae.records import read_record
from m3ae.report.extended import extended_table, make_extended
from m3ae.report.format import rounded
from test_features import CONFIG, MODEL, evaluated, run  # noqa: F401

METRICS = ("auroc", "aupr_in", "aupr_out", "fpr95")


def changed(run, part, **settings):  # noqa: F811
    """The run with other settings of a part of `extended`."""
    extended = run.settings.extended
    own = getattr(extended, part).model_copy(update=settings)
    extended = extended.model_copy(update={part: own})
    return replace(run, settings=run.settings.model_copy(update={"extended": extended}))


@pytest.fixture
def named(evaluated):  # noqa: F811
    """With a tokenizer for the names of classes, and the paper's numbers."""
    vocab = {name: place for place, name in enumerate(["[PAD]", "[UNK]", "dark", "grey", "light"])}
    tokenizer = Tokenizer(WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    evaluated.paths.tokenizer.parent.mkdir(parents=True)
    tokenizer.save(str(evaluated.paths.tokenizer))
    shutil.copy(CONFIG / "paper_numbers.csv", "config")
    return evaluated


@pytest.fixture
def quick(named):
    """Little of everything."""
    small = changed(named, "probes", epochs=3, draws=2, shots=[1, 2], neighbours=[3, 5], penalties=[1.0])
    small = changed(small, "shift", num_samples=10, corruptions=["contrast", "fog"], severities=[1, 5])
    attack = small.settings.extended.robustness.attacks[0].model_copy(
        update={"name": "pgd5", "radii": [0.01, 0.1]}
    )
    small = changed(small, "robustness", num_samples=8, batch_size=3, attacks=[attack])
    return changed(small, "detection", masks=1)


def test_probes_are_chosen_on_training_images_alone(quick, monkeypatch):
    run_probes(quick, MODEL)
    path = quick.paths.record(MODEL, "probes-shade")
    record = read_record(path)
    assert set(record.metrics) == {"sweep", "logistic", "knn", "shots1", "shots2"}
    assert record.details["sweep"]["heads"] == 26  # 13 rates x 2 poolings of the only block
    true = Features.labels

    def shuffled(self, dataset, split, label, num_classes):
        labels = true(self, dataset, split, label, num_classes)
        return (labels + 1) % num_classes if split == "test" else labels

    monkeypatch.setattr(Features, "labels", shuffled)
    run_probes(quick, MODEL)
    other = read_record(path)
    assert other.details == record.details | {
        name: fact | {"of_each_draw": other.details[name]["of_each_draw"]}
        for name, fact in record.details.items()
        if name.startswith("shots")
    }
    assert other.metrics["knn"].value != record.metrics["knn"].value


def test_heads_on_augmented_images_are_the_authors_probe_its_best_epoch_and_fine_tuning(quick):
    run_augmented(quick, MODEL)
    record = read_record(quick.paths.record(MODEL, "augmented-shade"))
    assert set(record.metrics) == {"linear", "linear_selected_on_test", "finetuned"}
    of_each_epoch = record.details["linear"]["of_each_epoch"]
    assert len(of_each_epoch) == 3 + 1  # after the first step of each epoch, and after the last step
    assert record.metrics["linear"].value == pytest.approx(of_each_epoch[-1])
    assert record.details["linear_selected_on_test"]["num_test"] == 16  # of 24: whole batches of 16 alone
    chosen = read_record(quick.paths.record(MODEL, "probe-shade")).details["base_lr"]
    assert record.details["linear"]["base_lr"] == chosen
    run_augmented(quick, MODEL)
    again = read_record(quick.paths.record(MODEL, "augmented-shade"))
    assert (again.metrics, again.details) == (record.metrics, record.details)


def test_test_labels_move_the_selected_epoch_alone(quick, monkeypatch):
    """What is chosen on the test set says so; nothing else of the target looks at it before its end."""
    run_augmented(quick, MODEL)
    path = quick.paths.record(MODEL, "augmented-shade")
    before, true = read_record(path), EvalImages.labels
    weights = {}
    monkeypatch.setattr(
        augmented, "is_correct", lambda probe, *test: weights.setdefault(len(weights), probe) and test[1] >= 0
    )
    run_augmented(quick, MODEL)
    first = weights.copy()
    weights.clear()
    monkeypatch.setattr(
        Features,
        "labels",
        lambda self, d, split, label, n: (true(EvalImages(quick, d, split), label) + (split == "test")) % n,
    )
    run_augmented(quick, MODEL)
    assert torch.equal(first[0].linear.weight, weights[0].linear.weight)  # the last epoch's
    after = read_record(path)
    assert after.details["linear"]["base_lr"] == before.details["linear"]["base_lr"]


def test_augmented_heads_read_whole_features_and_the_rate_that_was_chosen_on_them(quick):
    path = quick.paths.features(MODEL)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match=r"features\.safetensors: expected the bytes \w{12} .* got \w{12}"):
        run_augmented(quick, MODEL)
    quick.paths.record(MODEL, "features").unlink()  # the probe's record still knows them
    with pytest.raises(UserError, match=r"probe-shade\.json: expected a probe of the features \w{12}, got"):
        run_augmented(quick, MODEL)
    path.write_bytes(whole)
    run_augmented(quick, MODEL)


def test_an_epoch_is_whole_batches_in_its_own_order_and_crops(quick):
    settings = settings_for(quick, MODEL, quick.extended.augmented)
    classes = EvalImages(quick, "scenes", "train").labels("shade")
    images = AugmentedImages(quick, quick.task("shade"), settings, classes)
    first, again, second = (list(images.epoch(epoch, 16)) for epoch in (0, 0, 1))
    assert [len(batch) for batch, _ in first] == [16, 16, 16]  # of 60
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert not torch.equal(first[0][1], second[0][1])
    ranks = {shade: [] for shade in range(3)}
    for batch, shades in first:
        for image, shade in zip(batch, shades.tolist(), strict=True):
            ranks[shade].append(image.mean().item())
    assert max(ranks[0]) < min(ranks[1]) < max(ranks[1]) < min(ranks[2])  # an image keeps its class


def test_every_score_has_its_four_metrics_as_scikit_learn_gives_them(quick):
    run_detection(quick, MODEL)
    record = read_record(quick.paths.record(MODEL, "detection-textures"))
    names = [*SCORES, "odin_pixels", "reconstruction", "text_reconstruction"]
    assert {f"{name}_{metric}" for name in names for metric in METRICS} == set(record.metrics)
    assert len(names) >= 20
    features = Features(quick, MODEL)
    from m3ae.evaluate.ood import classifier_of, open_probes

    probe = classifier_of(open_probes(quick, MODEL, features), quick.task("shade"))
    inside, outside = (
        max_softmax_score(probe.logits(features.features(name, "test"))).astype(np.float32)
        for name in ("scenes", "textures")
    )
    truth = np.r_[np.ones(len(inside)), np.zeros(len(outside))]
    scores = np.r_[inside, outside]
    assert record.metrics["msp_auroc"].value == pytest.approx(100 * roc_auc_score(truth, scores), abs=1e-7)
    expected = 100 * average_precision_score(1 - truth, -scores)
    assert record.metrics["msp_aupr_out"].value == pytest.approx(expected, abs=1e-7)


def test_images_of_other_sets_are_rebuilt_where_the_run_names_them(quick):
    """The paper's summary speaks of errors on CC12M and on ImageNet: here of scenes and textures."""
    assert on_evaluation_sets(quick, MODEL) == {}
    settings = quick.settings
    sets = [EvalSplit(dataset=name, split="test") for name in ("scenes", "textures")]
    heldout = settings.heldout.model_copy(update={"images": sets})
    named = replace(quick, settings=settings.model_copy(update={"heldout": heldout}))
    found = on_evaluation_sets(named, MODEL)
    assert set(found) == {"image_error_scenes", "image_error_textures"}
    assert (found["image_error_scenes"].n, found["image_error_textures"].n) == (24, 18)
    errors = Rebuilder(named, MODEL, masks=1).errors(sets[1])
    assert found["image_error_textures"].value == pytest.approx(errors.mean())
    assert found["image_error_textures"].low < errors.mean() < found["image_error_textures"].high


def test_an_images_corruption_depends_on_its_row_alone(quick):
    views = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    rows = np.array([3, 5, 8, 9])
    whole = dict(changes(quick, views, rows, "test"))
    part = dict(changes(quick, views[2:], rows[2:], "test"))
    for key, found in part.items():
        np.testing.assert_array_equal(found, whole[key][2:])
    expected = corrupt(views[1], "fog", 5, seed=quick.settings.seed, item=5)
    np.testing.assert_array_equal(whole["fog", 5][1], expected)
    assert evenly(10, 4).tolist() == [0, 3, 6, 9]
    assert evenly(3, 10).tolist() == [0, 1, 2]


@pytest.mark.parametrize("stage", [run_shift, run_robustness, run_detection, PixelOdin, Rebuilder])
def test_weights_that_are_not_the_recorded_ones_are_measured_by_none(quick, stage):
    """Though the stored features are of the right ones."""
    path = quick.paths.encoder(MODEL)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")
    beside = {PixelOdin: [None], Rebuilder: [1]}
    with pytest.raises(UserError, match=r"expected the weights \w{12} .* got \w{12}; train again"):
        stage(quick, MODEL, *beside.get(stage, []))


def test_clean_accuracy_under_shift_is_the_probes_own(quick):
    everything = changed(quick, "shift", num_samples=1000)
    run_shift(everything, MODEL)
    record = read_record(quick.paths.record(MODEL, "shift-shade"))
    probe = read_record(quick.paths.record(MODEL, "probe-shade"))
    assert record.metrics["clean"].value == pytest.approx(probe.metrics["accuracy"].value)
    both = [record.metrics[f"fog_{severity}"].value for severity in (1, 5)]
    assert record.metrics["fog"].value == pytest.approx(np.mean(both))
    kinds = [record.metrics[kind].value for kind in ("contrast", "fog")]
    baselines = [ALEXNET[kind] for kind in ("contrast", "fog")]
    relative = [(100 - value) / baseline for value, baseline in zip(kinds, baselines, strict=True)]
    assert record.metrics["mean_corruption_error"].value == pytest.approx(100 * np.mean(relative))


def test_an_unknown_corruption_or_attack_is_refused_before_anything_is_computed(quick, monkeypatch):
    monkeypatch.setattr(EvalImages, "__init__", None)
    with pytest.raises(UserError, match=r"corruption 'rain': expected one of"):
        run_shift(changed(quick, "shift", corruptions=["rain"]), MODEL)
    attack = quick.settings.extended.robustness.attacks[0].model_copy(update={"name": "magic"})
    with pytest.raises(UserError, match=r"attack 'magic': expected pgdN"):
        run_robustness(changed(quick, "robustness", attacks=[attack]), MODEL)


def test_under_attack_accuracy_falls_from_the_clean_one(quick):
    run_robustness(quick, MODEL)
    metrics = read_record(quick.paths.record(MODEL, "robustness")).metrics
    values = [metrics[name].value for name in ("clean", "pgd5_linf_0.01", "pgd5_linf_0.1")]
    assert values == sorted(values, reverse=True)
    assert not (quick.paths.state(MODEL) / "robustness").exists()


def test_tables_and_charts_have_every_number_with_its_interval(quick):
    run_probes(quick, MODEL)
    run_robustness(quick, MODEL)
    run_augmented(quick, MODEL)
    for name in ("probes", "augmented", "robustness"):
        make_extended(quick, name)
        table = pd.read_csv(quick.paths.reports / f"{name}.csv")
        assert (table["low"] <= table["ours"]).all()
        assert (table["ours"] <= table["high"]).all()
        assert all(Path(path).is_file() for path in table["record"])
        text = (quick.paths.reports / f"{name}.md").read_text()
        assert f"{rounded(table['ours'].iloc[0])} [" in text
    path = quick.paths.record(MODEL, "robustness")
    record = read_record(path)
    broken = record.metrics["clean"].model_copy(update={"low": 100.0, "value": 50.0})
    record.model_copy(update={"metrics": {"clean": broken}}).write(path)
    with pytest.raises(UserError, match=r"clean: expected an interval around 50.0"):
        extended_table(quick, "robustness")


def test_commands_print_their_numbers(named):
    result = CliRunner().invoke(main, ["detection", "--run", "little", "--model", MODEL])
    assert result.exit_code == 0, result.output
    assert f"{MODEL} detection-textures: vim_auroc " in result.output
    result = CliRunner().invoke(main, ["captions", "--run", "little", "--model", "mae-b100"])
    assert result.exit_code == 1
