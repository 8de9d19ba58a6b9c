"""Frozen weights on disk: safetensors that carry their own architecture."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from m3ae.errors import UserError
from m3ae.files import atomic_write
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE


def save_encoder(model: M3AE, path: Path) -> None:
    """Write encoder and decoder to ``path``, atomically; same weights, same bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {"architecture": json.dumps(model.architecture.plain(), sort_keys=True)}
    with atomic_write(path) as file:
        file.write(save(tensors, metadata))


def load_encoder(path: Path) -> M3AE:
    """The model at ``path``, on the CPU, in eval mode.

    Raises UserError, one line, if the file is missing, truncated or of another kind.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such weights; the workflow trains them: snakemake {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = M3AE(Architecture(**json.loads(metadata["architecture"])))
        model.load_state_dict(tensors)
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: expected weights of this project, got something else ({reason})") from None
    return model.eval()
