"""Figures 4 and 5, several seeds of a row, and what each figure needs of the workflow."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_ind

import made_records as made
from m3ae.config import Run, load_run
from m3ae.config.load import merge
from m3ae.config.models import RunSettings
from m3ae.config.printed import figure_models, figure_rows, printed_models
from m3ae.evaluate.bootstrap import Interval
from m3ae.report.claims import Claim, own_claims, paper_claims
from m3ae.report.combined import across, combine
from m3ae.report.figures import make_figure
from m3ae.report.orderings import seeds
from m3ae.report.tables import figure_table
from m3ae.report.verdicts import FAILS, HOLDS, NOT_RESOLVED, difference, judge
from test_workflow import copy_project, planned

PROBE = "probe-digit"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return made.make_project(tmp_path)


def with_repeats(run, repeats):
    return Run(run.name, RunSettings.model_validate(merge(run.settings.plain(), {"repeats": repeats})))


def test_every_printed_cell_has_a_row(run):
    four, five = figure_table(run, "figure4"), figure_table(run, "figure5")
    assert four.groupby("panel", sort=False).size().to_dict() == {"epochs": 6, "size": 6}
    assert set(four.loc[four["model"] == "m3ae-l50", "panel"]) == {"epochs", "size"}
    assert list(five["model"]) == ["m3ae-l50-text15", "m3ae-l50-text50", "m3ae-l50", "m3ae-l50-text90"]
    assert list(five["paper_v3"]) == [45.9, 61.0, 64.1, 63.9]
    assert set(four["verdict"]) == set(five["verdict"]) == {"not run"}
    assert four["ours"].isna().all()


def test_twenty_models_are_printed_and_all_runs_have_them():
    models = printed_models()
    assert len(models) == 20
    for name in ("tiny", "photos", "paper"):
        assert set(models) <= set(load_run(name).rows)


@pytest.mark.parametrize("known", ["all", "some", "none"])
def test_the_charts_are_drawn_whatever_was_run(run, known):
    rows = {
        "all": figure_rows(run, "figure4") + figure_rows(run, "figure5"),
        "some": ["m3ae-l50"],
        "none": [],
    }
    for number, model in enumerate(dict.fromkeys(rows[known])):
        made.write_probe(run, model, "digit", made.hits(0.4 + 0.02 * number))
    for name in ("figure4", "figure5"):
        make_figure(run, name)
        for kind in ("csv", "md", "svg", "png"):
            assert (run.paths.reports / f"{name}.{kind}").stat().st_size > 0
        text = (run.paths.reports / f"{name}.md").read_text()
        assert run.settings.banner in text
    measured = pd.read_csv(run.paths.reports / "figure4.csv")["ours"].notna().sum()
    assert measured == {"all": 12, "some": 2, "none": 0}[known]


def test_a_comparable_run_is_drawn_on_the_papers_scale(run):
    changed = merge(run.settings.plain(), {"check": {"comparable": True}})
    comparable = Run(run.name, RunSettings.model_validate(changed))
    for model in figure_rows(run, "figure4") + figure_rows(run, "figure5"):
        made.write_probe(comparable, model, "digit", made.hits(0.5))
    for name in ("figure4", "figure5"):
        make_figure(comparable, name)


# --- several seeds ---


def test_the_interval_of_several_seeds_holds_both_kinds_of_noise():
    found = [Interval(50.0, 48.0, 52.0), Interval(53.0, 51.0, 55.0), Interval(56.0, 53.0, 59.0)]
    of_seeds = student.ppf(0.975, 2) * 3.0 / math.sqrt(3)  # the standard deviation of 50, 53, 56 is 3
    half = math.hypot(of_seeds, (2 + 2 + 3) / 3)
    assert combine(found, 0.95) == pytest.approx((53.0, 53.0 - half, 53.0 + half))
    assert combine(found[:1], 0.95) == found[0]


def test_a_row_with_repeats_shows_the_mean_and_its_seeds(run):
    run = with_repeats(run, {"m3ae-l50": [43, 44]})
    for seed, share in ((42, 0.5), (43, 0.52), (44, 0.54)):
        model = "m3ae-l50" if seed == run.settings.seed else f"m3ae-l50-seed{seed}"
        made.write_probe(run, model, "digit", made.hits(share))
    cell = figure_table(run, "figure5").set_index("model").loc["m3ae-l50"]
    assert cell["ours"] == pytest.approx(52.0)
    assert cell["seeds"] == "42 43 44"
    assert cell["low"] < 50.0
    assert "m3ae-l50-seed43" not in set(figure_table(run, "figure5")["model"])


SEEDED = Claim("figure4", "size", "m3ae-l50", "mae-l50", PROBE, "accuracy")


def with_seeds(run, m3ae, mae):
    """A run whose M3AE and MAE (ViT-L, 50 epochs) have these shares of hits, from seed 42 on."""
    sides = {"m3ae-l50": m3ae, "mae-l50": mae}
    run = with_repeats(run, {row: [*range(43, 42 + len(shares))] for row, shares in sides.items()})
    for row, shares in sides.items():
        for model, share in zip([row, *run.repeats_of(row)], shares, strict=True):
            made.write_probe(run, model, "digit", made.hits(share))
    return run


def test_differences_of_the_same_seeds_are_paired_seed_by_seed(run):
    run = with_seeds(run, [0.50, 0.60, 0.90], [0.40, 0.50, 0.80])  # always 10 points
    found = difference(run, SEEDED)
    assert found.value == pytest.approx(10.0)
    assert found.high - found.low < 10  # nothing of the 40 points between seeds
    assert seeds(run, SEEDED) == "42 43 44"
    assert judge(found) == HOLDS


def test_no_seed_is_left_out_where_the_other_row_does_not_have_it(run):
    """As in the tables: the mean of three seeds minus one. Three far apart leave the ordering open."""
    run = with_seeds(run, [0.50, 0.60, 0.90], [0.40])
    found = difference(run, SEEDED)
    assert found.value == pytest.approx(100 * (2.0 / 3 - 0.4))
    shares = np.array([50.0, 60.0, 90.0])
    assert (found.high - found.low) / 2 > student.ppf(0.975, 2) * shares.std(ddof=1) / math.sqrt(3)
    assert seeds(run, SEEDED) == "42 43 44 against 42"
    assert judge(found) == NOT_RESOLVED
    assert judge(difference(with_seeds(run, [0.50], [0.40]), SEEDED)) == HOLDS


def test_seeds_of_two_rows_that_are_no_pairs_have_welchs_interval():
    rng = np.random.default_rng(0)
    one, other = rng.normal(60, 3, 3), rng.normal(50, 1, 2)
    found = across([[Interval(a - b, a - b, a - b) for b in other] for a in one], 0.95)
    expected = ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    alone = across([[Interval(a - 50.0, a - 51.0, a - 49.0)] for a in one], 0.95)
    assert alone == pytest.approx(combine([Interval(a - 50.0, a - 51.0, a - 49.0) for a in one], 0.95))


def test_repeats_are_models_with_a_seed_of_their_own(run):
    run = with_repeats(run, {"m3ae-l50": [43]})
    assert run.models[-1] == "m3ae-l50-seed43"
    assert run.settings_of("m3ae-l50-seed43").seed == 43
    one, other = run.stage("pretrain", "m3ae-l50"), run.stage("pretrain", "m3ae-l50-seed43")
    assert {key for key in one if one[key] != other[key]} == {"seed"}


# --- verdicts ---


@pytest.mark.parametrize(("better", "worse", "verdict"), [
    (0.60, 0.40, HOLDS), (0.40, 0.60, FAILS), (0.500, 0.495, NOT_RESOLVED),
])  # fmt: skip
def test_each_of_the_papers_orderings_gets_the_verdict_that_its_records_give(run, better, worse, verdict):
    for claim in (claim for claim in paper_claims(run) if claim.metric == "accuracy"):
        made.write_probe(run, claim.better, "digit", made.hits(better))
        made.write_probe(run, claim.worse, "digit", made.hits(worse))
        assert judge(difference(run, claim)) == verdict, claim


def test_the_orderings_are_the_papers(run):
    pairs = {(claim.better, claim.worse) for claim in paper_claims(run) if claim.metric == "accuracy"}
    for size in ("b100", "l25", "l50", "l100", "s50", "b50"):
        assert (f"m3ae-{size}", f"mae-{size}") in pairs
    for share in ("15", "50", "90"):
        assert ("m3ae-l50", f"m3ae-l50-text{share}") in pairs
    assert {("clip-b", "m3ae-b100"), ("supervised-b", "clip-b")} <= pairs
    assert ("m3ae-b100-paired10", "mae-b100") in pairs


def test_rows_of_ours_are_judged_where_a_run_has_them():
    tried = {("clip-b35", "clip-b"), ("clip-b35", "m3ae-b100")}
    photos, tiny = (
        {(claim.better, claim.worse) for claim in own_claims(load_run(name))} for name in ("photos", "tiny")
    )
    assert tried <= photos
    assert not tried & tiny


# --- the workflow ---


def test_figure_5_needs_exactly_four_models(tmp_path):
    copy_project(tmp_path)
    rules = planned(tmp_path, "figure5")
    assert rules == {
        "source": 1, "download": 2, "made_evalsets": 1, "clean": 2, "tokens": 1,
        "pretrain": 4, "features": 4, "probe": 4, "figure5": 1,
    }  # fmt: skip


def test_make_all_has_at_most_130_jobs(tmp_path):
    copy_project(tmp_path)
    rules = planned(tmp_path, "all")
    assert (rules["pretrain"], rules["given_encoder"]) == (20, 1)
    assert sum(rules.values()) + 1 <= 130


def test_a_figure_reads_its_rows_and_their_repeats(run):
    run = with_repeats(run, {"m3ae-l50": [43]})
    assert figure_models(run, "figure5") == [
        "m3ae-l50", "m3ae-l50-seed43", "m3ae-l50-text15", "m3ae-l50-text50", "m3ae-l50-text90",
    ]  # fmt: skip
    assert "untrained-b" in figure_rows(run, "figure3")
    assert "untrained-b" not in figure_rows(run, "figure4")


def test_a_changed_mask_ratio_changes_its_row_alone():
    run = load_run("tiny")
    changes = {"models": {"m3ae-l50-text90": {"text_mask_ratio": 0.8}}}
    changed = Run("tiny", RunSettings.model_validate(merge(run.settings.plain(), changes)))
    differ = [m for m in run.models if run.stage("pretrain", m) != changed.stage("pretrain", m)]
    assert differ == ["m3ae-l50-text90"]


def test_settings_of_other_methods_change_no_masked_autoencoder():
    run = load_run("tiny")
    for changes, expected in (
        ({"clip": {"temperature": 0.1}}, ["clip-b"]),
        ({"supervised": {"mixup": 0.4}}, ["supervised-b"]),
        ({"pretrain": {"unpaired_text_loss_weight": 0.3}}, []),
    ):
        changed = Run("tiny", RunSettings.model_validate(merge(run.settings.plain(), changes)))
        assert [m for m in run.models if run.stage("pretrain", m) != changed.stage("pretrain", m)] == expected
    assert np.isclose(run.settings_of("clip-b").pretrain.base_lr, run.settings.clip.base_lr)
