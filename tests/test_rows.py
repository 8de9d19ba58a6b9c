"""The grid is data: a line under `models` makes a row, and its settings say which figure shows it."""

import pytest
import yaml

import made_records
from m3ae.config import load_run
from m3ae.config.printed import as_printed, figure_rows, printed_models
from m3ae.errors import UserError
from m3ae.report import figure3, figure4, figure5, style
from m3ae.report.cells import figure_cells
from m3ae.report.describe import describe
from m3ae.report.orderings import orderings
from m3ae.report.paper import TITLES
from m3ae.report.tables import figure_table
from small_project import CHECKOUT, make_config
from test_workflow import copy_project, planned

LARGER = {"method": "m3ae", "size": "h", "epochs": 1}
L50 = {"method": "m3ae", "size": "l", "epochs": 1.0}
"""The row m3ae-l50 as tiny has it, whose epochs are a fiftieth of the paper's."""
B100 = {"method": "m3ae", "size": "b", "epochs": 100}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A run like `tiny` with some rows more, or other ones."""
    monkeypatch.chdir(tmp_path)

    def make(models, **changes):
        make_config(tmp_path)
        write_own(tmp_path, models, **changes)
        return load_run("own")

    return make


def write_own(folder, models, **changes):
    settings = {"extends": "tiny", "models": models, **changes}
    (folder / "config/own.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


def drawn(figure, run, table):
    """The axes of a chart, in its own style."""
    with style.theme():
        return figure.draw(run, table).axes


def points_of(line):
    return [(float(x), round(float(y), 6)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def names(axes):
    """What stands under the marks of the horizontal axis."""
    return [text.get_text() for text in axes.get_xticklabels()]


# --- rows follow from models ---


def lines_of_paper():
    """The names under `models` as they stand in the file."""
    return list(yaml.safe_load((CHECKOUT / "config/paper.yaml").read_text())["models"])


@pytest.mark.parametrize("name", ["tiny", "paper"])
def test_the_lines_of_the_grid_are_the_rows(in_project, name):
    assert load_run(name).rows == lines_of_paper()


def test_a_new_row_is_one_line(own):
    run = own({"m3ae-h50": LARGER})
    assert set(run.rows) == {*lines_of_paper(), "m3ae-h50"}
    assert run.model("m3ae-h50").size == "h"


def test_rows_stand_in_the_order_of_their_lines_and_the_untrained_last(own):
    run = own({"m3ae-h50": LARGER, "untrained-h": {**LARGER, "epochs": 0}})
    *trained, untrained = lines_of_paper()
    assert run.rows == [*trained, "m3ae-h50", untrained, "untrained-h"]


def test_a_list_of_rows_makes_these_alone(own):
    assert own({"m3ae-h50": LARGER}, rows=["m3ae-h50", "mae-b100"]).rows == ["m3ae-h50", "mae-b100"]


@pytest.mark.parametrize("rows", [None, ["m3ae-h50"]])
def test_a_line_that_is_wrong_is_the_only_finding(own, rows):
    with pytest.raises(UserError, match=r"models\.m3ae-h50\.epochs: missing; this key has no default$"):
        own({"m3ae-h50": {"method": "m3ae", "size": "h"}}, rows=rows)


def test_a_row_with_text_that_the_run_does_not_have_is_refused(own):
    with pytest.raises(UserError, match=r"mixture\.texts: expected 0 without data\.texts, got 0\.25"):
        own({"m3ae-h50": {**LARGER, "texts": 0.25}})


def test_an_own_row_has_the_name_that_the_guide_gives_to_it(own):
    """Figure 4 names its panels where it prints them; an own row stands in one, and needs no panel."""
    guide = (CHECKOUT / "docs/report.md").read_text()
    rows = {"figure3": {**B100, "paired_share": 0.5}, "figure4": {**L50, "epochs": 4.0}}
    rows["figure5"] = {**L50, "text_mask_ratio": 0.6}
    run = own({f"new-{figure}": row for figure, row in rows.items()})
    for figure in rows:
        assert f"{figure}.new-{figure}" in {cell.name for cell in figure_cells(run, figure)}
        assert f"`{figure}.MODEL`" in guide


# --- which figure shows a row that the paper does not print ---


@pytest.mark.parametrize(("row", "figures"), [
    ({**L50, "text_mask_ratio": 0.6}, ["figure5"]),
    ({**B100, "paired_share": 0.5}, ["figure3"]),
    ({**L50, "epochs": 4.0}, ["figure4"]),
    ({"method": "mae", "size": "l", "epochs": 4.0}, ["figure4"]),
    ({**L50, "size": "h"}, ["figure4"]),
    ({**L50, "size": "h", "text_mask_ratio": 0.6}, ["figure3", "figure6"]),  # two at once
    ({**B100, "text_mask_ratio": 0.6}, ["figure3", "figure6"]),  # Figure 5 is of ViT-L
    ({**B100, "epochs": 50}, ["figure3", "figure6"]),  # Figure 4 is of ViT-L, or of 50 epochs
    ({**L50, "seed": 7}, ["figure3", "figure6"]),
    ({**L50, "epochs": 0}, ["figure3", "figure6"]),  # the untrained
    ({"method": "clip", "size": "b", "epochs": 2.0}, ["figure3", "figure6"]),
])  # fmt: skip
def test_a_row_belongs_to_the_figure_that_varies_what_it_varies(own, row, figures):
    run = own({"own-row": row})
    assert [name for name in TITLES if "own-row" in figure_rows(run, name)] == figures
    assert [name for name in TITLES if "own-row" in set(figure_table(run, name)["model"])] == figures


def test_a_figure_trains_the_rows_on_its_axis_and_no_other(tmp_path):
    copy_project(tmp_path)
    write_own(tmp_path, {"m3ae-l50-text60": {**L50, "text_mask_ratio": 0.6}})
    for figure, trained, given in (("figure5", 5, 0), ("figure3", 7, 1)):
        rules = planned(tmp_path, figure, "--config", "run=own")
        assert (rules["pretrain"], rules.get("given_encoder", 0)) == (trained, given)


def test_figure_5_draws_a_row_of_ours_at_its_ratio(own):
    run = own({"m3ae-l50-text60": {**L50, "text_mask_ratio": 0.6}})
    for model, share in zip(figure_rows(run, "figure5"), (0.4, 0.5, 0.6, 0.7, 0.8), strict=True):
        made_records.write_probe(run, model, "digit", made_records.hits(share))
    table = figure_table(run, "figure5")
    row = table.set_index("model").loc["m3ae-l50-text60"]
    assert (row["panel"], row["metric"], row["ours"]) == ("ours", "digit_accuracy", 80.0)
    assert table[["paper_v1", "paper_v3", "verdict"]].iloc[-1].replace("", None).isna().all()
    ours, paper = drawn(figure5, run, table)
    assert points_of(ours.lines[0]) == [(0.15, 50.0), (0.5, 60.0), (0.6, 80.0), (0.75, 40.0), (0.9, 70.0)]
    assert points_of(paper.lines[0]) == [(0.15, 53.3), (0.5, 62.5), (0.75, 64.1), (0.9, 62.6)]
    assert "m3ae-l50-text60 80.0 (paper -)" in describe(run, table)


def test_figure_3_draws_a_row_of_ours_at_its_share(own):
    run = own({"m3ae-b100-paired50": {**B100, "paired_share": 0.5}})
    made_records.write_probe(run, "m3ae-b100-paired50", "digit", made_records.hits(0.4))
    made_records.write_probe(run, "m3ae-b100", "digit", made_records.hits(0.6))
    points = figure3.points(run, figure_table(run, "figure3"))
    assert points.loc[points["x"] == 0.5, "ours"].item() == 40.0
    assert points.loc[points["x"] == 0.5, "printed_x"].isna().all()
    with style.theme():
        ours, paper = figure3.draw(run, points, None).axes
    assert (0.5, 40.0) in points_of(ours.lines[0])
    assert names(ours) == ["0", "10", "20", "30", "50", "100"]
    assert ((0.3, 54.5), (1.0, 59.4)) in [tuple(points_of(line)[-2:]) for line in paper.lines]


@pytest.mark.parametrize("comparable", [False, True])
def test_figure_4_draws_rows_of_ours_beside_the_others(own, comparable):
    """A length between two printed ones, counted as the paper counts; a larger model."""
    more = {"m3ae-l75": {**L50, "epochs": 1.5}, "mae-h50": {"method": "mae", "size": "h", "epochs": 1.0}}
    run = own(more, check={"comparable": comparable})
    made_records.write_probe(run, "m3ae-l75", "digit", made_records.hits(0.4))
    figure = drawn(figure4, run, figure_table(run, "figure4"))
    assert [names(axes) for axes in figure[:2]] == [
        ["25", "50", "75", "100"], ["ViT-S", "ViT-B", "ViT-L", "ViT-H"],
    ]  # fmt: skip
    (bar,) = figure[0].patches
    assert (bar.get_height(), round(bar.get_x() + bar.get_width() / 2)) == (40.0, 2)


# --- a row that is no longer the paper's ---


EDITED = {"m3ae-l50-text15": {"text_mask_ratio": 0.4}, "m3ae-b100-paired10": {"paired_share": 0.15}}


@pytest.mark.parametrize("name", ["tiny", "photos", "paper"])
def test_the_committed_rows_are_as_printed(in_project, name):
    run = load_run(name)
    assert [row for row in run.rows if as_printed(run, row)] == [
        row for row in run.rows if row in printed_models()
    ]


def test_lengths_and_sizes_are_the_runs_own_and_masks_are_the_papers(own):
    run = own({**EDITED, "m3ae-l25": {"epochs": 3.0}, "mae-s50": {"size": "b"}})
    changed = [row for row in printed_models() if not as_printed(run, row)]
    assert sorted(changed) == sorted(EDITED)
    all_hide_less = own({}, pretrain={"text_mask_ratio": 0.5})
    left = {row for row in printed_models() if as_printed(all_hide_less, row)}
    own_ratio = {"m3ae-l50-text15", "m3ae-l50-text50", "m3ae-l50-text90"}
    assert left == own_ratio | {row for row in printed_models() if not row.startswith("m3ae")}


def test_the_papers_points_stay_where_it_prints_them(own):
    run = own(EDITED)
    made_records.write_probe(run, "m3ae-l50-text15", "digit", made_records.hits(0.3))
    ours, paper = drawn(figure5, run, figure_table(run, "figure5"))
    assert points_of(ours.lines[0]) == [(0.4, 30.0)]
    assert points_of(paper.lines[0]) == [(0.15, 53.3), (0.5, 62.5), (0.75, 64.1), (0.9, 62.6)]
    cells = figure3.points(run, figure_table(run, "figure3"))
    m3ae = cells[cells["method"] == "M3AE"]
    assert list(m3ae["x"]) == [0.15, 0.2, 0.3, 1.0]
    assert list(m3ae["printed_x"]) == [0.1, 0.2, 0.3, 1.0]


def test_a_size_that_was_changed_moves_no_bar_of_the_papers(own):
    run = own({"m3ae-s50": {"size": "h"}, "mae-s50": {"size": "h"}})
    *_, printed = drawn(figure4, run, figure_table(run, "figure4"))
    assert names(printed) == ["ViT-S", "ViT-B", "ViT-L"]


@pytest.mark.parametrize("comparable", [False, True])
def test_a_cell_that_is_not_as_printed_is_not_compared(own, comparable):
    run = own(EDITED, check={"comparable": comparable})
    for model in figure_rows(run, "figure5"):
        made_records.write_probe(run, model, "digit", made_records.hits(0.5))
    verdicts = figure_table(run, "figure5").set_index("model")["verdict"]
    assert [row for row in verdicts.index if verdicts[row] == "not compared"] == ["m3ae-l50-text15"]
    assert set(figure_table(run, "figure3")["verdict"]) <= {"not run", ""}


def test_an_ordering_with_a_row_that_is_not_as_printed_is_not_judged(own):
    run = own(EDITED)
    for model, share in {"m3ae-l50": 0.4, "m3ae-l50-text15": 0.6, "m3ae-l50-text90": 0.3}.items():
        made_records.write_probe(run, model, "digit", made_records.hits(share))
    table = orderings(run)
    found = table[(table.source == "figure5") & table.difference.notna()]
    assert set(found.verdict) == {"not compared", "ordering holds"}
    cells = figure_table(run, "figure5").set_index("model")["verdict"]
    assert cells["m3ae-l50"] == "ordering holds"  # above 0.9; 0.15, which is 0.4 here, says nothing
