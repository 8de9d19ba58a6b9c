"""What stands in an unpickled tree beside plain data: names, calls that were not made, bytes not read."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Name:
    """A global that the pickle names, never resolved."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Span:
    """Bytes of the file, not read yet."""

    offset: int
    size: int


@dataclass(eq=False)
class Call:
    """What Python would have got by calling ``function``; here nothing was called."""

    function: "Name | Call"
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    state: Any = None
    """What the pickle would have set on the result."""
    items: list[Any] = field(default_factory=list)
    """What it would have appended."""
    pairs: dict[Any, Any] = field(default_factory=dict)
    """What it would have set by key."""

    name: str = field(init=False)
    """The called global's full name; of a call on a call's result, that of the first."""

    def __post_init__(self) -> None:
        # Kept, not looked for: a file may stack any number of calls.
        self.name = self.function.name if isinstance(self.function, Call) else str(self.function)


@dataclass(frozen=True)
class Unpickled:
    """The tree of a file, and every call that stands anywhere in it."""

    root: Any
    calls: list[Call]
