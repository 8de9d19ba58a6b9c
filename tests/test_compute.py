"""What a run cost: every number from a record or by hand, and a dash where nobody measured it."""

import csv
import json

import pytest

import made_records as made
from m3ae.config import load_run
from m3ae.model.cost import encoder_flops, training_flops
from m3ae.records import read_record
from m3ae.report.compute import page
from m3ae.report.compute.chart import describe, times_of, unit_of
from m3ae.report.compute.forecast import forecast_table, forecast_words
from m3ae.report.compute.spent import spent_table
from m3ae.report.compute.words import duration, scaled, totals, unmeasured
from m3ae.report.figures import make_figure
from m3ae.train.architecture import architecture_of

H100 = "NVIDIA H100 80GB HBM3"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return made.make_project(tmp_path)


def write_training(run, model, *, wall_s=1000.0, machine=None, **facts):
    """A training's record with what a training says of its pace."""
    path = made.write_pretrain(run, model)
    record = read_record(path)
    pace = {"wall_s": wall_s, "resumed_at_step": 0, "ranks": 1, "precision": "bf16", "energy_j": None}
    provenance = {**record.provenance, **pace, **facts}
    provenance["machine"] = {**provenance["machine"], **(machine or {})}
    record.model_copy(update={"provenance": provenance}).write(path)


def row_of(run, model, stage="pretrain"):
    table = spent_table(run)
    [row] = table[(table["model"] == model) & (table["stage"] == stage)].to_dict("records")
    return row


def test_rates_are_the_settings_operations_over_the_records_time(run):
    write_training(run, "m3ae-b100", wall_s=500.0, mfu=0.4)
    row = row_of(run, "m3ae-b100")
    per_sample = training_flops(
        architecture_of(run, "m3ae-b100", run.settings.data.tokens.vocab_size)
    ).training
    assert row["flops"] == pytest.approx(200_000 * per_sample, rel=1e-3)
    assert row["flops_per_s"] == pytest.approx(200_000 * per_sample / 500, rel=1e-3)
    assert (row["samples_per_s"], row["covered"], row["mfu"]) == (400.0, 1.0, 0.4)
    assert row["mfu_of"] == "matrix products, measured there"


def test_a_training_that_went_on_has_rates_of_its_last_part_and_no_utilisation(run):
    """The log's medians may be of another machine than the record's."""
    write_training(run, "mae-b100", wall_s=100.0, resumed_at_step=2500, mfu=0.4, energy_j=50.0)
    row = row_of(run, "mae-b100")
    assert row["covered"] == 0.2  # 625 of 3,125 steps
    assert row["samples_per_s"] == 0.2 * 200_000 / 100
    assert row["mfu"] != row["mfu"] or row["mfu"] is None
    table = spent_table(run)
    assert "MAE (`mae-b100`: 20 % of its steps)" in " ".join(unmeasured(run, table))


def test_the_peak_and_its_source_stand_beside_the_utilisation(run):
    write_training(run, "mae-b100", mfu=0.31, machine={"accelerator": H100}, ranks=8)
    assert row_of(run, "mae-b100")["mfu_of"] == "8 x 989.4 TFLOP/s bf16 (NVIDIA H100 data sheet, SXM)"


def test_features_count_a_forward_pass_of_every_image(run):
    splits = {"a/test": {"count": 300, "dim": 8}, "b/test": {"count": 200, "dim": 8}}
    made.write(run, "mae-b100", "features", {}, splits)
    a = architecture_of(run, "mae-b100", run.settings.data.tokens.vocab_size)
    row = row_of(run, "mae-b100", "features")
    assert (row["samples"], row["samples_per_s"]) == (500, 40.0)  # in 12.5 s
    assert row["flops"] == pytest.approx(500 * encoder_flops(a), rel=1e-3)


def test_a_stages_records_share_one_time(run):
    for task in run.tasks:
        made.write_probe(run, "mae-b100", task, made.hits(0.4))
    table = spent_table(run)
    assert list(table["stage"]) == ["probe"] and table["wall_s"].sum() == 12.5


def test_what_nobody_measured_is_empty(run):
    write_training(run, "mae-b100")
    make_figure(run, "compute")
    [row] = csv.DictReader((run.paths.reports / "compute.csv").open())
    assert (row["energy_j"], row["co2_g"], row["mfu"], row["mfu_of"]) == ("", "", "", "")
    text = (run.paths.reports / "compute.md").read_text()
    assert "energy: -" in text and "CO2: -" in text and "Energy of 1 trainings" in text


