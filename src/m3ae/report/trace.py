"""From a number to what made it: its record, the log of its stage, and the commands that give it again."""

from pathlib import Path

from markupsafe import Markup

from m3ae.config import Run
from m3ae.report import html
from m3ae.report.format import NOTHING
from m3ae.report.results import record_path


def log_of(run: Run, record: Path) -> Path:
    """The log of the rule that wrote a record: ``logs/{run}/{model}/{stage}.log``, as in the workflow.

    Where it is not here, for git has none: the reference step log of the model's training, if there is one.
    """
    model, stage = record.parent.name, record.stem.partition("-")[0]
    own = Path("logs") / run.name / model / f"{stage}.log"
    return own if own.is_file() else run.paths.reports / "logs" / f"{model}.jsonl"


def sources(run: Run, model: str, stage: str) -> Markup:
    """Links to a cell's record and log, those that are there; "-" where nothing was run."""
    record = record_path(run, model, stage)
    found = {"record": record, "log": log_of(run, record)}
    links = [
        Markup('<a href="../../{}" aria-label="{} of {} {}">{}</a>').format(
            path.as_posix(), word, model, stage, word
        )
        for word, path in found.items()
        if path.is_file()
    ]
    return Markup(" · ").join(links) or Markup(NOTHING)


def with_command(run: Run, figure: str, model: str, stage: str) -> Markup:
    """Record and log, and a link to the commands on the figure's page."""
    place = Markup('<a href="{}.html#{}" aria-label="commands of {} in {}">command</a>').format(
        figure, anchor(model), model, figure
    )
    found = sources(run, model, stage)
    return place if found == NOTHING else Markup(" · ").join([found, place])


def of_two(run: Run, figure: str, better: str, worse: str, stage: str) -> Markup:
    """The two records behind an ordering, those that are there, and the figure's commands."""
    records = {"better": record_path(run, better, stage), "worse": record_path(run, worse, stage)}
    links = [
        Markup('<a href="../../{}" aria-label="record of {} {}">{}</a>').format(
            path.as_posix(), path.parent.name, stage, word
        )
        for word, path in records.items()
        if path.is_file()
    ]
    place = Markup('<a href="{0}.html#commands" aria-label="commands of {0}">command</a>').format(figure)
    return Markup(" · ").join([*links, place])


def anchor(model: str) -> str:
    """Where a figure's page tells the commands of a model."""
    return f"command-{model}"


def commands(run: Run, models: dict[str, str], stage: str, cells: dict[str, list[str]]) -> Markup:
    """For each of ``models`` (with their labels): what makes its record again, what explains its cells."""
    rows = [
        Markup('<dt id="{}">{}</dt><dd>{}</dd>').format(
            anchor(model),
            label,
            html.terminal(
                f"snakemake {record_path(run, model, stage).as_posix()} --config run={run.name}",
                *(f"m3ae explain {cell} --run {run.name}" for cell in cells[model]),
            ),
        )
        for model, label in models.items()
    ]
    return Markup('<dl class="commands">{}</dl>').format(html.joined(rows))
