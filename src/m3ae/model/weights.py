"""Frozen weights on disk: safetensors that carry their own architecture."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from m3ae.errors import UserError
from m3ae.files import atomic_write
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE
from m3ae.packing import unpacked

ORIGIN = "origin"  # inside the architecture's JSON: the library writes several keys in an order that changes

BESIDE = "beside."  # tensors of a baseline that its encoder does not need (whole.py)


def save_encoder(model: M3AE, path: Path, origin: dict[str, Any] | None = None) -> None:
    """Write encoder and decoder to ``path``, atomically; same weights, same bytes.

    ``origin`` says where weights that were not trained here came from.
    """
    write_encoder(model.architecture, dict(model.state_dict()), path, origin)


def write_encoder(
    architecture: Architecture,
    weights: dict[str, Tensor],
    path: Path,
    origin: dict[str, Any] | None = None,
    beside: dict[str, Any] | None = None,
) -> None:
    """As ``save_encoder``, from whole tensors by name; ``beside`` has the facts of those under `beside.`."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    added = {key: value for key, value in ((ORIGIN, origin), ("beside", beside)) if value}
    facts = architecture.plain() | added
    with atomic_write(path) as file:
        file.write(save(tensors, {"architecture": json.dumps(facts, sort_keys=True)}))


def load_encoder(path: Path) -> M3AE:
    """The model at ``path``, on the CPU, in eval mode.

    Weights that were brought packed are unpacked first (packing.py). Raises UserError, one line, if the file
    is missing, truncated or of another kind.
    """
    if not unpacked(Path(path)).is_file():
        raise UserError(f"{path}: no such weights; the workflow trains them: snakemake {path}")
    architecture, tensors, _ = read_weights(path)
    return assemble(architecture, tensors, path).eval()


def read_weights(path: Path) -> tuple[Architecture, dict[str, Tensor], dict[str, Any]]:
    """Architecture, tensors (fp32, whatever the file has) and origin of a file of `save_encoder`."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["architecture"])
            names = [name for name in file.keys() if not name.startswith(BESIDE)]  # noqa: SIM118
            tensors = {name: file.get_tensor(name).float() for name in names}
        facts.pop("beside", None)
        origin = facts.pop(ORIGIN, {})
        return Architecture(**facts), tensors, origin
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: expected weights of this project, got something else ({reason})") from None


def read_beside(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a baseline's file has beside its encoder: the facts, and the tensors by their own names (fp32)."""
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(BESIDE)]  # noqa: SIM118
        tensors = {name.removeprefix(BESIDE): file.get_tensor(name).float() for name in names}
    return facts_beside(path), tensors


def facts_beside(path: Path) -> dict[str, Any]:
    """The facts of what a baseline's file has beside its encoder, `method` among them; else empty."""
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["architecture"]).get("beside")
    return facts if isinstance(facts, dict) else {}


def assemble(architecture: Architecture, tensors: dict[str, Tensor], path: Path | str) -> M3AE:
    """A model that owns ``tensors``: nothing is initialised first, nothing copied.

    Raises UserError, one line that names ``path``, if they are not this architecture's.
    """
    try:
        with torch.device("meta"):
            model = M3AE(architecture)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        raise UserError(f"{path}: no model can be built from its settings ({error})") from None
    check_tensors(model, tensors, path)
    model.load_state_dict(tensors, assign=True)
    model.add_positions()
    return model


def check_tensors(model: M3AE, tensors: dict[str, Tensor], path: Path | str) -> None:
    """Raise UserError unless names and shapes are the model's."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    missing, surplus = sorted(expected.keys() - tensors), sorted(tensors.keys() - expected)
    said = [f"lacks {some(missing)}"] if missing else []
    said += [f"holds {some(surplus)} too many"] if surplus else []
    if said:
        raise UserError(
            f"{path}: expected the {len(expected)} tensors of this model, but it {' and '.join(said)}"
        )
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise UserError(f"{path}: {name}: expected shape {shape}, got {tuple(tensors[name].shape)}")


def some(names: list[str]) -> str:
    """The first name, and how many more there are."""
    return names[0] + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")
