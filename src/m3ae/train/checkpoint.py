"""Training state on disk: whole or absent, checked by hash, the last good one found again.

A checkpoint is a safetensors file (weights, both Adam moments) and a JSON note with its SHA-256, written
last. A kill between the two, or a torn file, leaves the checkpoint before it in force. The file is the same
for any number of ranks, and can be read by any.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from m3ae.errors import UserError
from m3ae.files import atomic_path, sha256_of, write_text
from m3ae.train.sharded import like, whole


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found whole."""

    step: int
    tensors: Path
    interval: dict[str, Any]
    """What had been summed since the last line of the step log."""


def state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Weights, Adam's moments and step counts by name, as they lie on the device (parts, with FSDP)."""
    for name, value in model.state_dict(prefix="model.").items():
        yield name, value.detach()
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state[parameter].items():
            yield f"optimizer.{key}.{name}", value


def whole_state(model: nn.Module, optimizer: torch.optim.Optimizer, keep: bool = True) -> dict[str, Tensor]:
    """The state on the processor, put together from all ranks; every rank must call this, and may drop it."""
    state = {}
    for name, value in state_tensors(model, optimizer):
        everything = whole(value)
        if keep:
            state[name] = everything.cpu().contiguous()
    return state


def save_checkpoint(
    folder: Path, step: int, state: dict[str, Tensor], interval: dict[str, Any] | None = None, *, before: int
) -> None:
    """Write the state after ``step`` steps, then drop all others but that of ``before``.

    ``before`` is the step that was saved or gone on from last, 0 for none: it alone is known to be whole.
    Another may have been passed over as damaged, and would otherwise be kept in a whole one's place.
    """
    path = checkpoint_path(folder, step)
    with atomic_path(path) as temporary:
        write_tensors(state, temporary)
    note = {"step": step, "sha256": sha256_of(path), "interval": interval or {}}
    write_text(path.with_suffix(".json"), json.dumps(note) + "\n")
    kept = {path.stem, checkpoint_path(folder, before).stem}
    for old in folder.glob("checkpoint-*.json"):
        if old.stem not in kept:
            old.unlink()
            old.with_suffix(".safetensors").unlink(missing_ok=True)


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the tensors of a step lie."""
    return folder / f"checkpoint-{step:08d}.safetensors"


def write_tensors(state: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file, without a copy of it in memory. Raises OSError as Python's own writes do."""
    try:
        save_file(state, path)
    except SafetensorError as error:  # its words hold the system's error number, nothing else does
        number = str(error).rpartition("os error ")[2].partition(")")[0]
        known = number.isdigit()
        raise OSError(
            int(number) if known else 0, os.strerror(int(number)) if known else str(error)
        ) from None


def digest_of(state: dict[str, Tensor]) -> str:
    """SHA-256 over the names and bytes of a state, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].numpy().tobytes())
    return digest.hexdigest()


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process was writing: temporary files, ours and safetensors', and tensors alone.

    Nothing else would remove these: a checkpoint is known by its note, written last and dropped first.
    """
    unfinished = [path for pattern in (".checkpoint-*", ".tmp*") for path in folder.glob(pattern)]
    unfinished += [
        path for path in folder.glob("checkpoint-*.safetensors") if not path.with_suffix(".json").exists()
    ]
    for path in unfinished:
        path.unlink(missing_ok=True)


def last_good(folder: Path, warn: Callable[[str], object] = print) -> Checkpoint | None:
    """The newest whole checkpoint in ``folder``; a damaged one is named and passed over."""
    for note in sorted(folder.glob("checkpoint-*.json"), reverse=True):
        tensors = note.with_suffix(".safetensors")
        try:
            facts = json.loads(note.read_text())
            if sha256_of(tensors) == facts["sha256"]:
                return Checkpoint(int(facts["step"]), tensors, dict(facts["interval"]))
            reason = "its checksum is wrong"
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"it cannot be read ({error})"
        warn(f"{tensors}: damaged checkpoint passed over: {reason}")
    return None


def checkpoint_of(folder: Path, step: int) -> Checkpoint:
    """The checkpoint of a step that was found whole before, by another rank perhaps."""
    tensors = checkpoint_path(folder, step)
    return Checkpoint(step, tensors, json.loads(tensors.with_suffix(".json").read_text())["interval"])


def restore(checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put weights and moments back in place, tensor by tensor; each rank takes the part that it holds."""
    with safe_open(checkpoint.tensors, framework="pt") as file:
        names = set(file.keys())
        check_names(checkpoint, names, model)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(part_of(file.get_tensor(f"model.{name}"), parameter))
                optimizer.state[parameter] = {
                    key: part_of(file.get_tensor(stored), parameter, is_count=key == "step")
                    for key in ("step", "exp_avg", "exp_avg_sq")
                    if (stored := f"optimizer.{key}.{name}") in names
                }


def part_of(stored: Tensor, parameter: Tensor, is_count: bool = False) -> Tensor:
    """A stored value where ``parameter`` lies. CLIP's `log_scale` has no dimension in older files."""
    return like(stored if is_count else stored.reshape(parameter.shape), parameter)


def check_names(checkpoint: Checkpoint, names: set[str], model: nn.Module) -> None:
    """Raise UserError unless the checkpoint has exactly the weights of this model."""
    expected = {f"model.{name}" for name in model.state_dict()}
    found = {name for name in names if name.startswith("model.")}
    if found != expected:
        odd = sorted(expected ^ found)[0]
        raise UserError(
            f"{checkpoint.tensors}: expected the state of this model ({odd} is in one of them alone); "
            f"remove {checkpoint.tensors.parent} to start anew"
        )
