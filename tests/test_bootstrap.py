"""Intervals against naive loops, scikit-learn and a case with a known coverage."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from m3ae.errors import UserError
from m3ae.evaluate import bootstrap
from m3ae.evaluate.auroc import auroc
from m3ae.evaluate.bootstrap import (
    interval_of_auroc,
    interval_of_auroc_difference,
    interval_of_difference,
    interval_of_mean,
    percentiles,
    resampled_counts,
)
from m3ae.records import Metric
from m3ae.report.results import check_interval


def sklearn_auroc(scores_in, scores_out):
    truth = np.repeat([1, 0], [len(scores_in), len(scores_out)])
    return roc_auc_score(truth, np.concatenate([scores_in, scores_out]))


def resamples(num, draws, seed, stream=0):
    """Item numbers of every draw, one by one."""
    for counts in np.concatenate(list(resampled_counts(num, draws, seed, stream=stream))):
        yield np.repeat(np.arange(num), counts)


def ends(draws, confidence):
    tail = 50 * (1 - confidence)
    return [np.percentile(draws, tail), np.percentile(draws, 100 - tail)]


def test_interval_of_mean_matches_a_loop_over_the_same_draws():
    values = np.random.default_rng(1).normal(size=37)
    got = interval_of_mean(values, 200, 0.9, seed=3)
    means = [values[items].mean() for items in resamples(37, 200, 3)]
    np.testing.assert_allclose(got, [values.mean(), *ends(means, 0.9)], atol=1e-12)


@pytest.mark.parametrize("levels", [4, 1000], ids=["many ties", "few ties"])
def test_interval_of_auroc_matches_sklearn_over_the_same_draws(levels):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, levels, 40) + levels // 4, rng.integers(0, levels, 70)
    got = interval_of_auroc(a, b, 150, 0.95, seed=5)
    pairs = zip(resamples(40, 150, 5), resamples(70, 150, 5, stream=1), strict=True)
    draws = [sklearn_auroc(a[i], b[j]) for i, j in pairs]
    np.testing.assert_allclose(got, [sklearn_auroc(a, b), *ends(draws, 0.95)], atol=1e-12)


def test_interval_of_auroc_difference_takes_the_same_items_for_both_models():
    rng = np.random.default_rng(0)
    a = rng.normal(1, 1, 30), rng.normal(0, 1, 50)
    b = a[0] + rng.normal(0, 1, 30), a[1] + rng.normal(0, 1, 50)
    got = interval_of_auroc_difference(a, b, 100, 0.95, seed=5)
    pairs = zip(resamples(30, 100, 5), resamples(50, 100, 5, stream=1), strict=True)
    draws = [sklearn_auroc(a[0][i], a[1][j]) - sklearn_auroc(b[0][i], b[1][j]) for i, j in pairs]
    np.testing.assert_allclose(got, [sklearn_auroc(*a) - sklearn_auroc(*b), *ends(draws, 0.95)], atol=1e-12)


def test_interval_of_difference_is_that_of_the_paired_differences():
    rng = np.random.default_rng(0)
    a, b = rng.random(80) < 0.7, rng.random(80) < 0.5
    got = interval_of_difference(a, b, 300, 0.95, seed=2)
    draws = [a[items].mean() - b[items].mean() for items in resamples(80, 300, 2)]
    np.testing.assert_allclose(got, [a.mean() - b.mean(), *ends(draws, 0.95)], atol=1e-12)


def test_equal_models_differ_by_exactly_nothing():
    scores = np.arange(9.0), np.arange(5.0)
    assert interval_of_auroc_difference(scores, scores, 50, 0.95, seed=0) == (0, 0, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_auroc_equals_sklearn_with_ties(dtype):
    rng = np.random.default_rng(4)
    a, b = rng.normal(0.3, 1, 500).round(1).astype(dtype), rng.normal(0, 1, 700).round(1).astype(dtype)
    assert abs(auroc(a, b) - sklearn_auroc(a, b)) < 1e-9


def test_auroc_by_hand():
    assert auroc(np.array([1.0, 2.0]), np.array([0.0, 1.0])) == (1 + 0.5 + 1 + 1) / 4


def test_about_95_of_100_intervals_contain_the_true_mean():
    rng = np.random.default_rng(0)
    intervals = [interval_of_mean(rng.random(200) < 0.3, 400, 0.95, seed=i) for i in range(400)]
    coverage = np.mean([low <= 0.3 <= high for _, low, high in intervals])
    assert 0.91 < coverage < 0.98  # 0.95 +- 3.5 standard errors, and the percentile method's small bias


def test_an_interval_does_not_depend_on_the_size_of_the_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 33), rng.normal(0, 1, 21)
    whole = interval_of_auroc(a, b, 64, 0.95, seed=1)
    monkeypatch.setattr(bootstrap, "CHUNK", 50)
    assert interval_of_auroc(a, b, 64, 0.95, seed=1) == whole


def test_draws_are_uniform_and_depend_on_the_seed():
    counts = np.concatenate(list(resampled_counts(10, 4000, seed=0)))
    assert (counts.sum(axis=1) == 10).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.08)
    np.testing.assert_allclose(counts.var(axis=0), 0.9, atol=0.1)  # binomial(10, 1/10)
    assert not np.array_equal(counts[0], next(resampled_counts(10, 1, seed=1))[0])


def test_percent_scales_all_three():
    assert interval_of_mean(np.ones(3), 10, 0.95, seed=0).times(100.0) == (100, 100, 100)


@pytest.mark.parametrize("value", [0.1, 0.2, 0.7])
def test_an_interval_holds_its_value_whatever_the_sums_round_to(value):
    for num in range(2, 40):
        got = interval_of_mean(np.full(num, value), 50, 0.95, seed=0)
        assert got.low <= got.value <= got.high
        assert got.high - got.low < 1e-12
        check_interval(Path("probe.json"), "accuracy", Metric(**got._asdict(), n=num, unit="%"))


def test_the_ends_of_biased_draws_include_the_value():
    assert percentiles(0.5, np.full(10, 0.6), 0.95) == (0.5, 0.5, 0.6)
    assert percentiles(0.5, np.full(10, 0.4), 0.95) == (0.5, 0.4, 0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [([], "expected at least one test item"), ([1.0, np.nan], "got nan for item 1")],
)
def test_empty_and_broken_items_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        interval_of_mean(np.array(values), 10, 0.95, seed=0)


def test_unequal_test_sets_cannot_be_paired():
    with pytest.raises(UserError, match="expected the same test items, got 3 and 4"):
        interval_of_difference(np.ones(3), np.ones(4), 10, 0.95, seed=0)
