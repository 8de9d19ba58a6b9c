"""DVC: it declares and never executes, and its embedded remote works in a fresh clone."""

import configparser
import shutil
import subprocess
import sys

import pytest
import yaml

from m3ae.config import load_run
from small_project import CHECKOUT


def dvc(folder, *arguments):
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def git(folder, *arguments):
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, check=True)


def test_dvc_declares_and_does_not_execute():
    declared = yaml.safe_load((CHECKOUT / "dvc.yaml").read_text())
    assert set(declared) == {"artifacts", "metrics", "params", "plots"}
    for path in declared["params"] + declared["metrics"]:
        assert (CHECKOUT / path).is_file(), path


def test_the_default_remote_lies_in_the_repository():
    config = configparser.ConfigParser()
    config.read(CHECKOUT / ".dvc/config")
    assert config["core"]["remote"] == "embedded"
    assert config["'remote \"embedded\"'"]["url"] == "../data/store"
    ignored = subprocess.run(["git", "check-ignore", "data/store/files/md5/00/x"], cwd=CHECKOUT, check=False)
    assert ignored.returncode == 1, "what is pushed to the embedded remote must be in git"


def test_declared_artifacts_are_published_encoders():
    declared = yaml.safe_load((CHECKOUT / "dvc.yaml").read_text())["artifacts"]
    for name, artifact in declared.items():
        _, run, model, file = artifact["path"].split("/")
        assert (name, file) == (f"{model}-{run}", "encoder.parquet")
        assert model in load_run(run).models
        published = yaml.safe_load((CHECKOUT / f"results/{run}-encoders.dvc").read_text())["outs"]
        assert artifact["path"] in {out["path"] for out in published}


@pytest.mark.slow
def test_a_push_to_the_embedded_remote_can_be_pulled_in_a_fresh_clone(tmp_path):
    first = tmp_path / "first"
    first.mkdir()
    for name in (".dvc/config", ".dvc/.gitignore", ".gitignore", ".dvcignore"):
        (first / name).parent.mkdir(exist_ok=True)
        shutil.copy(CHECKOUT / name, first / name)
    git(first, "init", "-q")
    (first / "artifact.bin").write_bytes(b"frozen weights")
    dvc(first, "add", "artifact.bin")
    dvc(first, "push")
    git(first, "add", "-A")
    git(first, "commit", "-qm", "publish")
    git(tmp_path, "clone", "-q", "first", "second")
    assert not (tmp_path / "second/artifact.bin").exists()
    dvc(tmp_path / "second", "pull")
    assert (tmp_path / "second/artifact.bin").read_bytes() == b"frozen weights"
