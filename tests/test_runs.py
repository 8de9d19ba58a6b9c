"""`m3ae runs`: a line for each run and model that has records, from the records alone."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

import made_records as made
from m3ae.cli.main import main
from m3ae.cli.runs import duration, short
from m3ae.errors import UserError
from m3ae.report.runs import runs


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return made.make_project(tmp_path)


def test_a_model_is_one_row_with_its_stages_and_their_time(run):
    made.write_pretrain(run, "m3ae-b100")
    for task in run.tasks:
        made.write_probe(run, "m3ae-b100", task, made.hits(0.5))
    (row,), refused = runs()
    assert row["stages"] == {"pretrain": 1, "probe": len(run.tasks)}
    assert row["wall_s"] == 25.0  # probes of all tasks are one job: its time counts once
    assert (row["run"], row["model"], row["finished"]) == ("tiny", "m3ae-b100", "2000-01-01T00:00:00Z")
    assert row["machines"] == ["A processor, 2 cores"]
    assert refused == []


def test_records_of_other_settings_and_of_unknown_runs_are_told_too(run):
    path = made.write_probe(run, "mae-b100", "digit", made.hits(0.5))
    elsewhere = path.parents[2] / "mine" / "my-model" / path.name
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_bytes(path.read_bytes())
    assert [(row["run"], row["model"]) for row in runs()[0]] == [("mine", "my-model"), ("tiny", "mae-b100")]
    assert [row["run"] for row in runs("mine")[0]] == ["mine"]


def test_an_edited_record_is_left_out_and_named(run):
    made.write_pretrain(run, "mae-b100")
    path = made.write_probe(run, "mae-b100", "digit", made.hits(0.5))
    path.write_text(path.read_text().replace("50.0", "60.0", 1))
    result = CliRunner().invoke(main, ["runs"])
    assert result.exit_code == 0
    assert f"left out: {path}: was edited" in result.stderr
    assert "pretrain" in result.stdout
    assert "probe" not in result.stdout


def test_without_records_one_line_says_how_to_make_some(run):
    with pytest.raises(UserError, match=r"no records; make some: snakemake all --config run=tiny"):
        runs()


def test_the_table_and_the_json_say_the_same(run):
    made.write_pretrain(run, "m3ae-b100")
    text = CliRunner().invoke(main, ["runs", "--run", "tiny"]).stdout
    for part in ("m3ae-b100", "2000-01-01 00:00", "12 s", "c0ffeec", "A processor"):
        assert part in text
    (row,) = json.loads(CliRunner().invoke(main, ["runs", "--json"]).stdout)
    assert row["wall_s"] == 12.5


def test_where_all_is_refused_there_is_no_table(run):
    path = run.paths.record("m3ae-b100", "pretrain")
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    done = CliRunner().invoke(main, ["runs", "--run", "tiny"])
    assert done.stdout == "" and "left out: results/tiny/m3ae-b100/pretrain.json" in done.stderr


def test_times_and_commits_are_short():
    times = [duration(seconds) for seconds in (12, 59.4, 200, 4193, 7199)]
    assert times == ["12 s", "59 s", "3 min", "1 h 10 min", "2 h 00 min"]
    assert short(["dca7323336dd + changes", "b949f623cdcf"]) == "dca7323+, b949f62"
    assert short(["aaaaaaaaa", "bbbbbbbbb", "ccccccccc"]) == "aaaaaaa, bbbbbbb, ..."


def test_it_imports_nothing_heavy(in_project):
    code = (
        "import sys; from m3ae.cli.main import main\n"
        "main(['runs'], standalone_mode=False)\nprint('modules:', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.partition("modules:")[2].split())
    assert not modules & {"torch", "pandas", "numpy", "scipy", "matplotlib", "sklearn"}
