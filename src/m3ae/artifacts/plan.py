"""Which jobs will run: what Snakemake will decide, worked out before a job says what it reads.

A job asks for files that are missing only if it runs (needs.py), and whether it runs depends on others: on
those that read what it makes, and on those whose files it reads.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from m3ae.artifacts.jobs import jobs
from m3ae.artifacts.work import Job
from m3ae.config.inputs import made_here
from m3ae.config.run import Run
from m3ae.config.sources import brought_before, original_files, splits_of


@dataclass(eq=False)
class Step:
    """One job of the workflow."""

    jobs: tuple[Job, ...]
    """Those of the table (jobs.py) that it does at once."""

    @property
    def outputs(self) -> list[Path]:
        """All that it makes."""
        return [path for job in self.jobs for path in job.outputs]

    @property
    def follows(self) -> list[Path]:
        """What it reads, and is done again for."""
        return [path for job in self.jobs for path in job.follows]

    @property
    def reads(self) -> list[Path]:
        """All that it reads."""
        return [path for job in self.jobs for path in job.reads]


class Plan:
    """The jobs that will run for some targets."""

    def __init__(self, all_steps: Iterable[Step], targets: Collection[Path]) -> None:
        self.makers = {path: step for step in all_steps for path in step.outputs}
        self.running: set[Step] = set()
        self.changed: set[Step] = set()
        """Of those that run, the ones whose results may be others than before."""
        self.reached = set(self.reach(targets))
        self.readers: dict[Path, list[Step]] = {}
        for step in self.reached:
            for path in step.follows:
                self.readers.setdefault(path, []).append(step)

    def reach(self, targets: Iterable[Path]) -> Iterator[Step]:
        """The makers of ``targets``, and of all that these were made from."""
        seen, waiting = set(), [path for path in targets if path in self.makers]
        while waiting:
            step = self.makers[waiting.pop()]
            if step not in seen:
                seen.add(step)
                yield step
                waiting += [path for path in step.reads if path in self.makers]

    def run(self, missing: Iterable[Step], changed: Iterable[Step], asks_all: Callable[[Step], bool]) -> None:
        """Those that run: makers of what is missing, what was done in another way, and readers of either.

        Who reads what was missing, and has results that fit, need not run: the next start compares. Not so
        if it ``asks_all``, or what is missing will be made in another way than when it was read.
        """
        waiting = [(step, False) for step in missing] + [(step, True) for step in changed]
        while waiting:
            step, is_changed = waiting.pop()
            if step not in self.reached or step in (self.changed if is_changed else self.running):
                continue
            self.running.add(step)
            if is_changed:
                self.changed.add(step)
            makers = [self.makers[path] for path in step.reads if path in self.makers and not path.exists()]
            waiting += [(maker, False) for maker in makers]
            for path in step.outputs:
                asking = [
                    reader
                    for reader in self.readers.get(path, [])
                    if is_changed or path.exists() or asks_all(reader)
                ]
                waiting += [(reader, is_changed) for reader in asking]


def steps(run: Run) -> Iterator[Step]:
    """Every job of the workflow for a run, but for those that check and print."""
    at_once = {run.paths.evalset(name): "evalsets" for name in made_here(run)}
    at_once |= {run.paths.record(model, "clusters"): "clusters" for model in run.clustered}
    together: dict[str, list[Job]] = {}
    for job in chain(source_jobs(run), jobs(run)):
        if name := at_once.get(job.outputs[0]):
            together.setdefault(name, []).append(job)
        else:
            yield Step((job,))
    yield from (Step(tuple(group)) for group in together.values())


def source_jobs(run: Run) -> Iterator[Job]:
    """What brings lists and pictures: no record speaks of it, Snakemake alone notes it."""
    paths = run.paths
    lists = (paths.list("train"), paths.list("heldout"))
    yield Job("source", None, lists, (), files(original_files(run, "train")), lambda: [run.stage("source")])
    if run.settings.data.images:
        originals = files(original_files(run, "images"))
        yield Job("images", None, (paths.list("images"),), (), originals, lambda: [run.stage("images")])
    for split in splits_of(run):
        read = files([paths.list(split), *brought_before(run, split)])
        yield Job("download", None, (paths.download(split),), (), read, lambda: [run.stage("download")])


def files(names: Iterable[str | Path]) -> dict[str, Path]:
    """Files by their paths."""
    return {str(name): Path(name) for name in names}
