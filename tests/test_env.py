"""``m3ae env``: the lock is read as pip reads it, what differs is named, and only a difference fails."""

import importlib.metadata
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from m3ae.cli.main import main
from m3ae.provenance.environment import compare, direct_requirements
from m3ae.provenance.lock import installed_packages, is_same, normal, read_lock
from made_records import make_project, write_pretrain
from small_project import CHECKOUT


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder, the current one, with a record that `torch 2.13` made and a lock of click alone."""
    monkeypatch.chdir(tmp_path)
    run = make_project(tmp_path)
    write_pretrain(run, "m3ae-b100")
    (tmp_path / "constraints.txt").write_text(f"# a comment\nclick=={version('click')}\n")
    return tmp_path


def version(package):
    return importlib.metadata.version(package)


def check(*arguments):
    return CliRunner().invoke(main, ["env", "check", *arguments])


def test_the_lock_is_read_as_packaging_reads_it():
    ours = read_lock(CHECKOUT / "constraints.txt")
    lines = [line.split(" #")[0].strip() for line in (CHECKOUT / "constraints.txt").read_text().splitlines()]
    theirs = [Requirement(line) for line in lines if line and line[0] not in "#-"]
    assert ours == {normal(r.name): next(iter(r.specifier)).version for r in theirs}
    assert len(ours) > 200


def test_what_is_installed_is_what_the_metadata_says():
    found = installed_packages()
    for package in ("torch", "scikit-learn", "ruamel.yaml", "beautifulsoup4"):
        assert found[normal(package)] == version(package)


def test_the_projects_own_requirements_are_those_of_pyproject():
    stated = [Requirement(line) for line in importlib.metadata.requires("m3ae")]
    assert direct_requirements() == {
        normal(r.name) for r in stated if r.marker is None or r.marker.evaluate({"extra": ""})
    }


def test_builds_of_one_release_are_the_same():
    assert is_same("2.13.0+cpu", "2.13.0")
    assert not is_same("2.13.0+cpu", "2.13.1")
    assert not is_same(None, "2.13.0")


def test_the_locked_environment_passes(project):
    result = check()
    assert result.exit_code == 0
    assert result.output == "This is the environment of constraints.txt: 1 packages agree.\n"


def test_another_version_fails_and_is_named(project):
    (project / "constraints.txt").write_text("Click==1.2.3\ntqdm==4.0\nnot.here==1\n")
    result = check()
    assert result.exit_code == 1
    cells = [line.split() for line in result.output.splitlines()]
    assert ["click", "1.2.3", version("click")] in cells
    assert "1 locked packages are not installed" in result.output
    assert "not the environment of constraints.txt: click, tqdm. Mend it: pip install" in result.output


def test_a_requirement_that_is_not_installed_fails(project, monkeypatch):
    monkeypatch.setattr("m3ae.provenance.environment.direct_requirements", lambda: {"click", "no-such-thing"})
    result = check()
    assert result.exit_code == 1
    assert "needed and not installed: no-such-thing" in result.output


def test_a_record_says_what_it_was_made_with(project):
    result = check("results/tiny/m3ae-b100/pretrain.json")
    assert result.exit_code == 0  # the record's environment is no lock
    cells = [line.split(maxsplit=3) for line in result.output.splitlines()]
    assert ["torch", "-", "2.13", version("torch")] in cells
    assert ["python", "-", "3.11", sys.version.split()[0]] in cells
    assert any(row[:2] == ["processor", "-"] and row[2] == "A" for row in cells if len(row) > 2)
    assert "click" not in [row[0] for row in cells if row]  # it agrees
    assert "click" in check("results/tiny/m3ae-b100/pretrain.json", "--all").output


def test_a_run_is_all_its_records(project):
    found = json.loads(check("--run", "tiny", "--json").output)
    torch = next(row for row in found["packages"] if row["name"] == "torch")
    assert (torch["made_with"], torch["here"], torch["differs"]) == (["2.13"], version("torch"), True)
    assert found["has_left_lock"] is False


def test_every_version_of_several_records_is_told(project):
    from m3ae.records import read_record

    record = read_record(project / "results/tiny/m3ae-b100/pretrain.json")
    other = record.model_copy(update={"provenance": {"versions": {"torch": "2.12"}}})
    rows = compare({}, [record, other]).packages
    assert next(row for row in rows if row.name == "torch").made_with == ["2.13", "2.12"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["x.json"], "x.json: no such record"),
        (["--run", "photos"], "results/photos: no records there"),
        (["--run", "tiny", "x.json"], "expected a record or --run, got both"),
        (["--lock", "y.txt"], "y.txt: no environment lock here"),
    ],
)
def test_mistakes_are_one_line(project, arguments, line):
    result = check(*arguments)
    assert result.exit_code == 1
    assert line in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_line_that_is_no_pin_is_named(project):
    (project / "constraints.txt").write_text("click>=8\n")
    assert "constraints.txt: line 1: expected `package==version`, got 'click>=8'" in check().stderr


def test_show_prints_lines_that_pip_reads(in_project):
    lines = CliRunner().invoke(main, ["env", "show"]).output.splitlines()
    assert any(line.startswith("# processor: ") for line in lines)
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    assert f"torch=={version('torch')}" in [str(pin) for pin in pins]


def test_it_imports_nothing_heavy(in_project):
    code = (
        "import sys\nfrom m3ae.cli.main import main\n"
        "try: main(['env', 'check', '--run', 'photos'])\n"
        "except SystemExit: pass\n"
        "print('heavy:', sorted({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("heavy: []\n")
