"""Differences of M3AE and MAE beyond the figures: paired, counted, and none where a side is missing."""

import numpy as np
import pytest

import made_records as made
from m3ae.evaluate.bootstrap import interval_of_difference
from m3ae.report import gains
from m3ae.report.claims import M3AE, MAE
from m3ae.report.extended import extended_table, markdown
from test_tables import run  # noqa: F401


def write(run, model, **right):  # noqa: F811
    """A record of other probes, from their answers."""
    metrics = {
        name: made.percent_metric(100 * float(hits.mean()), correct=hits) for name, hits in right.items()
    }
    made.write(run, model, "probes-digit", metrics)


def test_a_gain_is_the_bootstrap_over_items_that_both_models_answered(run):  # noqa: F811
    rng = np.random.default_rng(0)
    ours, theirs = (rng.random(made.NUM) < share for share in (0.7, 0.5))
    write(run, M3AE, sweep=ours.astype(np.uint8))
    write(run, MAE, sweep=theirs.astype(np.uint8))
    found = gains.gain(run, "probes-digit", "sweep")
    statistics, seed = run.settings.statistics, run.settings.seed
    expected = interval_of_difference(ours, theirs, statistics.draws, statistics.confidence, seed).times(100)
    assert found == expected
    assert found.value == pytest.approx(100 * (ours.mean() - theirs.mean()))


def test_without_the_other_side_or_its_items_there_is_no_gain(run):  # noqa: F811
    write(run, M3AE, sweep=made.hits(0.6))
    assert gains.gain(run, "probes-digit", "sweep") is None
    made.write(run, MAE, "probes-digit", {"sweep": made.percent_metric(50.0)})
    assert gains.gain(run, "probes-digit", "sweep") is None


def test_tables_give_gains_and_how_many_chance_would_give(run):  # noqa: F811
    write(run, M3AE, sweep=made.hits(0.8), knn=made.hits(0.5), logistic=made.hits(0.2))
    write(run, MAE, sweep=made.hits(0.5), knn=made.hits(0.5), logistic=made.hits(0.6))
    table = extended_table(run, "probes")
    assert gains.note(run, gains.gains(run, table)).startswith(
        "Of 3 paired differences M3AE - MAE, 1 interval lies above 0 and 1 below; without any true "
        "difference about 0.2 would"
    )
    text = markdown(run, "probes", table, "alt")
    row = next(line for line in text.splitlines() if line.startswith("| best of the sweep"))
    assert "+30.0 [" in row
    assert "| M3AE - MAE" in text
