"""What the doctor says of one thing: fine, a warning, or an error that would stop the run."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, and, where it is not fine, what to do."""

    about: str
    level: Level
    says: str


def ok(about: str, says: str) -> Finding:
    """Nothing to do."""
    return Finding(about, "ok", says)


def warning(about: str, says: str) -> Finding:
    """The run would work, but not as well as it could."""
    return Finding(about, "warning", says)


def error(about: str, says: str) -> Finding:
    """The run would stop."""
    return Finding(about, "error", says)
