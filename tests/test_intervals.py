"""Intervals as reports show them: where the percentiles of a record are known to say too little."""

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import t as student

from m3ae.evaluate.precision import interval_of_precision, precisions
from m3ae.records import Items, Metric, Record
from m3ae.report.intervals import over_draws, shown, within


def record(metrics, details=None):
    facts = {"run": "micro", "model": "m3ae-b100", "stage": "probes", "subject": "digit"}
    return Record(
        **facts, metrics=metrics, details=details or {}, settings={}, inputs={}, seeds=[], provenance={}
    )


def metric(value, low, high, n=100, unit="%", **items):
    return Metric(
        value=value, low=low, high=high, n=n, unit=unit,
        items={name: Items.pack(np.asarray(values)) for name, values in items.items()},
    )  # fmt: skip


def ends(one, details=None):
    found = shown(record({"a": one}, details), 0.95).metrics["a"]
    assert found.value == one.value
    return found.low, found.high


def test_an_ordinary_interval_is_that_of_the_record():
    assert ends(metric(40.0, 35.0, 46.0, correct=[1, 0])) == (35.0, 46.0)
    assert ends(metric(0.5, 0.5, 0.5, unit="percentage points")) == (0.5, 0.5)


PRECISION = {"labels": [1, 0], "scores": [0.5, 0.1], "images": [2]}


def test_the_bias_of_an_average_precision_is_taken_off():
    assert ends(metric(40.0, 39.0, 43.0, **PRECISION)) == (37.0, 41.0)
    assert ends(metric(2.0, 1.0, 9.0, **PRECISION)) == (0.0, 3.0)


def test_basic_intervals_of_average_precision_hold_the_truth_more_often_than_percentiles():
    """Twelve concepts that 4 % of the images have each, 300 images; the truth from 50,000."""
    rng = np.random.default_rng(0)

    def draw(num):
        labels = rng.random((num, 12)) < 0.04
        return labels, rng.normal(size=(num, 12)) + labels

    truth = 100 * np.mean(precisions(*draw(50_000)))
    percentile = basic = 0
    for seed in range(60):
        labels, scores = draw(300)
        found = interval_of_precision(labels, [scores], [1.0], 300, 0.95, seed).times(100)
        low, high = ends(metric(*found, **PRECISION))
        percentile += found.low <= truth <= found.high
        basic += low <= truth <= high
    assert percentile < 40  # it should be 57
    assert basic > 50


@pytest.mark.parametrize("n", [1, 64, 128])
def test_none_and_all_of_n_have_the_exact_far_end(n):
    exact = binomtest(0, n).proportion_ci(0.95, method="exact")
    assert ends(metric(0.0, 0.0, 0.0, n, correct=[0] * n)) == pytest.approx((0, 100 * exact.high))
    assert ends(metric(100.0, 100.0, 100.0, n, correct=[1] * n)) == pytest.approx(
        (100 - 100 * exact.high, 100)
    )


def test_few_shot_intervals_speak_of_the_draws_of_training_images_too():
    draws = [31.5, 32.0, 33.5, 31.0, 38.0]
    low, high = ends(metric(33.2, 32.2, 34.2), {"a": {"of_each_draw": draws}})
    half = np.hypot(student.ppf(0.975, 4) * np.std(draws, ddof=1) / np.sqrt(5), 1.0)
    assert (low, high) == pytest.approx((33.2 - half, 33.2 + half))
    assert over_draws(1.0, 3.0, [2.0, 2.0], 0.95) == pytest.approx((1.0, 3.0))


def test_silhouettes_of_earlier_records_are_twice_as_wide():
    one = metric(0.1, 0.09, 0.12, unit="silhouette, -1 to 1", silhouette=[0.1, 0.2])
    assert ends(one) == pytest.approx((0.08, 0.14))


def test_shares_end_at_0_and_100_and_differences_do_not():
    assert within(95.0, 104.0, "%") == (95.0, 100.0)
    assert within(-3.0, 5.0, "%") == (0.0, 5.0)
    assert within(-3.0, 5.0, "percentage points") == (-3.0, 5.0)
