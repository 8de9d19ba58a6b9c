"""A clone and a plain `dvc pull` are a finished run: nothing is made again that is there and fits."""

import pytest

from pulled_project import RUN, plan, published, pulled  # noqa: F401
from test_workflow import snakemake

pytestmark = pytest.mark.slow


def test_nothing_is_planned(pulled):  # noqa: F811
    assert plan(pulled) == {}


def test_a_figure_is_one_job_and_the_same_bytes(pulled):  # noqa: F811
    paths = [pulled / f"reports/micro/figure4.{ending}" for ending in ("csv", "md", "svg", "png")]
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    code, text = snakemake(pulled, "figure4", *RUN)
    assert code == 0, text
    assert "1 of 1 steps" in text
    assert [path.read_bytes() for path in paths] == before
    assert plan(pulled) == {}
