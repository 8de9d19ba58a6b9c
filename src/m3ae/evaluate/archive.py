"""Arrays with facts about them in one safetensors file, written and read without being held in memory.

Features, and the weights of probes. Any safetensors reader opens them.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from safetensors import SafetensorError, safe_open

from m3ae.errors import UserError
from m3ae.files import atomic_path

FACTS = "m3ae"  # one key: the library writes several keys in an order that changes from run to run
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1"}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


class Form(NamedTuple):
    """What an array will be."""

    dtype: str
    shape: tuple[int, ...]


def write_archive(path: Path, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    """Write ``arrays`` and ``facts`` (JSON types) to ``path``, atomically; same content, same bytes."""
    forms = {name: Form(array.dtype.name, array.shape) for name, array in arrays.items()}
    with new_archive(path, forms, facts) as targets:
        for name, array in arrays.items():
            targets[name][...] = array


@contextmanager
def new_archive(path: Path, forms: dict[str, Form], facts: dict[str, Any]) -> Iterator[dict[str, np.ndarray]]:
    """Arrays on disk, to be filled in any order; they become ``path`` if the block succeeds.

    Raises UserError where the disk has no room for all of them, before anything is computed.
    """
    order = sorted(forms, key=lambda name: (-np.dtype(forms[name].dtype).itemsize, name))
    entries: dict[str, Any] = {"__metadata__": {FACTS: json.dumps(facts, sort_keys=True)}}
    end = 0
    for name in order:  # the widest numbers first: every array is aligned
        dtype, shape = np.dtype(forms[name].dtype), forms[name].shape
        start, end = end, end + dtype.itemsize * math.prod(shape)
        entries[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with atomic_path(path) as partial:
        with open(partial, "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            file.flush()
            reserve(file.fileno(), 8 + len(header) + end)
        yield {name: mapped(partial, entries[name], 8 + len(header), "r+") for name in order}


def digest_of(facts: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> UInt8[np.ndarray, " 32"]:
    """SHA-256 of facts and arrays, for an archive that vouches for itself; no array is read into memory."""
    found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(arrays):
        found.update(f"{name} {arrays[name].dtype.name} {arrays[name].shape}".encode())
        found.update(arrays[name].data)
    return np.frombuffer(found.digest(), np.uint8)


def reserve(file: int, size: int) -> None:
    """Make a file ``size`` bytes long. Where the system can, its room is taken now: a full disk is an error
    here, and not a crash while a map of it is written."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)


def mapped(path: Path | str, entry: dict[str, Any], base: int, mode: Any) -> np.ndarray:
    """The array of a header's entry in a file whose data begin at byte ``base``."""
    dtype, shape = np.dtype(DTYPES[entry["dtype"]]), tuple(entry["shape"])
    if not math.prod(shape):
        return np.empty(shape, dtype)  # nothing cannot be mapped
    return np.memmap(path, dtype, mode, base + entry["data_offsets"][0], shape)


class Archive:
    """A file of `write_archive`; arrays are memory maps, of which no more is read than is used."""

    def __init__(self, path: Path, command: str) -> None:
        """Open ``path``, which ``m3ae <command>`` makes. Raises UserError if it is missing or broken."""
        self.path, self.command = path, command
        if not path.is_file():
            raise UserError(f"{path}: no such file; make it with: snakemake {path} (or m3ae {command})")
        try:
            with safe_open(path, framework="numpy") as file:  # checks the header against the file's length
                self.facts: dict[str, Any] = json.loads((file.metadata() or {})[FACTS])
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                self.entries: dict[str, Any] = json.loads(file.read(size))
        except (SafetensorError, KeyError, ValueError):
            raise UserError(
                f"{path}: not a whole archive of this project; remove it and run again: m3ae {command}"
            ) from None
        self.base = 8 + size
        self.names = frozenset(self.entries) - {"__metadata__"}

    def array(self, name: str) -> np.ndarray:
        """The array ``name``; changes to it stay in memory. Raises UserError if the archive has no such."""
        if name not in self.names:
            raise UserError(
                f"{self.path}: expected an array {name!r}, found none; make it with: m3ae {self.command}"
            )
        return mapped(self.path, self.entries[name], self.base, "c")

    def check(self, fact: str, expected: Any, why: str) -> None:
        """Raise UserError unless ``fact`` is as ``expected``; ``why`` says what it means if it is not."""
        if self.facts.get(fact) != expected:
            raise UserError(f"{self.path}: {why}; make it again with: m3ae {self.command}")
