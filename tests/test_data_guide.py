"""docs/data.md says what the code does: its snippets load, its commands, reasons and variables exist."""

import re

import click
import pytest
import yaml

from m3ae.cli.main import main
from m3ae.config import load_run
from m3ae.data.clean.reasons import REASONS
from m3ae.data.download.failures import KINDS
from small_project import CHECKOUT, make_config

GUIDE = (CHECKOUT / "docs/data.md").read_text()
SOURCE = {path: path.read_text() for path in (CHECKOUT / "src/m3ae").rglob("*.py")}
SNIPPETS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
COMMANDS = re.findall(r"m3ae (?:data|bench|pretrain)(?: [^`#) \n]+)*", GUIDE)


def test_it_is_short():
    assert len(GUIDE.splitlines()) < 250


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_a_run(snippet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_config(tmp_path)
    (tmp_path / "config/lab.yaml").write_text(f"extends: paper\n{snippet}")
    assert holds(load_run("lab").settings.plain(), yaml.safe_load(snippet))


def holds(settings, written):
    """Whether every written setting has its value; `images: {kind: folder}` leaves the other fields alone."""
    if not isinstance(written, dict) or settings is None:
        return settings == written
    return all(key in settings and holds(settings[key], value) for key, value in written.items())


def test_a_snippet_sets_what_a_run_on_other_data_must_not_inherit():
    """`paper` counts in CC12M's numbers: doctor, budget and schedule would too."""
    (own,) = [found for found in map(yaml.safe_load, SNIPPETS) if "samples_per_epoch" in found]
    assert {"samples_per_epoch", "batch_size", "heldout", "data"} <= set(own)
    assert {"mean", "std"} <= set(own["data"]["image"])


def test_every_kind_of_source_has_a_snippet():
    kinds = {yaml.safe_load(snippet).get("data", {}).get("source", {}).get("kind") for snippet in SNIPPETS}
    assert kinds >= {"tsv", "webdataset", "folder", "hdf5"}


@pytest.mark.parametrize("line", sorted(set(COMMANDS)))
def test_a_command_and_its_options_exist(line):
    command, context = main, click.Context(main)
    for word in line.split()[1:]:
        if isinstance(command, click.Group):
            command = command.get_command(context, word)
            assert command is not None, line
    options = {option for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", line)) <= options


def test_every_reason_for_which_a_sample_is_rejected_is_explained():
    named = set(re.findall(r"`([a-z0-9_]+)`", GUIDE))
    fetched = {name for text in SOURCE.values() for name in re.findall(r'FetchError\("([a-z_]+)"', text)}
    fetched |= {reason for _, reason in KINDS}
    assert {"timeout", "too_large", "forbidden_address"} <= fetched
    rejected = {name for text in SOURCE.values() for name in re.findall(r'Rejected\(\S+, "([a-z_]+)"', text)}
    assert {"image_missing", "image_duplicate"} <= rejected
    assert REASONS.keys() | {f"download_{reason}" for reason in fetched} | rejected <= named


def test_every_variable_of_the_environment_is_one_that_the_code_reads():
    named = set(re.findall(r"M3AE_[A-Z_]+", GUIDE))
    assert len(named) >= 4
    assert all(any(f'"{name}"' in text for text in SOURCE.values()) for name in named)


def test_the_settings_that_it_names_exist():
    settings = load_run_fields()
    named = set(re.findall(r"`(?:data\.)?((?:download|clean|tokens|image)\.[a-z_]+)`", GUIDE))
    assert len(named) >= 8
    assert named <= settings


def load_run_fields():
    """The settings of the data, as `download.timeout_s`."""
    from m3ae.config.data import Data

    fields = Data.model_fields
    return {
        f"{part}.{name}"
        for part in ("download", "clean", "tokens", "image")
        for name in fields[part].annotation.model_fields
    }