def test_energy_is_the_records(run):
    write_training(run, "mae-b100", energy_j=30_000.0)
    write_training(run, "m3ae-b100", energy_j=20_000.0)
    assert row_of(run, "mae-b100")["energy_j"] == 30_000
    assert "energy was read in 2 of 2 trainings, at most 50.0 kJ together" in totals(spent_table(run))


def test_table_chart_and_words_have_every_model_and_are_the_same_bytes_again(run):
    made.write_everything(run)
    folder, found = run.paths.reports, []
    for _ in range(2):
        make_figure(run, "compute")
        found.append([path.read_bytes() for path in sorted(folder.glob("compute.*"))])
    assert found[0] == found[1] and len(found[0]) == 4
    rows = list(csv.DictReader((folder / "compute.csv").open()))
    assert len(rows) == 11 and {row["record"] for row in rows} <= {  # as in test_report.py
        path.as_posix() for path in run.paths.reports.parent.parent.glob("results/tiny/*/*.json")
    }
    alt = describe(run, spent_table(run))
    assert "M3AE 50.0 s; MAE 50.0 s; untrained 37.5 s" in alt
    assert alt in (folder / "compute.svg").read_text() and alt in (folder / "compute.md").read_text()
    assert (folder / "compute.png").read_bytes().startswith(b"\x89PNG")
    assert list(times_of(spent_table(run)).sum(axis=1)) == [50.0, 50.0, 37.5]


def test_a_run_without_records_is_a_dash(run):
    make_figure(run, "compute")
    assert "\n-\n" in (run.paths.reports / "compute.md").read_text()
    assert totals(spent_table(run)) == "-"
    assert "nothing was run" in page.spent(run)


def test_the_page_shows_trainings_sums_and_forecast(run):
    write_training(run, "mae-b100", energy_j=30_000.0)
    made.write_probe(run, "mae-b100", "digit", made.hits(0.4))
    make_figure(run, "compute")
    shown = page.spent(run)
    assert "<img" in shown and "What each training cost" in shown and "Every stage: 2" in shown
    assert 'href="../../results/tiny/mae-b100/pretrain.json"' in shown
    assert "Arithmetic, not a measurement" in page.paper() and "days on 8 GPUs" in page.paper()


def test_the_forecast_is_what_the_budget_prints(in_project):
    """docs/cluster.md holds that command's output: test_budget.py."""
    text = (in_project / "docs/cluster.md").read_text()
    [total] = [line.split("|") for line in text.splitlines() if line.startswith("| every figure")]
    forecast = forecast_table()
    assert forecast["GPU-hours"].iloc[-1] == total[5].strip()
    assert "25 % of 989 TFLOP/s" in forecast_words() and "25 % of 989 TFLOP/s" in text
    assert len(forecast) == 1 + len([name for name in load_run("paper").models if name not in UNTRAINED])


UNTRAINED = ("untrained-b", "supervised-b")  # the second takes weights in `paper`


@pytest.mark.parametrize(
    ("seconds", "words"), [(12.5, "12.5 s"), (119.94, "119.9 s"), (240, "4.0 min"), (7200, "2.0 h")]
)
def test_times_are_said_in_a_readable_unit(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0 F"), (12.34, "12.3 F"), (999.4, "999 F"), (999.6, "1.00 kF"), (2.5e14, "250 TF")],
)
def test_numbers_have_three_digits_and_a_prefix(value, words):
    assert scaled(value, "F") == words


def test_the_axis_is_in_the_unit_of_the_longest_bar():
    assert [unit_of(seconds)[0] for seconds in (60, 600, 9000)] == ["seconds", "minutes", "hours"]


def test_the_committed_table_is_what_the_committed_records_give(in_project):
    """Of `photos`: row by row, so that a record made again is noticed."""
    run = load_run("photos")
    stated = (in_project / "reports/photos/compute.csv").read_text()
    assert spent_table(run).to_csv(index=False, lineterminator="\n") == stated


def test_records_know_nothing_that_the_table_makes_up(in_project):
    """Where the committed record of a training has no energy, the table has none."""
    table = spent_table(load_run("photos")).set_index(["model", "stage"])
    for path in (in_project / "results/photos").glob("*/pretrain.json"):
        told = json.loads(path.read_text())["provenance"]["energy_j"]
        shown = table.loc[(path.parent.name, "pretrain"), "energy_j"]
        assert shown == told if told is not None else shown != shown
