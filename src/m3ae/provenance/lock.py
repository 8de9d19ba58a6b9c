"""The environment lock `constraints.txt`, and what of it is installed here. Imports no library to ask it."""

import re
from importlib.metadata import distributions
from pathlib import Path

from m3ae.errors import UserError

LOCK = Path("constraints.txt")
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)$")
NOT_PINS = ("#", "-")
"""How a line of the lock begins that names no package: comments, pip's options."""


def normal(name: str) -> str:
    """A package's name as the packaging standard compares it: `Scikit_Learn` is `scikit-learn`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(path: Path = LOCK) -> dict[str, str]:
    """Versions by package. Raises UserError where the file is absent, or a line is no pin."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(
            f"{path}: no environment lock here; run the command in the project folder (a clone has it)"
        ) from None
    pins = {}
    for number, line in enumerate(lines, 1):
        text = line.partition(" #")[0].strip()
        if not text or text.startswith(NOT_PINS):
            continue
        if not (found := PIN.match(text.partition(";")[0].strip())):
            raise UserError(
                f"{path}: line {number}: expected `package==version`, got {text!r}; restore the file"
            )
        pins[normal(found[1])] = found[2]
    return pins


def installed_packages() -> dict[str, str]:
    """Versions of everything that this Python can import, by package; the first on the path counts."""
    found: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(normal(name), distribution.version)
    return dict(sorted(found.items()))


def is_same(one: str | None, other: str | None) -> bool:
    """Whether two versions are one release: `2.13.0+cpu` and `2.13.0` are builds of the same."""
    return one is not None and other is not None and one.partition("+")[0] == other.partition("+")[0]
