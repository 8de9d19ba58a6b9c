"""Detection metrics and their intervals against scikit-learn, naive loops and the AUROC intervals."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from m3ae.errors import UserError
from m3ae.evaluate.bootstrap import interval_of_auroc, resampled_counts
from m3ae.evaluate.detect.metrics import Detection, detection, interval_of_detection


def scikit_learns(scores_in, scores_out):
    """The same four from scikit-learn's functions."""
    is_in = np.repeat([1, 0], [len(scores_in), len(scores_out)])
    scores = np.concatenate([scores_in, scores_out])
    false, true, _ = roc_curve(is_in, scores, drop_intermediate=False)
    return Detection(
        roc_auc_score(is_in, scores),
        average_precision_score(is_in, scores),
        average_precision_score(1 - is_in, -scores),
        false[np.flatnonzero(true >= 0.95)[0]],
    )


def cases(number):
    """Scores of random sizes, from all different to nearly all equal."""
    rng = np.random.default_rng(0)
    for _ in range(number):
        num_in, num_out = rng.integers(1, 60, 2)
        levels = rng.choice([1, 2, 3, 10, 1e6])
        scores_in, scores_out = rng.normal(rng.normal(), 1, num_in), rng.normal(0, 1, num_out)
        yield np.round(scores_in * levels) / levels, np.round(scores_out * levels) / levels


def test_all_four_are_scikit_learns_ties_included():
    for scores_in, scores_out in cases(500):
        expected = scikit_learns(scores_in, scores_out)
        np.testing.assert_allclose(detection(scores_in, scores_out), expected, rtol=0, atol=1e-12)


def test_twenty_items_accept_nineteen_at_95_percent():
    scores_in = np.arange(20.0)
    assert detection(scores_in, np.array([0.5, 1.0, 3.0, 30.0])).fpr95 == 0.75
    assert detection(scores_in, np.array([0.5, 0.99, 3.0, 30.0])).fpr95 == 0.5


def test_float32_scores_and_long_lists_agree_too():
    rng = np.random.default_rng(1)
    scores_in = rng.normal(1, 1, 20_000).astype(np.float32).round(3)
    scores_out = rng.normal(0, 1, 7_000).astype(np.float32).round(3)
    expected = scikit_learns(scores_in, scores_out)
    np.testing.assert_allclose(detection(scores_in, scores_out), expected, rtol=0, atol=1e-12)


def test_perfect_useless_and_reversed_scores():
    low, high = np.zeros(30), np.ones(10)
    assert detection(high, low) == Detection(1, 1, 1, 0)
    assert detection(low, low[:10]) == Detection(0.5, 0.75, 0.25, 1)
    assert detection(low, high).auroc == 0
    assert detection(low, high).fpr95 == 1


def test_one_item_on_each_side_is_enough():
    assert detection(np.array([2.0]), np.array([1.0])) == Detection(1, 1, 1, 0)


def test_the_metrics_do_not_depend_on_the_order_of_the_items():
    scores_in, scores_out = next(cases(1))
    assert detection(scores_in[::-1], scores_out[::-1]) == detection(scores_in, scores_out)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(wrong):
    with pytest.raises(UserError, match=r"expected finite values, got .*(nan|inf) for item 1"):
        detection(np.array([1.0, wrong]), np.array([0.0]))
    with pytest.raises(UserError, match=r"expected finite values"):
        interval_of_detection(np.array([0.0]), np.array([1.0, wrong]), 10, 0.95, 0)


def test_an_empty_side_is_refused():
    with pytest.raises(UserError, match=r"expected at least one test item"):
        detection(np.array([1.0]), np.array([]))


@pytest.mark.parametrize("levels", [1, 1000])
def test_intervals_match_a_loop_of_scikit_learn_over_the_same_draws(levels):
    rng = np.random.default_rng(2)
    scores_in = np.round(rng.normal(1, 1, 23) * levels) / levels
    scores_out = np.round(rng.normal(0, 1, 31) * levels) / levels
    draws_of = [np.concatenate(list(resampled_counts(n, 60, 5, stream=s))) for s, n in enumerate((23, 31))]
    draws = [
        scikit_learns(np.repeat(scores_in, counts_in), np.repeat(scores_out, counts_out))
        for counts_in, counts_out in zip(*draws_of, strict=True)
    ]
    values = detection(scores_in, scores_out)
    got = interval_of_detection(scores_in, scores_out, 60, 0.9, 5)
    assert tuple(got) == Detection._fields
    for column, (name, interval) in enumerate(got.items()):
        low, high = np.percentile([draw[column] for draw in draws], [5, 95])
        np.testing.assert_allclose(interval, [getattr(values, name), low, high], rtol=0, atol=1e-12)


@pytest.mark.parametrize("levels", [2, 1e6])
def test_the_interval_of_the_auroc_is_the_one_of_all_other_records(levels):
    rng = np.random.default_rng(3)
    scores_in = np.round(rng.normal(1, 1, 700) * levels) / levels
    scores_out = np.round(rng.normal(0, 1, 400) * levels) / levels
    expected = interval_of_auroc(scores_in, scores_out, 300, 0.95, 7)
    assert interval_of_detection(scores_in, scores_out, 300, 0.95, 7)["auroc"] == expected


def test_long_lists_are_drawn_one_at_a_time():
    rng = np.random.default_rng(4)
    scores_in, scores_out = rng.normal(1, 1, 150_000), rng.normal(0, 1, 120_000)
    got = interval_of_detection(scores_in, scores_out, 3, 0.95, 0)["auroc"]
    assert got == interval_of_auroc(scores_in, scores_out, 3, 0.95, 0)
