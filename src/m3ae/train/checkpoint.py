"""Training state on disk: whole or absent, checked by hash, the last good one found again.

A checkpoint is a safetensors file (weights, both Adam moments) and a JSON note with its SHA-256, written
last. A kill between the two, or a torn file, leaves the checkpoint before it in force.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from m3ae.errors import UserError
from m3ae.files import atomic_write, sha256_of, write_text

KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found whole."""

    step: int
    tensors: Path


def save_checkpoint(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write the state after ``step`` steps, then drop all but the last two checkpoints."""
    tensors = {name: value.detach() for name, value in model.state_dict(prefix="model.").items()}
    tensors |= optimizer_tensors(model, optimizer)
    path = folder / f"checkpoint-{step:08d}.safetensors"
    with atomic_write(path) as file:
        file.write(save({name: t.cpu().contiguous() for name, t in tensors.items()}))
    write_text(path.with_suffix(".json"), json.dumps({"step": step, "sha256": sha256_of(path)}) + "\n")
    for note in sorted(folder.glob("checkpoint-*.json"))[:-KEPT]:
        note.unlink()
        note.with_suffix(".safetensors").unlink(missing_ok=True)


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Adam's moments and step counts, by the name of their parameter."""
    return {
        f"optimizer.{key}.{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def last_good(folder: Path, warn: Any = print) -> Checkpoint | None:
    """The newest whole checkpoint in ``folder``; a damaged one is named and passed over."""
    for note in sorted(folder.glob("checkpoint-*.json"), reverse=True):
        tensors = note.with_suffix(".safetensors")
        try:
            facts = json.loads(note.read_text())
            if sha256_of(tensors) == facts["sha256"]:
                return Checkpoint(int(facts["step"]), tensors)
            reason = "its checksum is wrong"
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"it cannot be read ({error})"
        warn(f"{tensors}: damaged checkpoint passed over: {reason}")
    return None


def restore(checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put weights and moments back, in place."""
    tensors = load_file(checkpoint.tensors)
    weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"{checkpoint.tensors}: expected the state of this model ({str(error).splitlines()[0]}); "
            f"remove {checkpoint.tensors.parent} to start anew"
        ) from None
    moments: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, moment, name = key.split(".", 2)
            moments.setdefault(name, {})[moment] = value
    for name, parameter in model.named_parameters():
        state = moments.get(name, {})
        optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}
