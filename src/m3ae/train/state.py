"""The state of one training on disk: where it lies, when it is due, going on from it."""

import hashlib
import json
import time
from pathlib import Path

import torch
from torch import nn

from m3ae.config.inputs import training_files
from m3ae.config.run import Run
from m3ae.files import sha256_of
from m3ae.train.checkpoint import (
    checkpoint_of,
    last_good,
    remove_unfinished,
    restore,
    save_checkpoint,
    whole_state,
)
from m3ae.train.interval import Interval
from m3ae.train.ranks import Ranks
from m3ae.train.telling import say


def inputs_of(run: Run, name: str) -> dict[str, str]:
    """SHA-256 of what a model is trained on."""
    return {what: sha256_of(path) for what, path in training_files(run, name).items()}


def state_folder(run: Run, name: str, inputs: dict[str, str]) -> Path:
    """Where the state of exactly this training lies: other settings or data never find it."""
    identity = json.dumps([run.stage("pretrain", name), inputs], sort_keys=True)
    return run.paths.state(name) / hashlib.sha256(identity.encode()).hexdigest()[:12]


class State:
    """Weights and optimiser as they are saved and found again; the first rank reads the folder and writes."""

    def __init__(
        self, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, ranks: Ranks, minutes: float
    ) -> None:
        self.folder, self.model, self.optimizer, self.ranks = folder, model, optimizer, ranks
        self.every_s = 60 * minutes
        self.saved_step, self.saved_at = 0, time.perf_counter()

    def resume(self) -> tuple[int, Interval]:
        """Put the last good checkpoint back, if any: the steps done, and the interval that they began."""
        step = 0
        with self.ranks.first_does("look for a checkpoint"):
            if self.ranks.is_first:
                remove_unfinished(self.folder)
                found = last_good(self.folder, warn=say)
                step = found.step if found else 0
        self.saved_step = self.ranks.from_first(step)
        if self.saved_step == 0:
            return 0, Interval()
        checkpoint = checkpoint_of(self.folder, self.saved_step)
        restore(checkpoint, self.model, self.optimizer)
        return self.saved_step, Interval.after(checkpoint.interval)

    def is_due(self) -> bool:
        """Whether the last checkpoint is older than the configuration allows."""
        return time.perf_counter() - self.saved_at > self.every_s

    def save(self, step: int, interval: Interval) -> None:
        """Save the state after ``step`` steps: every rank takes part and waits until it is written."""
        began = time.perf_counter()
        state = whole_state(self.model, self.optimizer, keep=self.ranks.is_first)
        facts = interval.facts(self.ranks)
        with self.ranks.first_does("save the state"):
            if self.ranks.is_first:
                save_checkpoint(self.folder, step, state, facts, before=self.saved_step)
        self.saved_step, self.saved_at = step, time.perf_counter()
        interval.save_s += self.saved_at - began

    def words(self) -> str:
        """The last good checkpoint, for a message."""
        if self.saved_step == 0:
            return "no checkpoint was written before it"
        return f"the last good checkpoint is step {self.saved_step} in {self.folder}"
