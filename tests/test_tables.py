"""Tables and verdicts come from records alone, and say "not run" where there is none."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import made_records as made
from m3ae.config import Run, load_run
from m3ae.errors import UserError
from m3ae.records import content_hash
from m3ae.report.differences import differences, shown
from m3ae.report.format import interval, percent, rounded, signed
from m3ae.report.markdown import write_table
from m3ae.report.orderings import orderings
from m3ae.report.paper import read_numbers
from m3ae.report.results import find_record
from m3ae.report.tables import COLUMNS, figure_table

M3AE, MAE, UNTRAINED = "m3ae-b100", "mae-b100", "untrained-b"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return made.make_project(tmp_path)


def verdict_of(table: pd.DataFrame, model: str, panel: str) -> str:
    return table.loc[(table["model"] == model) & (table["panel"] == panel), "verdict"].item()


# --- the paper's numbers ---


def test_every_printed_number_stands_once(run):
    numbers = pd.DataFrame(read_numbers())
    assert numbers.groupby(["figure", "version"]).size().to_dict() == {
        ("figure3", "v1"): 8, ("figure3", "v3"): 8, ("figure4", "v1"): 12,
        ("figure5", "v1"): 4, ("figure5", "v3"): 4, ("figure6", "v1"): 4,
    }  # fmt: skip
    assert not numbers.duplicated(["figure", "panel", "row", "metric", "version"]).any()
    assert set(numbers["grade"]) == {"A", "B"}
    assert set(numbers["model"]) <= set(run.rows)


def test_the_numbers_keep_the_orderings_that_the_paper_states(run):
    numbers = pd.DataFrame(read_numbers())
    v1 = numbers[numbers["version"] == "v1"]
    scaling = v1[v1["figure"] == "figure4"]
    by_model = scaling.drop_duplicates("model").set_index("model")["value"]
    sizes = [name.removeprefix("mae-") for name in by_model.index if name.startswith("mae-")]
    assert sorted(sizes) == ["b50", "l100", "l25", "l50", "s50"]
    assert all(by_model[f"m3ae-{size}"] > by_model[f"mae-{size}"] for size in sizes)
    assert by_model["m3ae-l50"] - by_model["mae-l50"] == pytest.approx(14.0)
    for version, rows in numbers[numbers["figure"] == "figure5"].groupby("version"):
        by_model = rows.set_index("model")["value"]
        assert by_model.idxmax() == "m3ae-l50", version  # text mask ratio 0.75
        assert by_model.idxmin() == "m3ae-l50-text15", version


def test_a_missing_column_of_the_numbers_is_one_clear_line(run):
    Path("config/paper_numbers.csv").write_text("figure,value\nfigure3,1\n")
    with pytest.raises(UserError, match=r"paper_numbers\.csv: expected the columns figure, panel") as caught:
        figure_table(run, "figure3")
    assert "\n" not in str(caught.value)


# --- tables ---


def test_figure_3_has_the_papers_cells_in_its_order_then_ours(run):
    made.write_everything(run)
    table = figure_table(run, "figure3")
    assert list(table.columns) == COLUMNS
    paper = table[table["panel"] != "ours"]
    assert list(paper["model"]) == [
        MAE, M3AE, "clip-b", "supervised-b", *(f"{M3AE}-paired{share}" for share in (10, 20, 30)), M3AE,
    ]  # fmt: skip
    assert list(paper["paper_v1"]) == [45.2, 59.4, 69.0, 81.8, 53.3, 54.0, 54.5, 59.4]
    assert list(paper["paper_v3"]) == [44.6, 61.3, 69.0, 81.8, 53.3, 54.0, 54.5, 58.8]
    assert list(paper.loc[paper["model"] == M3AE, "panel"]) == ["method", "paired share"]
    ours = table[table["panel"] == "ours"]
    assert len(ours) == 1 + 3 * 8  # the untrained encoder on the first task, all rows on three more
    assert ours["paper_v1"].isna().all()
    assert set(ours["verdict"]) == {""}


def test_figure_6_has_four_cells_then_ours(run):
    made.write_everything(run)
    table = figure_table(run, "figure6")
    assert list(table["paper_v1"][:4]) == [69.010, 71.415, 77.187, 78.457]
    assert list(table["model"][:4]) == [MAE, M3AE, MAE, M3AE]
    assert (
        len(table) == 4 + 2 * 3 + 2 * 5
    )  # the first pair: untrained and two baselines; the second: all five
    assert "digits-textures_msp_auroc" in set(table["metric"])


def test_a_cell_is_its_record(run):
    path = made.write_probe(run, MAE, "digit", made.hits(0.40))
    before = figure_table(run, "figure3").iloc[0]
    made.write_probe(run, MAE, "digit", made.hits(0.45))
    after = figure_table(run, "figure3").iloc[0]
    assert (before["ours"], after["ours"]) == (40.0, 45.0)
    assert (after["low"], after["high"], after["seeds"]) == (43.0, 47.0, "42")
    assert Path(after["record"]) == path


def test_nothing_run_gives_empty_cells_and_dashes(run):
    table = figure_table(run, "figure3")
    assert table["ours"].isna().all()
    assert set(table[table["panel"] != "ours"]["verdict"]) == {"not run"}
    write_table(run, "figure3", table, "alt")
    first = (run.paths.reports / "figure3.csv").read_text().splitlines()[1]
    assert first == "mae-b100,method,imagenet_accuracy,45.2,44.6,,,,,not run,"
    text = (run.paths.reports / "figure3.md").read_text()
    assert text.startswith(f"# {run.settings.banner}\n")
    row = next(line for line in text.splitlines() if line.startswith("| CLIP"))
    assert [cell.strip() for cell in row.split("|")[6:11]] == ["-", "-", "-", "not run", "-"]


def test_the_same_records_give_the_same_bytes(run):
    made.write_everything(run)
    written = []
    for _ in range(2):
        write_table(run, "figure3", figure_table(run, "figure3"), "alt")
        written.append([(run.paths.reports / f"figure3.{end}").read_bytes() for end in ("csv", "md")])
    assert written[0] == written[1]


def test_a_record_of_other_settings_is_refused(run):
    made.write_probe(run, MAE, "digit", made.hits(0.4))
    text = Path("config/tiny.yaml").read_text().replace("  batch_size: 256", "  batch_size: 512")
    Path("config/tiny.yaml").write_text(text)
    with pytest.raises(UserError, match=r"probe-digit\.json: made with batch_size = 256, .* now states 512"):
        figure_table(load_run("tiny"), "figure3")


def test_an_unknown_figure_is_refused(run):
    with pytest.raises(UserError, match="expected one of figure3, figure4, figure5, figure6"):
        figure_table(run, "figure12")


# --- verdicts ---


@pytest.mark.parametrize(
    ("m3ae", "mae", "verdict"),
    [(0.60, 0.50, "ordering holds"), (0.50, 0.60, "ordering does not hold"), (0.50, 0.50, "not resolved")],
)
def test_an_ordering_is_judged_by_the_paired_difference(run, m3ae, mae, verdict):
    made.write_probe(run, M3AE, "digit", made.hits(m3ae))
    made.write_probe(run, MAE, "digit", made.hits(mae))
    table = figure_table(run, "figure3")
    assert verdict_of(table, M3AE, "method") == verdict_of(table, MAE, "method") == verdict
    assert verdict_of(table, M3AE, "paired share") == "not compared"  # no partner: nothing to judge


def test_a_cell_is_judged_by_every_ordering_of_its_panel(run):
    """As high as MAE's, below CLIP's: and CLIP's own cell says so; 10 % paired is judged against MAE."""
    shares = {M3AE: 0.6, MAE: 0.5, "clip-b": 0.55, f"{M3AE}-paired10": 0.45}
    for model, share in shares.items():
        made.write_probe(run, model, "digit", made.hits(share))
    table = figure_table(run, "figure3")
    fails = "ordering does not hold"
    assert [verdict_of(table, model, "method") for model in (MAE, M3AE, "clip-b")] == [
        "ordering holds",
        fails,
        fails,
    ]
    assert verdict_of(table, f"{M3AE}-paired10", "paired share") == fails
    assert verdict_of(table, M3AE, "paired share") == "ordering holds"  # above 10 %; 30 % is missing


