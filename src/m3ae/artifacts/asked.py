"""What a command line of Snakemake asks for: which files, and which jobs whatever is there."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from m3ae.artifacts.plan import Step


class Asked:
    """What is asked for, as far as it can be said of single jobs: not with -F, nor inside a cluster's job."""

    def __init__(self, workflow: Any, made: Collection[Path]) -> None:
        self.workflow, self.made = workflow, made
        self.settings = workflow.dag_settings
        self.is_known = not (self.settings.forceall or self.settings.target_jobs)
        self.targets = self.files_of(self.settings.targets or [workflow.default_target])
        rules = {name for name in self.settings.forcerun if workflow.is_rule(name)}
        self.forced_rules = [workflow.get_rule(name) for name in rules]
        self.files = [*self.targets, *self.files_of(set(self.settings.forcerun) - rules)]
        """The targets, and files that -R names."""

    def files_of(self, names: Collection[str]) -> list[Path]:
        """What targets stand for."""
        return [path for name in names for path in self.behind(name)]

    def behind(self, name: str) -> list[Path]:
        """A file; what a rule makes, or reads if no job of the run makes that (`check`, the PDF)."""
        if Path(name) in self.made:
            return [Path(name)]
        if self.workflow.is_rule(name):
            rule = self.workflow.get_rule(name)
        else:
            rule = next((rule for rule in self.workflow.rules if rule.is_producer(name)), None)
        if rule is None:
            return []
        outputs = [path for path in map(Path, rule.output) if path in self.made]
        return outputs or [Path(path) for path in rule.input if isinstance(path, str)]

    def forces(self, step: Step) -> bool:
        """Whether a job runs even if all is there: a target with -f, or what -R names."""
        outputs = set(step.outputs)
        if self.settings.forcetargets and not outputs.isdisjoint(self.targets):
            return True
        named = map(Path, self.settings.forcerun)
        makes = (rule.is_producer(path.as_posix()) for rule in self.forced_rules for path in outputs)
        return not outputs.isdisjoint(named) or any(makes)
