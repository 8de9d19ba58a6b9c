"""The grid is data: a line under `models` makes a row, and its settings say which figure shows it."""

import pytest
import yaml

from m3ae.config import load_run
from m3ae.errors import UserError
from small_project import CHECKOUT, make_config

LARGER = {"method": "m3ae", "size": "h", "epochs": 1}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A run with some rows more."""
    monkeypatch.chdir(tmp_path)

    def make(models, **changes):
        make_config(tmp_path, **{"rows": None, "models": models, **changes})
        return load_run("micro")

    return make


# --- rows follow from models ---


def lines_of_paper():
    """The names under `models` as they stand in the file."""
    return list(yaml.safe_load((CHECKOUT / "config/paper.yaml").read_text())["models"])


@pytest.mark.parametrize("name", ["tiny", "paper"])
def test_the_lines_of_the_grid_are_the_rows(in_project, name):
    assert load_run(name).rows == lines_of_paper()


def test_a_new_row_is_one_line(made):
    run = made({"m3ae-h50": LARGER})
    assert set(run.rows) == {*lines_of_paper(), "m3ae-h50"}
    assert run.model("m3ae-h50").size == "h"


def test_rows_stand_in_the_order_of_their_lines_and_the_untrained_last(made):
    run = made({"m3ae-h50": LARGER, "untrained-h": {**LARGER, "epochs": 0}})
    *trained, untrained = lines_of_paper()
    assert run.rows == [*trained, "m3ae-h50", untrained, "untrained-h"]


def test_a_list_of_rows_makes_these_alone(made):
    assert made({"m3ae-h50": LARGER}, rows=["m3ae-h50", "mae-b100"]).rows == ["m3ae-h50", "mae-b100"]


@pytest.mark.parametrize("rows", [None, ["m3ae-h50"]])
def test_a_line_that_is_wrong_is_the_only_finding(made, rows):
    with pytest.raises(UserError, match=r"models\.m3ae-h50\.epochs: missing; this key has no default$"):
        made({"m3ae-h50": {"method": "m3ae", "size": "h"}}, rows=rows)


def test_a_row_with_text_that_the_run_does_not_have_is_refused(made):
    with pytest.raises(UserError, match=r"mixture\.texts: expected 0 without data\.texts, got 0\.25"):
        made({"m3ae-h50": {**LARGER, "texts": 0.25}})
