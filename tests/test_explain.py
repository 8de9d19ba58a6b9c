"""`m3ae explain`: every cell has a name, and the name leads to the number, its record, and its command."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import made_records as made
from m3ae.cli.main import main
from m3ae.config import load_run
from m3ae.errors import UserError
from m3ae.report import page
from m3ae.report.cells import TABLES, all_cells, find_cell
from m3ae.report.explain import explain
from m3ae.report.extended import extended_table
from m3ae.report.paper import TITLES, printed_cells
from m3ae.report.tables import figure_table
from m3ae.report.targets import TARGETS

HEAVY = {"torch", "pandas", "seaborn", "matplotlib", "sklearn", "transformers"}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return made.make_project(tmp_path)


def asked(*arguments):
    """Exit code and what the command prints."""
    result = CliRunner().invoke(main, ["explain", *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize("name", ["tiny", "photos", "paper"])
def test_no_two_cells_have_one_name(in_project, name):
    names = [cell.name for cell in all_cells(load_run(name))]
    assert len(names) == len(set(names)) > 100


def test_every_row_of_every_table_is_a_cell(in_project):
    """The tables' own code against the index: the same models and measures, in the same order."""
    run = load_run("photos")
    for figure in ("figure3", "figure4", "figure5", "figure6"):
        rows = figure_table(run, figure)
        assert [cell.model for cell in TABLES[figure](run)] == list(rows["model"])
    for target in TARGETS:
        rows = extended_table(run, target)
        cells = [(cell.model, cell.metric) for cell in TABLES[target](run) if cell.metric]
        assert cells == list(zip(rows["model"], rows["metric"], strict=True))


def test_the_numbers_are_those_of_the_figures(in_project):
    run = load_run("photos")
    for figure in ("figure3", "figure6"):
        rows = figure_table(run, figure).to_dict("records")
        for cell, row in zip(TABLES[figure](run), rows, strict=True):
            found = explain(run, find_cell(run, cell.name))
            ours = found["ours"] or {"value": None}
            assert ours["value"] == (None if pd.isna(row["ours"]) else row["ours"])
            assert found["paper"].get("v1") == (None if pd.isna(row["paper_v1"]) else row["paper_v1"])
            assert found["verdict"] == (row["verdict"] or ("" if found["ours"] else "not run"))


def test_a_number_leads_to_its_record_its_code_its_data_and_its_command(run):
    made.write_pretrain(run, "m3ae-b100")
    path = made.write_probe(run, "m3ae-b100", "digit", made.hits(0.62))
    code, text = asked("figure3.m3ae-b100")
    assert code == 0
    sealed = json.loads(path.read_text())["sha256"]
    for part in (
        "62 % [60, 64] (95 % interval), n = 200",
        "59.4 (v1), 61.3 (v3)",
        "results/tiny/m3ae-b100/probe-digit.json",
        sealed,
        f"seed      {run.settings.seed}",
        "2000-01-01T00:00:00Z in 12.5 s, commit c0ffee",
        "A processor, 2 cores",
        f"{'ab' * 32}  weights",
        "results/tiny/m3ae-b100/pretrain.json",
        "config/tiny.yaml < config/paper.yaml",
        "snakemake results/tiny/m3ae-b100/probe-digit.json --config run=tiny",
        f"epochs = {run.settings.probe.epochs}",
    ):
        assert part in text


def test_json_holds_the_resolved_settings_and_no_test_items(run):
    made.write_probe(run, "m3ae-b100", "digit", made.hits(0.62))
    found = json.loads(asked("figure3.m3ae-b100", "--json")[1])
    (record,) = found["records"]
    assert record["settings"] == run.stage("probe")
    assert (record["value"], record["n"], record["inputs"]) == (62.0, 200, {"weights": "ab" * 32})
    assert "items" not in record


def test_seeds_are_told_one_by_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made.make_project(tmp_path)
    (tmp_path / "config/seeds.yaml").write_text("extends: tiny\nrepeats: {m3ae-b100: [7]}\n")
    run = load_run("seeds")
    for model, share in (("m3ae-b100", 0.6), ("m3ae-b100-seed7", 0.5)):
        made.write_pretrain(run, model)
        made.write_probe(run, model, "digit", made.hits(share))
    found = explain(run, find_cell(run, "figure3.m3ae-b100"))
    assert [record["value"] for record in found["records"]] == [60.0, 50.0]
    assert found["ours"]["value"] == 55.0
    assert len(found["commands"]) == 2
    assert [record["model_seed"] for record in found["records"]] == [42, 7]
    said = re.findall(r"^  seed +(.+)$", asked("figure3.m3ae-b100", "--run", "seeds")[1], re.MULTILINE)
    assert said[:2] == ["42, of the model 42", "42, of the model 7"]
    assert not [line for line in said[2:] if "of the model" in line]  # of the training itself it is the seed


