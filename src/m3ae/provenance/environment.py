"""This environment beside the lock, and beside the one that made a record."""

import platform
import shutil
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from typing import Any, NamedTuple

from m3ae.provenance.lock import installed_packages, is_same, normal
from m3ae.records import LIBRARIES, Record, machine

PROJECT = "m3ae"


class Row(NamedTuple):
    """One package or fact of the machine; None where it is not stated."""

    name: str
    locked: str | None
    made_with: list[str]
    here: str | None

    @property
    def has_left_lock(self) -> bool:
        """Whether a package is here in another version than the lock's."""
        return self.locked is not None and self.here is not None and not is_same(self.locked, self.here)

    @property
    def differs(self) -> bool:
        """Whether anything here is not as it is locked, or was."""
        return self.has_left_lock or any(version != self.here for version in self.made_with)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**self._asdict(), "has_left_lock": self.has_left_lock, "differs": self.differs}


class Comparison(NamedTuple):
    """What `m3ae env check` finds."""

    packages: list[Row]
    """Every package of the lock, and those that records name."""
    machine: list[Row]
    """Processor, cores, accelerator, Python: they may differ, and nobody judges it."""
    missing: list[str]
    """What the project itself asks for and is not installed."""
    absent: list[str]
    """What is locked and not installed, though nothing here asks for it directly: extras, other systems'."""

    @property
    def has_left_lock(self) -> bool:
        """Whether the environment is another than the locked one."""
        return bool(self.missing) or any(row.has_left_lock for row in self.packages)


def compare(pins: dict[str, str], records: Iterable[Record] = ()) -> Comparison:
    """This environment beside the lock's ``pins`` and beside the environments of ``records``."""
    here, records = installed_packages(), list(records)
    made = {
        name: made_with(records, lambda facts, name=name: facts.get("versions", {}).get(name))
        for name in LIBRARIES
    }
    names = sorted({*pins, *(normal(name) for name in made if made[name])})
    packages = [Row(name, pins.get(name), made.get(name, []), here.get(name)) for name in names]
    needed = direct_requirements()
    gone = [row.name for row in packages if row.locked and row.here is None]
    return Comparison(
        packages,
        machine_rows(records),
        missing=sorted(needed - here.keys()),
        absent=[name for name in gone if name not in needed],
    )


def made_with(records: list[Record], ask: Any) -> list[str]:
    """The values that records state, each once, in the order of the records."""
    values = (ask(record.provenance) for record in records)
    return [str(value) for value in dict.fromkeys(values) if value is not None]


def machine_rows(records: list[Record]) -> list[Row]:
    """Python and the machine, here and where the records were made."""
    facts = here_machine()
    rows = [
        Row(
            "python",
            None,
            made_with(records, lambda facts: facts.get("versions", {}).get("python")),
            facts.pop("python"),
        )
    ]
    for name, value in facts.items():
        made = made_with(records, lambda facts, name=name: facts.get("machine", {}).get(name))
        rows.append(Row(name, None, made, None if value is None else str(value)))
    return rows


def here_machine() -> dict[str, Any]:
    """Python, processor, cores, system, accelerator of this machine, without torch."""
    return {"python": platform.python_version(), **machine(), "accelerator": accelerator()}


def accelerator() -> str | None:
    """The first NVIDIA GPU as its driver names it; None without one."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(result.stdout.splitlines()), None)


def direct_requirements() -> set[str]:
    """What the project asks for by itself, extras aside; nothing where it was not installed."""
    try:
        stated = requires(PROJECT) or []
    except PackageNotFoundError:
        return set()
    return {normal(name_of(line)) for line in stated if "extra ==" not in line}


def name_of(requirement: str) -> str:
    """The package of a requirement such as `torch<2.14,>=2.13`."""
    for end, letter in enumerate(requirement):
        if not (letter.isalnum() or letter in "._-"):
            return requirement[:end]
    return requirement
