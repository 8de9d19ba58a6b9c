"""What must hold of the grid: names that can be folders, settings that the row's method reads, new seeds."""

import difflib
import math
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from m3ae.config.rows import settings_of_row, taken_weights
from m3ae.config.training import Model

if TYPE_CHECKING:
    from m3ae.config.models import RunSettings

SEED = "-seed"
"""Between a row's name and the seed of a repeat."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
TAKES = {"text_mask_ratio": ("m3ae",), "texts": ("m3ae",), "paired_share": ("m3ae", "clip")}
"""The methods on which a setting of a row has an effect."""


def check_grid(run: "RunSettings") -> None:
    """Raise ValueError at the first row, or repeat of one, that cannot be what its line says."""
    for name, model in run.models.items():
        check_name(name)
        known(model.size, run.architecture.sizes, f"models.{name}.size", "architecture.sizes")
        check_overrides(name, model)
    for row in run.rows:
        known(row, run.models, "rows", "models")
    check_once(run.rows, "rows")
    for name, seeds in run.repeats.items():
        known(name, run.models, "repeats", "models")
        check_seeds(run, name, seeds)


def check_name(name: str) -> None:
    """Raise unless ``name`` can be a folder, a part of a cell's name, and no repeat's."""
    if not NAME.fullmatch(name) or SEED in name:
        raise ValueError(
            f"models: expected names of letters, digits, '-' and '_', without '{SEED}', such as "
            f"m3ae-l50-text15; got {name!r}; rename the row"
        )


def check_overrides(name: str, model: Model) -> None:
    """Raise if a line sets what its method never reads: the row would not be what it says."""
    if not math.isfinite(model.epochs):
        raise ValueError(f"models.{name}.epochs: expected a finite number of epochs, got {model.epochs}")
    if model.method == "clip" and model.paired_share == 0:
        raise ValueError(
            f"models.{name}.paired_share: expected more than 0 for a CLIP, which learns from pairs alone, "
            "got 0.0; raise it, or remove the row"
        )
    for key, methods in TAKES.items():
        value = getattr(model, key)
        if value not in (None, Model.model_fields[key].default) and model.method not in methods:
            raise ValueError(
                f"models.{name}.{key}: expected none, since it changes nothing of method {model.method} "
                f"(of {' and '.join(methods)} alone), got {value}; remove it"
            )


def check_seeds(run: "RunSettings", name: str, seeds: list[int]) -> None:
    """Raise unless each further seed gives another model."""
    if weights := taken_weights(run, run.models[name]):
        raise ValueError(
            f"repeats.{name}: expected a row that is trained, but its weights are taken ({weights}): "
            "a further seed changes nothing; remove it, or set supervised.weights to null"
        )
    own = settings_of_row(run, run.models[name]).seed
    check_once([own, *seeds], f"repeats.{name}", f"seeds other than the row's own ({own}), each once")


def check_once(values: Sequence[str | int], key: str, what: str = "each row once") -> None:
    """Raise if one of ``values``, given at ``key``, stands there twice."""
    twice = [value for value in dict.fromkeys(values) if values.count(value) > 1]
    if twice:
        raise ValueError(f"{key}: expected {what}, got {twice[0]!r} twice; remove one")


def known(name: str, choices: Collection[str], key: str, where: str) -> None:
    """Raise unless ``name``, given at ``key``, is one of ``where``'s."""
    if name not in choices:
        close = difflib.get_close_matches(name, choices, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{key}: expected one of {where} ({', '.join(choices)}), got {name!r}{hint}")
