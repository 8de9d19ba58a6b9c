"""The records of photos in git are enough: a new clone plans what never ran, and nothing of what did."""

import re
import shutil

import pytest

from forked import snakemake
from m3ae.config import load_run
from small_project import CHECKOUT
from test_workflow import copy_project

pytestmark = pytest.mark.slow

TABLES = ("figure3", "figure4", "figure5", "figure6", "curves", "compute")


@pytest.fixture
def clone(tmp_path):
    """The checkout, with what git has of photos: records, tables, step logs."""
    copy_project(tmp_path)
    for name in ("results", "reports"):
        pictures = shutil.ignore_patterns("*.safetensors", "steps.jsonl", "*.png", "*.html")
        shutil.copytree(CHECKOUT / name / "photos", tmp_path / name / "photos", ignore=pictures)
    return tmp_path


def test_models_with_records_are_not_made_again_for_those_without(clone):
    code, text = snakemake(clone, "-n", *TABLES, "--quiet", "rules", "--config", "run=photos")
    assert code == 0, text
    plan = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", text, re.M)}
    run = load_run("photos")
    new = [model for model in run.models if not (clone / run.paths.record(model, "pretrain")).exists()]
    assert len(new) < len(run.models)
    assert {plan[rule] for rule in ("pretrain", "features", "probe", "concepts")} == {len(new)}
    assert "clusters" not in plan and "attacks" not in plan
