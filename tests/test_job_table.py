"""The job table of what is recognised, against the rules themselves: outputs, parameters, inputs."""

import json
from base64 import urlsafe_b64decode

import pytest

from forked import snakemake
from m3ae.artifacts.jobs import jobs
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
        read = {path.as_posix() for path in job.inputs.values()}
        beside = {path.as_posix() for path in job.beside}
        assert set(notes[path]["input"]) - brought <= read | beside, path
        assert beside <= set(notes[path]["input"]), path
        if job.has_receipt:
            assert notes[path]["input"] == sorted(read), path


def test_passages_that_were_brought_are_recognised(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_stream_project(tmp_path)  # its texts.json states the bytes of the passages under `sha256`
    assert "texts" in {verdict.job.stage for verdict in adopt(run).recognised}
