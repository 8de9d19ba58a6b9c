"""Which inputs a job still asks for, once its results are here.

Whoever pulled an encoder need not have the data that it was trained on. If another job needs those data, the
workflow makes them; that must not train the encoder again: its record says what it was trained on, and the
next call of Snakemake compares (recognise.py).
"""

from collections.abc import Callable, Iterable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from m3ae.artifacts.asked import Asked
from m3ae.artifacts.notes import Notes
from m3ae.artifacts.plan import Plan, Step, steps
from m3ae.artifacts.recognise import is_older_than_inputs
from m3ae.config.run import Run

Files = str | Iterable[Any] | Callable[[Any], Iterable[Any]]
"""A pattern of the workflow, several, or a function of the wildcards."""


class Needs:
    """What the jobs of a run ask for."""

    def __init__(self, workflow: Any, run: Run) -> None:
        self.workflow, self.run = workflow, run
        self.notes = Notes()
        self.asks_all = cache(self.has_noted_inputs)

    def of(self, made: Files, *files: Files) -> Callable[[Any], list[str]]:
        """The input function of the job that has ``made``: its ``files``, as far as it asks for them."""

        def asked(wildcards: Any) -> list[str]:
            named = [name for part in files for name in filled(part, wildcards)]
            here = [name for name in named if Path(name).exists()]
            return named if len(here) == len(named) or self.asks(filled(made, wildcards)) else here

        return asked

    def asks(self, made: list[str]) -> bool:
        """Whether the job that makes these asks for what is missing: it runs, or nothing is known of it."""
        if self.plan is None:
            return True
        found = {self.plan.makers.get(Path(name)) for name in made}
        return not found <= self.plan.reached or any(
            step in self.plan.running or self.asks_all(step) for step in found
        )

    @cached_property
    def plan(self) -> Plan | None:
        """What will run; None where that cannot be said from the command line."""
        table = list(steps(self.run))
        asked = Asked(self.workflow, {path for step in table for path in step.outputs})
        plan = Plan(table, asked.files)
        if not (asked.is_known and plan.reached):
            return None
        missing = [plan.makers[path] for path in asked.files if path in plan.makers and not path.exists()]
        others = [step for step in plan.reached if asked.forces(step) or self.is_stale(step)]
        plan.run(missing, others, self.asks_all)
        return plan

    def is_stale(self, step: Step) -> bool:
        """Whether Snakemake will find that a job was done in another way, or was not finished."""
        return any(
            self.notes.is_unfinished(job)
            or self.notes.contradict(job, job.params())
            or is_older_than_inputs(job)
            for job in step.jobs
        )

    def has_noted_inputs(self, step: Step) -> bool:
        """Whether Snakemake noted what a job read, made here or drawn: then it must not read less."""
        return any(job.has_receipt for job in step.jobs) or any(map(self.notes.inputs, step.outputs))


def filled(part: Files, wildcards: Any) -> list[str]:
    """The files that a part of a rule's input stands for."""
    if callable(part):
        return list(part(wildcards))  # as they are: they may be marked as `ancient`
    patterns = [part] if isinstance(part, str) else part
    return [pattern.format(**dict(wildcards.items())) for pattern in patterns]