def test_pairing_resolves_what_two_intervals_do_not(run):
    """106 against 100 of 200 right: the intervals overlap widely, but no item is lost."""
    made.write_probe(run, M3AE, "digit", made.hits(0.53))
    made.write_probe(run, MAE, "digit", made.hits(0.50))
    assert verdict_of(figure_table(run, "figure3"), M3AE, "method") == "ordering holds"
    shuffled = np.random.default_rng(0).permutation(made.hits(0.50))
    made.write_probe(run, MAE, "digit", shuffled)
    assert verdict_of(figure_table(run, "figure3"), M3AE, "method") == "not resolved"


def test_a_value_without_a_partner_is_not_judged(run):
    made.write_probe(run, M3AE, "digit", made.hits(0.6))
    table = figure_table(run, "figure3")
    assert verdict_of(table, M3AE, "method") == "not compared"
    assert verdict_of(table, MAE, "method") == "not run"


def test_a_chain_is_as_good_as_its_weakest_link(run, tmp_path):
    rows = [f"{M3AE}-paired{share}" for share in (10, 20, 30)]
    Path("config/chain.yaml").write_text(f"extends: tiny\nrows: [{', '.join([M3AE, *rows])}]\n")
    chain = load_run("chain")
    for model, share in zip([*rows, M3AE], (0.3, 0.4, 0.35, 0.5), strict=True):
        made.write_probe(chain, model, "digit", made.hits(share))
    table = figure_table(chain, "figure3")
    verdicts = [verdict_of(table, model, "paired share") for model in [*rows, M3AE]]
    fails = "ordering does not hold"
    assert verdicts == ["ordering holds", fails, fails, "ordering holds"]


