"""Arrays with facts about them in one safetensors file: features, and the weights of the probes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from m3ae.errors import UserError
from m3ae.files import atomic_write

FACTS = "m3ae"  # one key: the library writes several keys in an order that changes from run to run


def write_archive(path: Path, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    """Write ``arrays`` and ``facts`` (JSON types) to ``path``, atomically; same content, same bytes."""
    with atomic_write(path) as file:
        file.write(save(arrays, {FACTS: json.dumps(facts, sort_keys=True)}))


class Archive:
    """A file of `write_archive`; arrays are read when they are asked for."""

    def __init__(self, path: Path, command: str) -> None:
        """Open ``path``, which ``m3ae <command>`` makes. Raises UserError if it is missing or broken."""
        self.path, self.command = path, command
        if not path.is_file():
            raise UserError(f"{path}: no such file; make it with: snakemake {path} (or m3ae {command})")
        try:
            self.file = safe_open(path, framework="numpy")
            self.facts: dict[str, Any] = json.loads((self.file.metadata() or {})[FACTS])
        except (SafetensorError, KeyError, ValueError):
            raise UserError(
                f"{path}: not a whole archive of this project; remove it and run again: m3ae {command}"
            ) from None
        self.names = frozenset(self.file.keys())

    def array(self, name: str) -> np.ndarray:
        """The array ``name``. Raises UserError if the archive was made without it."""
        if name not in self.names:
            raise UserError(
                f"{self.path}: expected an array {name!r}, found none; make it with: m3ae {self.command}"
            )
        return self.file.get_tensor(name)

    def check(self, fact: str, expected: Any, why: str) -> None:
        """Raise UserError unless ``fact`` is as ``expected``; ``why`` says what it means if it is not."""
        if self.facts.get(fact) != expected:
            raise UserError(f"{self.path}: {why}; make it again with: m3ae {self.command}")
