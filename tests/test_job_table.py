"""The job table of what is recognised, against the rules themselves: outputs, parameters, inputs."""

import json
import os
import time
from base64 import urlsafe_b64decode

import pytest

from forked import snakemake
from m3ae.artifacts.jobs import jobs
from m3ae.artifacts.plan import steps
from m3ae.artifacts.recognise import adopt
from m3ae.config import load_run
from made_shards import make_stream_project
from test_workflow import copy_project

pytestmark = pytest.mark.slow


def noted(folder):
    """What Snakemake notes of every output that the workflow declares."""
    code, text = snakemake(folder, "all", "augmented", "--touch", "--forceall", "--quiet", "all")
    assert code == 0, text
    for path in (folder / ".snakemake/metadata").rglob("*"):
        if path.is_file():
            parts = path.relative_to(folder / ".snakemake/metadata").parts
            name = "".join(part.removeprefix("@") for part in parts)
            yield urlsafe_b64decode(name).decode(), json.loads(path.read_text())


@pytest.mark.parametrize("name", ["tiny", "photos"])
def test_jobs_are_those_of_the_rules(tmp_path, monkeypatch, name):
    copy_project(tmp_path)
    config = tmp_path / "profiles/default/config.yaml"
    config.write_text(config.read_text() + f"config: [run={name}]\n")
    notes = dict(noted(tmp_path))
    monkeypatch.chdir(tmp_path)
    known = {path.as_posix(): job for job in jobs(load_run(name)) for path in job.outputs}
    brought = {name for name in notes if "/source/" in name or "/raw/" in name}
    assert set(notes) - brought == set(known)
    for path, job in known.items():
        assert notes[path]["params"] == sorted(map(repr, job.params())), path
        if job.has_receipt:
            assert notes[path]["input"] == sorted(map(str, job.inputs.values())), path
    read = {str(path): set(map(str, step.reads)) for step in steps(load_run(name)) for path in step.outputs}
    assert {path: set(note["input"]) for path, note in notes.items()} == read


@pytest.mark.parametrize("name", ["tiny", "photos"])
def test_makers_come_before_readers(tmp_path, monkeypatch, name):
    copy_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    table = list(jobs(load_run(name)))
    made, seen = {path for job in table for path in job.outputs}, set()
    for job in table:
        assert made & {*job.inputs.values(), *job.beside} <= seen, job.stage
        seen |= set(job.outputs)


@pytest.mark.parametrize(("model", "plans"), [("mae-s50", False), ("m3ae-s50", True)])
def test_newer_words_train_those_again_that_read_them(tmp_path, model, plans):
    copy_project(tmp_path)
    encoder = f"results/tiny/{model}/encoder.safetensors"
    for age, name in enumerate(
        ("data/tiny/tokens/train.arrow", encoder, "data/tiny/shards/train/manifest.json")
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text("{}")
        os.utime(path, (time.time() - 100 * age,) * 2)
    text = snakemake(tmp_path, "-n", encoder, "--allowed-rules", "pretrain", "--config", "run=tiny")[1]
    assert ("Nothing to be done" in text, "rule pretrain" in text) == (not plans, plans), text


def test_passages_that_were_brought_are_recognised(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_stream_project(tmp_path)  # its texts.json states the bytes of the passages under `sha256`
    assert "texts" in {verdict.job.stage for verdict in adopt(run).recognised}
