"""Charts show what the records say, and are the same byte for byte."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import made_records as made
from m3ae.config import Run, load_run
from m3ae.errors import UserError
from m3ae.report import figure3, figure6, style
from m3ae.report.curves import LOSSES, curves_table
from m3ae.report.dots import draw_dots
from m3ae.report.figures import FIGURES, make_figure
from m3ae.report.lines import draw_lines
from m3ae.report.names import place_names
from m3ae.report.tables import figure_table


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return made.make_project(tmp_path)


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_records_give_the_same_bytes(run, name):
    made.write_everything(run)
    bytes_of = {}
    for turn in range(2):
        make_figure(run, name)
        paths = sorted(run.paths.reports.glob(f"{name}.*"))
        bytes_of[turn] = {path.name: path.read_bytes() for path in paths}
    assert bytes_of[0] == bytes_of[1]
    ends = {Path(file).suffix for file in bytes_of[0]}
    assert ends == {".csv", ".svg", ".png"} | ({".md"} if name != "curves" else set())
    assert b"<dc:date>" not in bytes_of[0][f"{name}.svg"]


@pytest.mark.parametrize("name", FIGURES)
def test_charts_are_drawn_where_nothing_was_run(run, name):
    make_figure(run, name)
    assert (run.paths.reports / f"{name}.svg").stat().st_size > 1000


def test_an_unknown_figure_is_refused(run):
    with pytest.raises(UserError, match="expected one of figure3, figure4, figure5, figure6, curves"):
        make_figure(run, "figure1")


def test_the_banner_is_in_every_chart_in_lines_that_fit(run):
    for name in FIGURES:
        make_figure(run, name)
    with style.theme():
        title = style.new_figure(run, 4)._suptitle
        assert title.get_text().replace("\n", " ") == run.settings.banner
        assert max(map(len, title.get_text().splitlines())) <= 56
        assert title.get_fontsize() >= 15


def test_a_figure_of_a_run_without_banner_has_none(run):
    assert style.balanced("") == []
    with style.theme():
        assert style.new_figure(load_run("paper"), 4)._suptitle is None


def test_a_users_matplotlib_settings_come_back(run):
    import matplotlib as mpl

    before = mpl.rcParams["font.size"]
    with style.theme():
        assert mpl.rcParams["svg.hashsalt"] == "m3ae"
    assert mpl.rcParams["font.size"] == before


def test_histograms_show_the_middle_of_all_scores_as_shares_of_each_side(run):
    """One image far from all others does not squeeze the rest into one bin."""
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(1, 1, 120), np.append(rng.normal(0, 2, 79), -1000)
    made.write_ood(run, "mae-b100", "digits-heldout", inside, outside)
    metric = figure6.scores(run, "mae-b100", "msp_auroc")
    edges, shares_in, shares_out = figure6.histogram(metric, run.settings.ood.bins)
    assert len(edges) == 52
    assert len(shares_in) == len(shares_out) == 51
    values = np.concatenate([inside, outside]).astype(np.float32)
    assert (values < edges[0]).sum() == (values > edges[-1]).sum() == 2  # 1 % of 200 at either end
    for k in range(50):  # the last bin alone includes its right edge
        count = sum(edges[k] <= value < edges[k + 1] for value in inside.astype(np.float32))
        assert shares_in[k] == pytest.approx(100 * count / 120)


def test_a_tall_chart_has_its_marks_on_top_and_a_scale_below_each_panel(run):
    """Panels `digit` to `place`, two in a row: a window shows one row at a time."""
    rows = [
        {"model": "m3ae-b100", "panel": panel, "metric": "sweep", "ours": 9.0, "low": 8.0, "high": 10.0}
        for panel in run.tasks
    ]
    with style.theme():
        figure = draw_dots(run, pd.DataFrame(rows), "accuracy (%)")
        figure.draw_without_rendering()
    (legend,), (banner, *_) = figure.legends, [figure._suptitle]
    below, above = legend.get_window_extent(), figure.axes[0].title.get_window_extent()
    assert above.y1 <= below.y0
    assert below.y1 <= banner.get_window_extent().y1 - 2 * 15  # two lines of the banner
    assert all(axes.xaxis.get_tick_params()["labelbottom"] for axes in figure.axes)


def test_four_attacks_stand_in_a_square_with_radii_as_people_count_them(run):
    attacks = ["fgsm_linf_0.00392", "pgd40_linf_0.00392", "pgd40_l2_0.5", "autoattack_linf_0.00392"]
    rows = [
        {"model": "m3ae-b100", "metric": metric, "ours": 9.0, "low": 8.0, "high": 10.0}
        for metric in ["clean", *attacks]
    ]
    with style.theme():
        figure = draw_lines(run, pd.DataFrame(rows), "accuracy (%)")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        "FGSM\nL-infinity",
        "PGD, 40 steps\nL-infinity",
        "PGD, 40 steps\nL2",
        "AutoAttack\nL-infinity",
    ]
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == (2, 2)
    assert [round(float(axes.lines[0].get_xdata()[-1]), 2) for axes in figure.axes] == [1.0, 1.0, 0.5, 1.0]


def test_figure_3_puts_each_model_at_its_share_of_captions(run):
    made.write_everything(run)
    table = figure_table(run, "figure3")
    points = figure3.points(run, table)
    assert points.groupby("method")["x"].apply(list).to_dict() == {
        "MAE": [0.0],
        "Supervised": [0.0],
        "M3AE": [0.1, 0.2, 0.3, 1.0],
        "CLIP": [1.0],
    }
    assert figure3.untrained_accuracy(run, table) == 31.0


def test_toy_numbers_never_share_an_axis_with_the_papers(run):
    made.write_everything(run)
    points = figure3.points(run, figure_table(run, "figure3"))
    Path("config/same.yaml").write_text("extends: tiny\ncheck: {comparable: true}\n")
    with style.theme():
        apart, together = (figure3.draw(which, points, 31.0).axes for which in (run, load_run("same")))
    assert (len(apart), len(together)) == (2, 1)
    names = [text.get_text() for text in together[0].texts]
    assert "M3AE 62.0, paper 59.4" in names
    assert "CLIP 69.0" in names


@pytest.mark.parametrize("seed", range(3))
def test_names_in_figure_3_stay_inside_and_off_each_other(run, seed):
    """Accuracies of any size, in intervals that cross."""
    made.write_everything(run)
    points = figure3.points(run, figure_table(run, "figure3"))
    rng = np.random.default_rng(seed)
    ours, half = rng.uniform(14, 20, len(points)), rng.uniform(1, 3, len(points))
    points = points.assign(ours=ours, low=ours - half, high=ours + half)
    with style.theme():
        figure = figure3.draw(run, points, 17.0)
        figure.draw_without_rendering()
        for axes in figure.axes:
            frame, boxes = axes.get_window_extent(), [text.get_window_extent() for text in axes.texts]
            assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
            assert all(frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)
            assert not any(one.overlaps(two) for one, two in itertools.combinations(boxes, 2))


def test_a_name_stands_beside_its_point_off_the_line_that_passes_there():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    free, crossed = (
        axes.annotate("name", (0.2, y), (0, 0), textcoords="offset points", va="center") for y in (0.2, 0.6)
    )
    axes.plot([0.22, 1.0], [0.6, 0.6])
    place_names([free, crossed])
    (x, y), line = free.xyann, axes.transData.transform((0.5, 0.6))[1]
    box = crossed.get_window_extent()
    assert (x > 0, y) == (True, 0)
    assert line < box.y0 or line > box.y1


def test_both_numbers_of_the_later_version_are_drawn(run):
    """It prints M3AE as 61.3, and as 58.8 at 100 % paired."""
    points = figure3.points(run, figure_table(run, "figure3"))
    with style.theme():
        paper = figure3.draw(run, points, None).axes[1]
    assert "M3AE 59.4 (v3 61.3, 58.8)" in [text.get_text() for text in paper.texts]
    dots = [line for line in paper.lines if line.get_marker() == "."]
    assert {61.3, 58.8, 44.6} <= {y for line in dots for y in line.get_ydata()}


def test_alt_texts_tell_the_numbers(run):
    made.write_everything(run)
    assert "M3AE 62.0 (paper 59.4)" in figure3.describe(run, figure_table(run, "figure3"))
    assert "(paper 71.415)" in figure6.describe(run, figure_table(run, "figure6"))


def test_figure_6_says_which_of_several_seeds_it_draws():
    cell = {"ours": 52.4, "low": 49.1, "high": 55.7, "paper_v1": 71.415, "seeds": "42 43 44"}
    assert figure6.drawn(cell) == " · drawn: seed 42"
    assert figure6.caption(cell) == "AUROC 52.4 [49.1, 55.7], 3 seeds\npaper, CIFAR: 71.415"
    alone = {**cell, "seeds": "42", "paper_v1": None}
    assert figure6.drawn(alone) == figure6.drawn({**cell, "seeds": None}) == ""
    assert figure6.caption(alone) == "AUROC 52.4 [49.1, 55.7]\nnot in the paper"


def test_curves_are_the_step_logs(run):
    made.write_everything(run)
    make_figure(run, "curves")
    table = pd.read_csv(run.paths.reports / "curves.csv", float_precision="round_trip")
    lines = [json.loads(line) for line in run.paths.step_log("m3ae-b100").read_text().splitlines()]
    ours = table[table["model"] == "m3ae-b100"]
    assert list(table.columns) == ["model", "samples", *LOSSES, "lr"]
    assert ours["text_loss"].to_list() == [line["text_loss"] for line in lines]
    assert ours["samples"].to_list() == [line["samples"] for line in lines]
    assert table.loc[table["model"] == "mae-b100", "text_loss"].isna().all()
    assert "untrained-b" not in set(table["model"])


def test_a_broken_step_log_is_one_clear_line(run):
    made.write_pretrain(run, "mae-b100")
    run.paths.step_log("mae-b100").write_text('{"step": 1\n')
    with pytest.raises(UserError, match=r"steps\.jsonl: not one JSON object per line"):
        curves_table(run)
