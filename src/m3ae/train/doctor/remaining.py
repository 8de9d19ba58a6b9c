"""How much of a training is left."""

from dataclasses import dataclass
from pathlib import Path

from m3ae.config.run import Run
from m3ae.train.architecture import taken_weights
from m3ae.train.schedule import schedule_of
from m3ae.train.state import inputs_of, state_folder


@dataclass(frozen=True)
class Remaining:
    """Steps of a model's schedule, and those that a checkpoint has behind it."""

    steps: int
    done: int
    samples: int
    """That are left."""


def remaining(run: Run, name: str, has_data: bool) -> Remaining:
    """What is left of the training of exactly these settings and data."""
    if taken_weights(run, name):
        return Remaining(0, 0, 0)
    steps = schedule_of(run, name).steps
    done = steps_done(state_folder(run, name, inputs_of(run, name))) if has_data else 0
    return Remaining(steps, done, (steps - min(done, steps)) * run.settings_of(name).batch_size)


def steps_done(folder: Path) -> int:
    """The step of the newest checkpoint, by its name; whether it is whole is for the training to find."""
    return max((int(note.stem.rpartition("-")[2]) for note in folder.glob("checkpoint-*.json")), default=0)
