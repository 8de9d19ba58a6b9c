"""One job of the workflow, as far as its results can be recognised."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

BEHIND = {("probe", "weights"), ("probes", "weights"), ("ood", "weights"), ("captions", "tokenizer")}
"""What records state besides: the files behind those that the stage reads. No rule names them."""


class Job(NamedTuple):
    """What a rule makes for one model, one split or one target."""

    stage: str
    """Name of the stage, or of the target (`figure4`)."""
    model: str | None
    outputs: tuple[Path, ...]
    """All that the rule declares, whether it is there or not."""
    records: tuple[Path, ...]
    """Those of the outputs (or a receipt beside them) that say what was made, and from what."""
    inputs: dict[str, Path]
    """What was read, by the names under which records state its SHA-256."""
    params: Callable[[], list[Any]]
    """The values of the rule's `params`, the stage's settings first; asked for where they are needed."""
    beside: tuple[Path, ...] = ()
    """What it reads besides, whose time says nothing: an input changes with it, or another record tells."""

    @property
    def follows(self) -> list[Path]:
        """What its rule names, and what it is done again for."""
        return [path for name, path in self.inputs.items() if (self.stage, name) not in BEHIND]

    @property
    def reads(self) -> list[Path]:
        """All that its rule names."""
        return [*self.follows, *self.beside]

    @property
    def has_receipt(self) -> bool:
        """Whether a receipt speaks of it, a file beside its outputs, which states all that was read."""
        return not set(self.records) <= set(self.outputs)
