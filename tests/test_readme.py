"""The README says what the records say, and names nothing that is not there."""

import re

import pytest

from m3ae.config import load_run
from m3ae.evaluate.bootstrap import Interval
from m3ae.records import read_record
from m3ae.report.seeds import combine, records_by_seed
from m3ae.report.verdicts import orderings
from small_project import CHECKOUT

README = (CHECKOUT / "README.md").read_text()
ROWS = [("probe-cifar100", "accuracy"), ("probe-cifar10", "accuracy"), ("concepts", "mean_average_precision"),
        ("ood-cifar100-cifar10", "mahalanobis_auroc"), ("ood-cifar100-cifar10", "msp_auroc")]  # fmt: skip


def test_it_is_short():
    assert len(README.splitlines()) < 150


@pytest.mark.parametrize(("stage", "metric"), ROWS)
def test_its_table_holds_the_records_numbers(in_project, stage, metric):
    run = load_run("photos")
    cells = []
    for model in ("m3ae-b100", "mae-b100", "clip-b", "supervised-b", "untrained-b"):
        metrics = [record.metrics[metric] for record in records_by_seed(run, model, stage).values()]
        found = combine(
            [Interval(m.value, m.low, m.high) for m in metrics], run.settings.statistics.confidence
        )
        value, low, high = (round(number, 4) for number in found)  # as in tables
        cells.append(f"{value:.1f} [{low:.1f}, {high:.1f}]")
    table = orderings(run)
    subject = stage.partition("-")[2]
    row = table[(table.subject == subject) & (table.metric == metric) & table.ordering.eq("M3AE > MAE")].iloc[
        0
    ]
    cells.append(f"{row.difference:+.1f} [{row.low:+.1f}, {row.high:+.1f}]")
    assert f"| {' | '.join(cells)} | {row.verdict} |" in README


def test_its_held_out_numbers_are_the_records(in_project):
    run = load_run("photos")
    text = " ".join(README.split())
    m3ae = read_record(run.paths.record("m3ae-b100", "heldout")).metrics
    mae = read_record(run.paths.record("mae-b100", "heldout")).metrics
    for value in (m3ae["image_error"], m3ae["image_error_mean_visible"], mae["image_error"]):
        assert f"{value.value:.3f}" in text
    for name in ("word_accuracy", "word_accuracy_unigram"):
        assert f"{m3ae[name].value:.1f} %" in text
    gain, caption = m3ae["word_accuracy_image_gain"], m3ae["image_error_caption_gain"]
    assert f"+{gain.value:.1f} points [{gain.low:+.1f}, {gain.high:+.1f}]" in text
    assert f"{caption.value:.4f} [{caption.low:.4f}, {caption.high:.4f}]" in text


def test_every_link_of_the_documents_leads_somewhere():
    for path in [
        CHECKOUT / "README.md",
        *(CHECKOUT / "docs").glob("*.md"),
        CHECKOUT / "benchmarks/README.md",
    ]:
        for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if not link.startswith("http"):
                assert (path.parent / link).exists(), f"{path.name}: {link}"
