"""Concepts of captions: labels, average precision with its interval, nothing chosen on the test set."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from m3ae.config import Run
from m3ae.config.evaluation import Concepts
from m3ae.config.load import merge
from m3ae.config.models import RunSettings
from m3ae.errors import UserError
from m3ae.evaluate.bootstrap import resampled_counts
from m3ae.evaluate.concepts import choose_penalties, run_concepts
from m3ae.evaluate.pairs.labels import concepts_in
from m3ae.evaluate.pairs.stored import PairFeatures
from m3ae.evaluate.precision import bootstrap, interval_of_precision, precisions, ranked, weighted_precision
from m3ae.records import read_record
from m3ae.report.claims import Claim
from m3ae.report.verdicts import difference
from m3ae.train.loop import pretrain
from small_project import make_micro

WORDS = {"red": ["red"], "size": ["large", "small"]}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of made-up pairs with two concepts."""
    monkeypatch.chdir(tmp_path)
    run = make_micro(tmp_path)
    changes = {
        "concepts": {"words": WORDS, "penalties": [1.0, 100.0], "validation_share": 0.3},
        "models": {"m3ae-b100": {"epochs": 0.5}, "mae-b100": {"epochs": 0.5}},
    }
    return Run(run.name, RunSettings.model_validate(merge(run.settings.plain(), changes)))


