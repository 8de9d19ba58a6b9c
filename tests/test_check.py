"""`m3ae check`: a number that left the paper, or the committed reference, is named and fails."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import made_records as made
from m3ae.cli.main import main
from m3ae.config import load_run
from m3ae.records import read_record
from m3ae.report.check import GONE, OK, OUTSIDE, check
from m3ae.report.references import read_reference, reference_path, write_reference
from m3ae.report.verdicts import NOT_RUN
from small_project import CHECKOUT
from test_workflow import copy_project, planned

REFERENCE = Path("tests/reference/tiny.json")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = made.make_project(tmp_path)
    for model, share in (("m3ae-b100", 0.62), ("mae-b100", 0.44)):
        made.write_probe(run, model, "digit", made.hits(share))
    return run


def checked(*arguments, run="tiny"):
    """Exit code, standard output, standard error."""
    result = CliRunner().invoke(main, ["check", "--run", run, *arguments])
    return result.exit_code, result.stdout, result.stderr


def edit(path, metric, value):
    """Change a record's value as a changed code would: hash and interval are of the new value."""
    record = read_record(path)
    moved = record.metrics[metric].model_copy(update={"value": value, "low": value - 2, "high": value + 2})
    record.model_copy(update={"metrics": {**record.metrics, metric: moved}}).write(path)


def test_without_a_reference_one_line_says_how_to_write_it(run):
    code, _, error = checked()
    assert code == 1
    assert "tests/reference/tiny.json: no such reference" in error
    assert "m3ae check --run tiny --write-reference" in error
    assert error.count("\n") == 1


def test_the_reference_that_was_just_written_is_kept(run):
    assert checked("--write-reference")[0] == 0
    code, text, _ = checked()
    assert code == 0
    assert f"| figure3.m3ae-b100 {'':<4}" in text
    assert "2 numbers, 2 ok" in text.splitlines()[-1] or "3 numbers, 3 ok" in text.splitlines()[-1]
    assert "ordering holds" in text


def test_a_number_that_moved_fails_and_is_named(run):
    checked("--write-reference")
    path = run.paths.record("m3ae-b100", "probe-digit")
    edit(path, "accuracy", 63.5)  # inside the interval of 62 +- 2
    assert checked()[0] == 0
    edit(path, "accuracy", 64.5)
    code, text, _ = checked("--report", "reports/tiny/check.md")
    assert code == 1
    assert "figure3.m3ae-b100: expected 62 +- 2, got 64.5" in text.splitlines()[-1]
    assert not Path("reports/tiny/check.md").exists()


def test_a_stated_tolerance_holds_for_every_cell(run):
    checked("--write-reference", "--tolerance", "0.5")
    assert {one.tolerance for one in read_reference(run).values()} == {0.5}
    edit(run.paths.record("mae-b100", "probe-digit"), "accuracy", 44.6)
    code, text, _ = checked()
    assert code == 1
    assert "figure3.mae-b100: expected 44 +- 0.5, got 44.6" in text
    assert checked("--tolerance", "9")[0] == 1


def test_a_bootstrap_without_spread_still_tolerates_what_its_items_can(run):
    metric = made.percent_metric(40.0).model_copy(update={"low": 40.0, "high": 40.0})
    made.write(run, "mae-b100", "robustness", {"clean": metric})
    write_reference(run, None)
    assert read_reference(run)["robustness.mae-b100.clean"].tolerance == 300 / made.NUM


def test_what_was_not_run_is_counted_and_what_is_gone_fails(run):
    made.write(run, "mae-b100", "robustness", {"clean": made.percent_metric(40.0)})
    write_reference(run, None)
    run.paths.record("mae-b100", "robustness").unlink()
    verdicts = {line.cell: line.verdict for line in check(run)}
    assert verdicts["robustness.mae-b100.clean"] == NOT_RUN
    assert verdicts["figure3.mae-b100"] == OK
    assert checked()[0] == 0
    made.write(run, "mae-b100", "robustness", {"other": made.percent_metric(40.0)})
    assert {line.cell: line.verdict for line in check(run)}["robustness.mae-b100.clean"] == GONE
    assert checked()[0] == 1


def test_a_comparable_run_is_held_to_the_paper(run):
    Path("config/same.yaml").write_text("extends: tiny\nbanner: ''\ncheck: {comparable: true}\n")
    same = load_run("same")
    made.write_probe(same, "mae-b100", "digit", made.hits(0.44))  # the paper: 45.2
    assert checked(run="same")[0] == 0
    made.write_probe(same, "m3ae-b100", "digit", made.hits(0.62))  # the paper: 59.4
    code, text, _ = checked(run="same")
    assert code == 1
    assert "figure3.m3ae-b100: expected 59.4 +- 1.5, got 62" in text.splitlines()[-1]
    verdicts = {line.cell: line.verdict for line in check(same)}
    assert (verdicts["figure3.mae-b100"], verdicts["figure3.m3ae-b100"]) == (OK, OUTSIDE)
    assert verdicts["figure3.clip-b"] == NOT_RUN


def test_a_run_that_is_not_comparable_is_not_held_to_the_paper(run):
    write_reference(run, None)
    assert all(line.paper is None for line in check(run))


def test_a_run_of_which_nothing_is_there_does_not_pass(run):
    checked("--write-reference")
    for model in ("m3ae-b100", "mae-b100"):
        run.paths.record(model, "probe-digit").unlink()
    code, _, error = checked()
    assert code == 1
    assert "nothing was run; make it: snakemake all --config run=tiny" in error
    assert checked("--write-reference")[0] == 1


@pytest.mark.parametrize("text", ["{}", "no", '{"cells": {"figure3.mae-b100": 3}}', '{"cells": []}'])
def test_a_broken_reference_is_one_line(run, text):
    REFERENCE.parent.mkdir(parents=True)
    REFERENCE.write_text(text)
    code, _, error = checked()
    assert code == 1
    assert "tests/reference/tiny.json: expected" in error
    assert error.count("\n") == 1


def test_the_report_of_the_rule_is_what_was_printed(run):
    checked("--write-reference")
    _, text, _ = checked("--report", "reports/tiny/check.md", "--all")
    assert Path("reports/tiny/check.md").read_text() == text


def test_the_committed_records_of_photos_are_their_reference(in_project):
    run = load_run("photos")
    reference = read_reference(run)
    assert reference, reference_path(run)
    lines = check(run)
    assert {line.verdict for line in lines} == {OK}
    assert max(abs(line.difference) for line in lines) < 1e-4
    assert np.isfinite([line.tolerance for line in lines]).all()


def test_the_rule_needs_every_record_and_is_no_part_of_all(tmp_path):
    copy_project(tmp_path)
    rules = planned(tmp_path, "check")
    assert rules["check"] == 1
    assert rules["probe"] == len(load_run("tiny").models)
    assert {"all_scores", "attacks", "heldout"} <= set(rules)
    assert "report" not in rules
    assert "check" not in planned(tmp_path, "all")


def test_the_rule_is_asked_each_time():
    """With an output that is there, Snakemake would not miss a record that was removed."""
    rule = (CHECKOUT / "workflow/rules/check.smk").read_text()
    assert "shell:" in rule
    assert "output:" not in rule


def test_it_imports_no_torch_and_no_pandas(in_project):
    code = (
        "import sys; from m3ae.cli.main import main\n"
        "import m3ae.report.check, m3ae.report.checked, m3ae.report.references\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "pandas", "matplotlib", "sklearn"}
