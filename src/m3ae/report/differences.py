"""How a run differs from the paper's: settings, key by key."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from m3ae.config import Run, load_run

if TYPE_CHECKING:
    from pandas import DataFrame

ABSENT = "-"


def differences(run: Run) -> "DataFrame":
    """Every setting in which ``run`` differs from ``paper``: columns ``key``, ``paper``, ``this run``."""
    import pandas as pd

    rows = unequal(load_run("paper").settings.plain(), run.settings.plain())
    return pd.DataFrame(list(rows), columns=["key", "paper", "this run"], dtype=str)


def unequal(left: dict[str, Any], right: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The dotted keys at which two nested dicts differ, in order, with both values as text."""
    one, other = dict(leaves(left)), dict(leaves(right))
    for key in dict.fromkeys([*one, *other]):
        if one.get(key, ABSENT) != other.get(key, ABSENT):
            yield key, shown(one.get(key, ABSENT)), shown(other.get(key, ABSENT))


def leaves(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything below ``node`` that is not itself a dict.

    A list of named things (tasks, pairs) is one value: their names.
    """
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def shown(value: Any) -> str:
    """A setting as text for a table's cell."""
    if isinstance(value, str):
        return value or ABSENT
    if isinstance(value, list):
        items = [item["name"] if isinstance(item, dict) and "name" in item else shown(item) for item in value]
        return ", ".join(items)
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value)