def scores(images=60, concepts=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.random((images, concepts)) < 0.3
    return labels, (labels + rng.normal(0, 1.5, labels.shape)).astype(np.float16)


def test_an_image_has_a_concept_if_any_caption_names_it_as_a_word():
    said = [["A Red ball.", "a ball"], ["a redder ball", "nothing"], ["the (small)", "x-large"]]
    assert [concepts_in(captions, WORDS) for captions in said] == [
        [True, False],
        [False, False],
        [False, True],
    ]


@pytest.mark.parametrize("levels", [3, 12, 1000], ids=["many ties", "some ties", "few ties"])
def test_a_draw_is_what_scikit_learn_says_of_the_drawn_images(levels):
    rng = np.random.default_rng(1)
    labels, found = rng.random(40) < 0.4, rng.integers(0, levels, 40).astype(np.float16)
    counts = np.concatenate([np.ones((1, 40), np.int64), rng.multinomial(40, np.full(40, 1 / 40), size=20)])
    for drawn, got in zip(counts, weighted_precision(counts, ranked(labels, found)), strict=True):
        expected = average_precision_score(np.repeat(labels, drawn), np.repeat(found, drawn))
        assert got == pytest.approx(expected, abs=1e-12)


def test_a_draw_sums_the_precision_at_every_image_that_has_the_concept():
    rng = np.random.default_rng(2)
    counts = rng.multinomial(30, np.full(30, 1 / 30), size=5)
    for right in (rng.random(30) < 0.3, np.arange(30) < 2, np.arange(30) >= 28, np.ones(30, bool)):
        for drawn, found in zip(
            counts, weighted_precision(counts, ranked(right, -np.arange(30))), strict=True
        ):
            hits = [drawn[: i + 1] @ right[: i + 1] / max(drawn[: i + 1].sum(), 1) for i in range(30)]
            expected = drawn * right @ np.array(hits) / (drawn @ right) if drawn @ right else np.nan
            assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_scores_that_say_nothing_have_the_chance_in_every_draw():
    """Whatever the order of the images: those with the concept may come first."""
    labels = (np.arange(400) < 100)[:, None]
    got = interval_of_precision(labels, [np.zeros((400, 1))], [1.0], 500, 0.95, 0)
    shares = [drawn[:100].sum() / 400 for counts in resampled_counts(400, 500, 0) for drawn in counts]
    assert got == pytest.approx((0.25, *np.quantile(shares, [0.025, 0.975])))


def test_draws_without_the_concept_are_left_out():
    labels, found = np.zeros((50, 2), bool), np.random.default_rng(3).normal(size=(50, 2))
    labels[:2, 0], labels[:25, 1] = True, True
    counts = np.concatenate(list(resampled_counts(50, 300, 4)))
    left = counts[counts[:, :2].sum(axis=1) > 0]
    assert len(left) < 300
    columns = [[np.repeat(column, drawn) for column in (*labels.T, *found.T)] for drawn in left]
    naive = [np.mean([average_precision_score(*each) for each in ((a, c), (b, d))]) for a, b, c, d in columns]
    np.testing.assert_allclose(bootstrap(labels, [found], [1.0], 300, 4), naive, atol=1e-12)


def test_a_concept_that_no_draw_has_is_one_line():
    with pytest.raises(UserError, match=r"expected draws .* with every concept, got none of 20"):
        bootstrap(np.zeros((9, 1), bool), [np.ones((9, 1))], [1.0], 20, 0)


def test_the_interval_holds_the_value_and_is_the_same_each_time():
    labels, found = scores()
    first, again = (interval_of_precision(labels, [found], [1.0], 400, 0.95, 3) for _ in range(2))
    assert first == again
    assert first.value == pytest.approx(np.mean(precisions(labels, found)))
    assert first.low < first.value < first.high
    assert len(bootstrap(labels, [found], [1.0], 400, 3)) == 400
    same = interval_of_precision(labels, [found, found], [1.0, -1.0], 100, 0.95, 3)
    assert same == (0, 0, 0)


def test_a_model_that_knows_is_better_than_one_that_guesses():
    labels, _ = scores()
    known, guessed = (labels * 2.0).astype(np.float16), np.random.default_rng(5).normal(size=labels.shape)
    gain = interval_of_precision(labels, [known, guessed.astype(np.float16)], [1.0, -1.0], 400, 0.95, 0)
    assert gain.low > 0.3
    assert precisions(labels, known) == [1.0, 1.0, 1.0]


def test_a_record_holds_what_comparisons_need(run):
    for model in ("m3ae-b100", "mae-b100"):
        pretrain(run, model)
        run_concepts(run, model)
    record = read_record(run.paths.record("m3ae-b100", "concepts"))
    metric, details = record.metrics["mean_average_precision"], record.details
    assert metric.n == details["num_test"]
    assert set(details["average_precision"]) == set(details["penalty"]) == set(WORDS)
    assert metric.value == pytest.approx(np.mean(list(details["average_precision"].values())))
    assert len(metric.items["scores"].unpack()) == 2 * metric.n
    claim = Claim("ours", "", "m3ae-b100", "mae-b100", "concepts", "mean_average_precision")
    other = read_record(run.paths.record("mae-b100", "concepts")).metrics["mean_average_precision"]
    assert difference(run, claim).value == pytest.approx(metric.value - other.value)


def test_labels_of_the_test_images_choose_nothing(run, monkeypatch):
    pretrain(run, "m3ae-b100")
    run_concepts(run, "m3ae-b100")
    before = read_record(run.paths.record("m3ae-b100", "concepts"))
    honest = PairFeatures.labels

    def turned_round(pairs, split, *asked):
        labels = honest(pairs, split, *asked)
        return labels if split == "train" else ~labels

    monkeypatch.setattr(PairFeatures, "labels", turned_round)
    run_concepts(run, "m3ae-b100")
    after = read_record(run.paths.record("m3ae-b100", "concepts"))
    assert after.details["penalty"] == before.details["penalty"]
    name = "mean_average_precision"
    scored = [record.metrics[name].items["scores"] for record in (before, after)]
    assert scored[0] == scored[1]
    assert before.metrics[name].value != after.metrics[name].value


def test_the_penalty_is_chosen_for_each_concept(run):
    x = np.random.default_rng(0).normal(size=(50, 4))
    labels = np.stack([x[:, 0] > 0, x[:, 1] > 0.5], axis=1)
    assert set(choose_penalties(run, x, labels)) <= {1.0, 100.0}


@pytest.mark.parametrize(("seed", "left"), [(4, "all"), (25, "none")])
def test_a_share_that_holds_out_nothing_or_everything_is_one_line(run, seed, left):
    settings = run.settings.model_copy(update={"seed": seed})
    message = rf"concepts\.validation_share: 0\.3 of 3 training images left {left} to learn from"
    with pytest.raises(UserError, match=message):
        choose_penalties(replace(run, settings=settings), np.zeros((3, 2)), np.eye(3, 2, dtype=bool))


@pytest.mark.parametrize("form", ["Ice", "ice cream", "t-shirt", "", "2"])
def test_a_word_that_no_caption_can_have_is_refused(run, form):
    plain = run.settings.concepts.model_dump() | {"words": {"dessert": ["gelato", form]}}
    with pytest.raises(ValueError, match=r"words\.dessert\.1\n.*expected one word of letters in lower case"):
        Concepts(**plain)


@pytest.mark.parametrize(("is_rare", "found"), [(True, r"0 of \d+"), (False, r"(\d+) of \1")])
def test_a_concept_that_is_held_out_with_all_its_images_is_one_line(run, is_rare, found):
    """The split does not look at labels: both images of a rare concept may be held out."""
    with pytest.raises(UserError, match=rf"concepts\.words\.size: .*, found it in {found}; change its words"):
        choose_penalties(run, *rare(run, held_out=True, is_rare=is_rare))


@pytest.mark.filterwarnings("ignore:No positive class found")
def test_a_concept_that_no_held_out_image_has_gets_the_first_penalty(run):
    chosen = choose_penalties(run, *rare(run, held_out=False, is_rare=True))
    assert chosen[1] == run.settings.concepts.penalties[0]


def rare(run, held_out, is_rare):
    """Features, and labels of two concepts: the second is one of two images of one part, or of all others."""
    x = np.random.default_rng(0).normal(size=(50, 4))
    held = np.random.default_rng(run.settings.seed).random(50) < 0.3
    few = np.zeros(50, bool)
    few[np.flatnonzero(held == held_out)[:2]] = True
    return x, np.stack([x[:, 0] > 0, few == is_rare], axis=1)


def test_a_concept_that_nobody_names_is_refused(run):
    changed = merge(run.settings.plain(), {"concepts": {"words": {"whale": ["whale"]}}})
    pretrain(run, "m3ae-b100")
    whales = Run(run.name, RunSettings.model_validate(changed))
    with pytest.raises(UserError, match=r"concepts\.words\.whale: expected some images of train with it"):
        run_concepts(whales, "m3ae-b100")


def test_a_run_without_concepts_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_micro(tmp_path)
    with pytest.raises(UserError, match="concepts: run 'micro' has none"):
        run_concepts(run, "m3ae-b100")