def test_an_ordering_names_both_records(run):
    for model, share in (("m3ae-b100", 0.62), ("mae-b100", 0.44)):
        made.write_probe(run, model, "digit", made.hits(share))
    found = explain(run, find_cell(run, "orderings.figure3.m3ae-b100.over.mae-b100"))
    assert found["ours"]["value"] == 18.0
    assert found["paper"] == {"v1": 14.2, "v3": 16.7}
    assert found["verdict"] == "ordering holds"
    assert [record["model"] for record in found["records"]] == ["m3ae-b100", "mae-b100"]


def test_where_nothing_was_run_the_command_is_told(run):
    for name in ("figure4.size.m3ae-l50", "probes.m3ae-b100.digit.sweep", "orderings.figure6.m3ae-b100.over."
                 "mae-b100.msp"):  # fmt: skip
        code, text = asked(name)
        assert code == 0
        assert "nothing was run" in text
        assert "snakemake results/tiny/m3ae-" in text
    made.write_probe(run, "m3ae-b100", "digit", made.hits(0.5))
    half = explain(run, find_cell(run, "orderings.figure3.m3ae-b100.over.mae-b100"))
    assert half["ours"] is None
    assert [command.split("/")[2] for command in half["commands"]] == ["m3ae-b100", "mae-b100"]
    Path("config/few.yaml").write_text("extends: tiny\nrows: [mae-b100]\n")
    told = asked("figure3.m3ae-b100", "--run", "few")[1]
    assert "give it a line of `models` in config/few.yaml, and let `rows` be null or name it" in told


def test_the_numbers_of_figures_7_and_9_have_names_before_they_are_run(run):
    assert "figure9.mae-b100" in [cell.name for cell in all_cells(run)]
    for name, stage in (("figure9.m3ae-b100.knn_accuracy", "clusters"), ("figure7.m3ae-b100", "pointing")):
        found = explain(run, find_cell(run, name))
        assert (found["ours"], found["verdict"]) == (None, "not run")
        assert found["commands"] == [f"snakemake results/tiny/m3ae-b100/{stage}.json --config run=tiny"]


def test_a_table_of_which_a_run_measures_nothing_says_so(in_project):
    """Where the things on photographs are is known to nobody."""
    code, text = asked("figure7.m3ae-b100", "--run", "photos")
    assert code == 1
    assert "run 'photos' measures nothing of figure7" in text and text.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("figure3.m3ae-b10", "figure3.m3ae-b100,"),
        ("figure6.m3ae-b100", "figure6.m3ae-b100.mahalanobis, figure6.m3ae-b100.msp"),
        ("figure4.m3ae-l50", "figure4.epochs.m3ae-l50"),
        ("figure9.m3ae-b10", "figure9.m3ae-b100"),
        ("nothing", "figure3, figure4"),
        ("", "'': no such cell"),
    ],
)
def test_an_unknown_cell_is_one_line_with_the_nearest(run, name, close):
    with pytest.raises(UserError) as caught:
        find_cell(run, name)
    assert close in str(caught.value)
    assert "m3ae explain --list" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert asked(name)[0] == 1


def test_the_list_can_be_narrowed(run):
    code, text = asked("--list", "figure6.m3ae-b100.")
    assert code == 0
    assert "figure6.m3ae-b100.msp" in text.splitlines()
    assert all(line.startswith("figure6.m3ae-b100.") for line in text.splitlines())
    assert asked("--list", "no")[0] == 1
    assert asked()[0] == 1


def test_an_edited_record_is_refused(run):
    path = made.write_probe(run, "m3ae-b100", "digit", made.hits(0.62))
    path.write_text(path.read_text().replace("62.0", "99.0", 1))
    code, text = asked("figure3.m3ae-b100")
    assert code == 1
    assert "was edited" in text


def test_an_auroc_is_explained_with_its_pair(run):
    rng = np.random.default_rng(0)
    pair = run.ood_pairs[0]
    made.write_ood(run, "m3ae-b100", pair, rng.normal(1, 1, 50), rng.normal(0, 1, 50))
    found = explain(run, find_cell(run, "figure6.m3ae-b100.mahalanobis"))
    assert found["records"][0]["record"].endswith(f"ood-{pair}.json")


def test_explaining_imports_nothing_heavy(in_project):
    """Two seconds are torch's import alone."""
    code = (
        "import sys; from m3ae.cli.main import main\n"
        "main(['explain', 'figure3.m3ae-b100', '--run', 'photos'], standalone_mode=False)\n"
        "print('modules:', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.partition("modules:")[2].split()) & HEAVY


@pytest.mark.parametrize("name", ["tiny", "photos"])
def test_every_cell_on_the_pages_is_one_that_can_be_explained(in_project, name):
    run = load_run(name)
    for figure in TITLES:
        shown = re.findall(r"m3ae explain (\S+) --run ([\w-]+)", str(page.cell_commands(run, figure)))
        assert {of for _, of in shown} == {name}
        models = {find_cell(run, cell).model for cell, _ in shown}
        assert models >= {cell["model"] for cell in printed_cells(figure)} & set(run.models)
