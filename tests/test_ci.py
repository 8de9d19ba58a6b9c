"""The workflows of GitHub: what they call is there, what they trust is pinned, who may write runs nothing."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from m3ae.cli.main import COMMANDS
from small_project import CHECKOUT

FOLDER = CHECKOUT / ".github/workflows"
FILES = sorted(FOLDER.glob("*.yml"))
PYTHONS = [f"3.{minor}" for minor in range(8, 20)]


def parsed(path):
    """A workflow; YAML 1.1 reads the key `on` as true."""
    found = yaml.safe_load(path.read_text())
    return {**found, "on": found.get("on", found.get(True))}


def steps(path):
    return [step for job in parsed(path)["jobs"].values() for step in job["steps"]]


def scripts(path):
    return "\n".join(step["run"] for step in steps(path) if "run" in step)


def supported():
    """The Python versions that pyproject.toml allows."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    allowed = SpecifierSet(project["requires-python"])
    return [version for version in PYTHONS if f"{version}.1" in allowed]


def test_the_workflows_are_there():
    assert [path.name for path in FILES] == ["ci.yml", "metrics-comment.yml", "metrics.yml", "tiny.yml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_make_target_and_command_exists(path):
    makefile = (CHECKOUT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split())
    for line in re.findall(r"^\s*make (.+)$", scripts(path), re.M):
        words = [word for word in line.split() if "=" not in word]
        assert words
        assert set(words) <= targets
        for variable in (word.partition("=")[0] for word in line.split() if "=" in word):
            assert re.search(rf"^{variable} \?=", makefile, re.M), variable
    for command in re.findall(r"\bm3ae (\S+)", scripts(path)):
        assert command in COMMANDS


def test_the_tests_run_on_the_oldest_and_the_newest_python():
    matrix = parsed(FOLDER / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert matrix == [supported()[0], supported()[-1]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_python_is_supported(path):
    for step in steps(path):
        version = step.get("with", {}).get("python-version")
        assert version in (None, "${{ matrix.python }}", *supported())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_actions_are_githubs_own_and_pinned_by_commit(path):
    lines = re.findall(r"uses: (.*)$", path.read_text(), re.M)
    assert len(lines) == sum("uses" in step for step in steps(path))
    for line in lines:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_who_may_write_runs_nothing_of_a_pull_request(path):
    workflow = parsed(path)
    assert "pull_request_target" not in workflow["on"]
    given = [workflow["permissions"], *(job.get("permissions", {}) for job in workflow["jobs"].values())]
    writes = {f"{scope}: write" for rights in given for scope, right in rights.items() if right == "write"}
    if "workflow_run" in workflow["on"]:
        assert writes == {"pull-requests: write"}
        assert not any("uses" in step for step in steps(path))
    else:
        assert workflow["permissions"] == {"contents": "read"}
        assert not writes


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_script_has_an_expression_in_it(path):
    """What a stranger may name, a branch or a title, reaches a shell through its environment alone."""
    assert "${{" not in scripts(path)


def test_the_comment_follows_the_workflow_that_makes_the_table():
    comment, metrics = parsed(FOLDER / "metrics-comment.yml"), parsed(FOLDER / "metrics.yml")
    assert comment["on"]["workflow_run"]["workflows"] == [metrics["name"]]
    uploaded = [step["with"] for step in steps(FOLDER / "metrics.yml") if "upload-artifact" in str(step)]
    script = scripts(FOLDER / "metrics-comment.yml")
    assert f"--name {uploaded[0]['name']} " in script
    assert f"found/{uploaded[0]['path']}" in script


@pytest.mark.parametrize(("tool", "arguments"), [("actionlint", []), ("zizmor", ["--offline", ".github"])])
def test_its_own_linters_find_nothing(tool, arguments):
    beside = Path(sys.executable).with_name(tool)
    found = beside if beside.exists() else shutil.which(tool)
    if not found:
        pytest.skip(f"{tool} is not installed")
    result = subprocess.run([found, *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
