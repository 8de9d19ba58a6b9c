"""The command line: help for everything, one clear line for a mistake, logs that hold what was printed."""

import errno
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from m3ae.cli.common import logged
from m3ae.cli.main import COMMANDS, main
from m3ae.errors import Again, UserError
from small_project import make_config


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


def test_the_menu_lists_every_command():
    output = CliRunner().invoke(main, ["--help"]).output
    assert all(name in output for name in COMMANDS)


def command(raised):
    """A command that raises."""

    @click.command()
    @logged
    def fails():
        raise raised

    return fails


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (UserError("x.yaml: key: expected 1"), 1, "m3ae: error: x.yaml: key: expected 1\n"),
        (Again("saved at step 3"), 75, "m3ae: saved at step 3\n"),
        (OSError(errno.ENOSPC, "No space", "a/b"), 1, "m3ae: error: a/b: the disk is full; make room"),
        (PermissionError(errno.EACCES, "no", "a/b"), 1, "m3ae: error: a/b: permission denied"),
    ],
)
def test_what_a_user_can_mend_is_one_line(raised, code, line):
    result = CliRunner().invoke(command(raised), [])
    assert result.exit_code == code
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1


def test_our_own_mistakes_keep_their_traceback():
    assert isinstance(CliRunner().invoke(command(ZeroDivisionError()), []).exception, ZeroDivisionError)


def test_the_log_holds_what_was_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_config(tmp_path)
    run = [sys.executable, "-m", "m3ae.cli", "config", "check", "--run"]
    done = subprocess.run([*run, "tiny", "--log", "logs/a.log"], capture_output=True, text=True, check=True)
    failed = subprocess.run(
        [*run, "tinny", "--log", "logs/a.log"], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert (tmp_path / "logs/a.log").read_text() == done.stdout + failed.stderr
    assert "did you mean 'tiny'" in failed.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_log_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_config(tmp_path)
    (tmp_path / "locked").mkdir(mode=0o500)
    result = CliRunner().invoke(main, ["config", "check", "--run", "tiny", "--log", "locked/a.log"])
    assert result.exit_code == 1
    assert "permission denied" in result.stderr


def test_a_log_below_a_file_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_config(tmp_path)
    (tmp_path / "file").touch()
    result = CliRunner().invoke(main, ["config", "check", "--run", "tiny", "--log", "file/a/b.log"])
    assert result.exit_code == 1
    assert "a file stands where a folder is needed" in result.stderr
