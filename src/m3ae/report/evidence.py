"""What the encoders learned: held-out errors in plain sentences, probes of all tasks."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from markupsafe import Markup

from m3ae.config import Run
from m3ae.evaluate.bootstrap import Interval
from m3ae.records import Metric
from m3ae.report import html
from m3ae.report.claims import M3AE, MAE, own_claims
from m3ae.report.format import NOTHING, interval, rounded, signed
from m3ae.report.ledger import orderings_table
from m3ae.report.paper import label
from m3ae.report.results import find_record
from m3ae.report.subjects import subject
from m3ae.report.tables import measured
from m3ae.report.verdicts import FAILS, HOLDS, judge

# what is asked, the model's metric, the baseline's, the paired gain (above 0: the model is better)
QUESTIONS = [
    ("Does it rebuild hidden patches better than the mean of the visible pixels?",
     "image_error", "image_error_mean_visible", "image_error_gain_over_mean"),
    ("Does the right caption help to rebuild the image, against another's?",
     "image_error", "image_error_shuffled_caption", "image_error_caption_gain"),
    ("Does it predict hidden words better than their frequency alone?",
     "word_accuracy", "word_accuracy_unigram", "word_accuracy_gain_over_unigram"),
    ("Does the right image help to predict hidden words, against another?",
     "word_accuracy", "word_accuracy_shuffled_image", "word_accuracy_image_gain"),
]  # fmt: skip


def heldout_table(run: Run) -> str:
    """Errors on hidden patches and words of held-out pairs, each against its baseline; a table per model."""
    rows = {model: list(heldout_rows(run, model)) for model in run.rows}
    tables = {
        model: html.table(pd.DataFrame(found), words=["question", "answer"], caption=label(run, model))
        for model, found in rows.items()
        if found
    }
    if not tables:
        return html.note(NOTHING)
    first = [table for model, table in tables.items() if model in (M3AE, MAE)]
    rest = [table for model, table in tables.items() if model not in (M3AE, MAE)]
    folded = html.details(f"{len(rest)} other models", html.joined(rest)) if rest else Markup("")
    return html.joined(first) + folded


def heldout_rows(run: Run, model: str) -> Iterator[dict[str, Any]]:
    """One row per question that the model was asked."""
    record = find_record(run, model, "heldout")
    metrics = record.metrics if record else {}
    for question, value, baseline, gain in QUESTIONS:
        if {value, baseline, gain} <= metrics.keys():
            found = metrics[gain]
            digits = 1 if metrics[value].unit == "%" else 4
            yield {
                "question": question,
                "model's": rounded(metrics[value].value, digits),
                "baseline's": rounded(metrics[baseline].value, digits),
                "gain": signed(found.value, digits),
                "interval": interval(found.low, found.high, digits),
                "answer": answer(metrics[value], metrics[baseline], found),
            }


def answer(value: Metric, baseline: Metric, gain: Metric) -> str:
    """The answer to a question, from the interval of the gain."""
    verdict = judge(Interval(gain.value, gain.low, gain.high))
    unit, digits = (" %", 1) if value.unit == "%" else ("", 4)
    what = "of the hidden words are right" if unit else "mean squared error"
    numbers = f"{value.value:.{digits}f}{unit} {what}, against {baseline.value:.{digits}f}{unit}."
    if verdict == HOLDS:
        return f"Yes: {numbers}"
    return f"No, it is worse: {numbers}" if verdict == FAILS else "Not resolved: the interval contains 0."


def probe_table(run: Run) -> str:
    """Linear probes of all tasks and models, with chance as the last row; then our orderings."""
    columns = {
        subject(task): [*(accuracy(run, model, task) for model in run.rows), chance(run, task)]
        for task in run.tasks
    }
    names = [*(label(run, model) for model in run.rows), "chance"]
    probes = pd.DataFrame({"model": names, **columns})
    own = orderings_table(run, list(own_claims(run)), "Our own orderings (percentage points)")
    return html.table(probes, words=["model"], caption="Accuracy (%) of linear probes") + own


def accuracy(run: Run, model: str, task: str) -> Markup:
    """A probe's accuracy over all its seeds, as in Figure 3, with its interval, linked to its record."""
    found = measured(run, model, f"probe-{task}", "accuracy")
    if not found:
        return Markup(NOTHING)
    value = html.link(found["record"], rounded(found["ours"]))
    return Markup("{} <small>{}</small>").format(value, interval(found["low"], found["high"]))


def chance(run: Run, task: str) -> str:
    """What guessing gives on a task, as the records state it."""
    records = (find_record(run, model, f"probe-{task}") for model in run.rows)
    return rounded(next((record.details.get("chance") for record in records if record), None))
