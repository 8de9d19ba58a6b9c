"""How a machine runs a training: never what comes out of it, save rounding."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from m3ae.errors import UserError

TIMEOUT_VARIABLE = "M3AE_COLLECTIVE_TIMEOUT_S"
TIMEOUT_S = 600


@dataclass(frozen=True)
class Machine:
    """What belongs to the machine: set by the command line or a profile, never in ``config/``."""

    workers: int = 0
    """Processes of each rank that decode and augment ahead of the step."""
    device_batch: int | None = None
    """Most samples that a device takes in one pass; more are accumulated. None: all of its share."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Several ranks hold a copy of the model each (DDP), or a part of it each (FSDP2)."""
    recompute: bool = False
    """Activation checkpointing: blocks are computed again in the backward pass, which saves memory."""
    compile: bool | None = None
    """Compile the transformer's blocks. None: on a GPU alone (docs/performance.md)."""
    tensorboard: Path | None = None
    """Folder for TensorBoard's event files; None writes none."""


def collective_timeout_s() -> float:
    """How long a rank waits for the others (seconds), from the environment."""
    text = os.environ.get(TIMEOUT_VARIABLE, str(TIMEOUT_S))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise UserError(f"{TIMEOUT_VARIABLE}: expected a number of seconds above 0, got {text!r}")
    return seconds