def test_a_comparable_run_is_held_to_the_number(run):
    Path("config/same.yaml").write_text("extends: tiny\ncheck: {comparable: true}\n")
    same = load_run("same")
    made.write_probe(same, MAE, "digit", made.hits(0.44))  # 45.2 in the paper, tolerance 1.5
    made.write_probe(same, M3AE, "digit", made.hits(0.57))  # 59.4
    table = figure_table(same, "figure3")
    assert verdict_of(table, MAE, "method") == "reproduced"
    assert verdict_of(table, M3AE, "method") == "deviates"
    assert verdict_of(table, "clip-b", "method") == "not run"


def test_auroc_differences_agree_with_scikit_learn(run):
    rng = np.random.default_rng(1)
    areas = {}
    for model, shift in ((M3AE, 1.0), (MAE, 0.4)):
        inside, outside = rng.normal(shift, 1, 150), rng.normal(0, 1, 90)
        made.write_ood(run, model, "digits-heldout", inside, outside)
        scores = np.concatenate([inside, outside]).astype(np.float32)
        areas[model] = 100 * roc_auc_score(np.repeat([1, 0], [150, 90]), scores)
    found = orderings(run)
    row = found[(found["source"] == "figure6") & (found["metric"] == "msp_auroc")].iloc[0]
    assert row["difference"] == pytest.approx(areas[M3AE] - areas[MAE], abs=1e-3)
    assert row["low"] < row["difference"] < row["high"]
    assert row["paper_v1"] == pytest.approx(78.457 - 77.187)
    assert np.isnan(row["paper_v3"])
    assert row["seeds"] == "42"
    assert row["verdict"] == "ordering holds"


def test_trained_against_untrained_is_judged_on_every_task(run):
    made.write_everything(run)
    found = orderings(run)
    own = found[(found["source"] == "ours") & found["ordering"].str.endswith("> untrained")]
    assert list(own["subject"]) == [task for task in run.tasks for _ in (M3AE, MAE)]
    assert set(own["verdict"]) == {"ordering holds"}
    assert own["difference"].iloc[0] == pytest.approx(31.0)


# --- settings and numbers in words ---


def test_differences_name_every_changed_setting(run):
    found = differences(run).set_index("key")
    assert found.loc["batch_size"].to_list() == ["4096", "64"]
    assert found.loc["data.source.train", "this run"] == "-"
    assert found.loc["probe.tasks", "this run"] == "digit, colour, size, place"
    assert "pretrain.eps" not in found.index
    assert differences(load_run("paper")).empty


def test_numbers_are_written_with_sensible_digits():
    assert [percent(69.010), percent(59.4), percent(float("nan"))] == ["69.010", "59.4", "-"]
    assert [rounded(41.26), signed(-1.25), signed(3.0)] == ["41.3", "−1.3", "+3.0"]
    assert [interval(-1, 2.04), interval(None, 1.0)] == ["[−1.0, 2.0]", "-"]
    halves = [52.85, 50.65, 24.25, 0.35, 2.55, 22.95, 100 * 1057 / 2000]
    assert [rounded(half) for half in halves] == ["52.9", "50.7", "24.3", "0.4", "2.6", "23.0", "52.9"]
    assert [signed(zero) for zero in (0.0, -0.0, -0.04, 0.04)] == ["+0.0", "−0.0", "−0.0", "+0.0"]
    assert [shown(1.5e-4), shown(""), shown([0.2, 1.0]), shown(None)] == ["0.00015", "-", "0.2, 1", "null"]


@pytest.mark.parametrize("broken", [{"low": 70.0}, {"high": 10.0}, {"low": -math.inf}, {"value": math.nan}])
def test_no_table_is_made_with_a_number_that_has_no_interval(run, broken):
    path = made.write_probe(run, M3AE, "digit", made.hits(0.44))
    figure_table(run, "figure3")
    content = json.loads(path.read_text())
    content["metrics"]["accuracy"] |= broken
    content["sha256"] = content_hash({key: value for key, value in content.items() if key != "sha256"})
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"accuracy: expected an interval around"):
        figure_table(run, "figure3")
    del content["metrics"]["accuracy"]["low"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"not a record \(metrics.accuracy.low: Field required"):
        figure_table(run, "figure3")


def test_a_record_under_another_models_name_is_refused(run):
    path = made.write_probe(run, M3AE, "digit", made.hits(0.6))
    assert find_record(run, M3AE, "probe-digit") is not None
    other = run.paths.record(MAE, "probe-digit")
    other.parent.mkdir(parents=True)
    other.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=f"{other}: is the record of {path}; restore the file, or remove it"):
        find_record(run, MAE, "probe-digit")
