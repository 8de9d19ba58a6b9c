"""docs/results.md and the table of README say what the records say, as the report prints it.

In one file, for the differences take seconds to draw, and are then remembered.
"""

import re
from functools import cache

import pytest

from m3ae.config import load_run
from m3ae.evaluate.bootstrap import Interval
from m3ae.report import evidence
from m3ae.report.combined import combine
from m3ae.report.format import interval, rounded, signed
from m3ae.report.orderings import orderings
from m3ae.report.seeds import records_by_seed
from m3ae.report.tables import figure_table
from m3ae.report.verdicts import FAILS, HOLDS, NOT_RESOLVED
from small_project import CHECKOUT

README = (CHECKOUT / "README.md").read_text()
PAGE = (CHECKOUT / "docs/results.md").read_text()
WORDS = {HOLDS: "holds", FAILS: "**does not hold**", NOT_RESOLVED: "not resolved"}
ROWS = [
    ("M3AE > MAE, ViT-B, 100 epochs, linear accuracy", "M3AE > MAE", "cifar100", "accuracy"),
    (
        "M3AE > MAE, ViT-L, 25 epochs, linear accuracy",
        "M3AE, ViT-L, 25 epochs > MAE, ViT-L, 25 epochs",
        "cifar100",
        "accuracy",
    ),
    ("M3AE with 10 % of the captions > MAE", "M3AE, 10 % paired > MAE", "cifar100", "accuracy"),
    (
        "M3AE with all captions > M3AE with 10 % of them",
        "M3AE, 100 % paired > M3AE, 10 % paired",
        "cifar100",
        "accuracy",
    ),
    ("CLIP > M3AE", "CLIP > M3AE", "cifar100", "accuracy"),
    ("supervised > CLIP", "Supervised > CLIP", "cifar100", "accuracy"),
    ("M3AE > MAE, Mahalanobis AUROC", "M3AE > MAE", "cifar100-cifar10", "mahalanobis_auroc"),
    ("M3AE > MAE, maximum softmax probability", "M3AE > MAE", "cifar100-cifar10", "msp_auroc"),
    ("M3AE > MAE, accuracy (ours)", "M3AE > MAE", "cifar10", "accuracy"),
    ("M3AE > MAE, mean average precision (ours)", "M3AE > MAE", "", "mean_average_precision"),
]
TABLE = [
    ("probe-cifar100", "accuracy"),
    ("probe-cifar10", "accuracy"),
    ("concepts", "mean_average_precision"),
    ("ood-cifar100-cifar10", "mahalanobis_auroc"),
    ("ood-cifar100-cifar10", "msp_auroc"),
]


@cache
def found_orderings():
    return orderings(load_run("photos"))


def plain(text):
    """With the minus sign that Markdown pages are written with."""
    return text.replace("\N{MINUS SIGN}", "-")


def page_rows():
    """Cells of the table of orderings, by their first."""
    lines = [
        re.split(r" \| ", line.strip("| ")) for line in PAGE.splitlines() if " > " in line and "|" in line
    ]
    return {cells[0]: cells[1:] for cells in lines}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_an_ordering_is_the_records(in_project, row):
    name, ordering, subject, metric = row
    table = found_orderings()
    found = table[(table.ordering == ordering) & (table.subject == subject) & (table.metric == metric)].iloc[
        0
    ]
    _, difference, seeds, verdict = page_rows()[name]
    number = plain(f"{signed(found.difference)} [{signed(found.low)}, {signed(found.high)}]")
    assert difference.replace(" points", "") == number
    assert seeds == " and ".join(str(len(side.split())) for side in found.seeds.split(" against "))
    assert verdict == WORDS[found.verdict]


def test_every_ordering_of_the_paper_that_was_run_is_on_the_page(in_project):
    table = found_orderings()
    run = table[(table.source != "ours") & table.difference.notna()]
    named = {row[1:] for row in ROWS}
    assert set(zip(run.ordering, run.subject, run.metric, strict=True)) <= named
    assert set(page_rows()) == {row[0] for row in ROWS}


def test_the_probes_of_all_tasks_are_over_all_seeds_as_in_figure_3(in_project):
    run = load_run("photos")
    cells = figure_table(run, "figure3").set_index("model")
    for model in ("m3ae-b100", "mae-b100"):
        found = evidence.accuracy(run, model, run.tasks[0]).striptags()
        assert found.split()[0] == rounded(cells.loc[[model], "ours"].iloc[0])


@pytest.mark.parametrize(("stage", "metric"), TABLE)
def test_the_readmes_table_holds_the_records_numbers(in_project, stage, metric):
    run = load_run("photos")
    cells = []
    for model in ("m3ae-b100", "mae-b100", "clip-b", "supervised-b", "untrained-b"):
        metrics = [record.metrics[metric] for record in records_by_seed(run, model, stage).values()]
        found = combine(
            [Interval(m.value, m.low, m.high) for m in metrics], run.settings.statistics.confidence
        )
        value, low, high = (round(number, 4) for number in found)  # as in tables
        cells.append(plain(f"{rounded(value)} {interval(low, high)}"))
    table = found_orderings()
    subject = stage.partition("-")[2]
    row = table[(table.subject == subject) & (table.metric == metric) & table.ordering.eq("M3AE > MAE")].iloc[
        0
    ]
    cells.append(plain(f"{signed(row.difference)} [{signed(row.low)}, {signed(row.high)}]"))
    assert f"| {' | '.join(cells)} | {row.verdict} |" in README
