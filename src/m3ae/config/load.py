"""From ``config/<run>.yaml`` to a checked run: ``extends``, then types; errors name file and key."""

import difflib
import os
import re
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from m3ae.config.models import RunSettings
from m3ae.config.run import Run
from m3ae.errors import UserError

CONFIG_PATH = "M3AE_CONFIG_PATH"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
SOURCE_KINDS = ("tsv", "webdataset", "folder", "hdf5", "flickr8k", "toy")  # pydantic puts them into its paths


def load_run(name: str) -> Run:
    """Load the run ``name`` from ``config/`` (or a folder of ``$M3AE_CONFIG_PATH``).

    Raises UserError, one line: the file, the key, what was expected and what came.
    """
    layers = read_layers(name)
    merged: dict[str, Any] = {}
    for _, layer in reversed(layers):
        merged = merge(merged, layer)
    try:
        settings = RunSettings.model_validate(merged)
    except ValidationError as error:
        raise UserError(explain(error, layers)) from None
    return Run(name, settings)


def find_run(name: str) -> Path:
    """The file of a run. Raises UserError, one line, if ``name`` cannot be that of a folder."""
    if not isinstance(name, str) or not NAME.fullmatch(name):  # `--config run=7` is a number
        raise UserError(
            f"run {name!r}: expected the name of a file in config/ without its ending, of letters, digits, "
            "'_', '.' and '-', such as tiny"
        )
    folders = [Path("config"), *map(Path, filter(None, os.environ.get(CONFIG_PATH, "").split(":")))]
    candidates = [folder / f"{name}.yaml" for folder in folders]
    for path in candidates:
        if path.is_file():
            return path
    runs = sorted({p.stem for f in folders for p in f.glob("*.yaml")} - {"datasets"})
    raise UserError(
        f"run {name!r}: expected a file {' or '.join(map(str, candidates))}; "
        f"known runs here: {', '.join(runs) or 'none (is this the project folder?)'}{nearest(name, runs)}"
    )


def read_layers(name: str) -> list[tuple[Path, dict[str, Any]]]:
    """The YAML of ``name`` and of the runs that it extends, the most specific first."""
    layers: list[tuple[Path, dict[str, Any]]] = []
    base = name
    while True:
        path = find_run(base)
        if path in [seen for seen, _ in layers]:
            raise UserError(f"{path}: extends: the chain of runs comes back to {base!r}; cut it")
        layer = read_yaml(path)
        base = layer.pop("extends", None)
        if base is not None and not isinstance(base, str):
            raise UserError(f"{path}: extends: expected the name of a run, got {base!r}")
        layers.append((path, layer))
        if base is None:
            return layers


Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML was built with it: ten times faster, and every job reads its run."""


class UniqueKeyLoader(Loader):
    """YAML without the silent last-one-wins for a key that is written twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse repeated keys, then construct as usual."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.MarkedYAMLError(
                problem=f"key {twice[0]!r} is written twice", problem_mark=node.start_mark
            )
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, or a UserError with the line of the mistake."""
    try:
        content = UniqueKeyLoader(path.read_text(encoding="utf-8")).get_single_data()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; is this the project folder?") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file in UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise UserError(f"{path}: line {line}: not valid YAML ({error.problem})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping of settings, got {type(content).__name__}")
    return content


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the entries of ``over``; mappings merge, everything else replaces.

    Two mappings of another ``kind`` share no fields: then ``over`` replaces the whole.
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        if both and old.get("kind") == value.get("kind", old.get("kind")):  # type: ignore[union-attr]
            value = merge(old, value)  # type: ignore[arg-type]
        merged[key] = value
    return merged


def explain(error: ValidationError, layers: list[tuple[Path, dict[str, Any]]]) -> str:
    """The first of pydantic's findings as one line."""
    findings = error.errors()
    # An unknown key first: it is usually the cause of a missing one.
    first = min(findings, key=lambda e: e["type"] != "extra_forbidden")
    keys = [str(part) for part in first["loc"] if part not in SOURCE_KINDS]
    line = f"{file_of(keys, layers)}: {'.'.join(keys)}: " if keys else f"{layers[0][0]}: "
    line += reason(first, keys)
    more = len(findings) - 1
    return line + (f" (and {more} more)" if more else "")


def reason(finding: Any, keys: list[str]) -> str:
    """What was expected and what came, in words."""
    kind, message, value = finding["type"], finding["msg"], finding["input"]
    if kind == "extra_forbidden":
        valid = fields_at(keys[:-1])
        return f"unknown key; expected one of {', '.join(valid)}{nearest(keys[-1], valid)}"
    if kind == "missing":
        return "missing; this key has no default"
    if kind == "value_error":
        return str(finding["ctx"]["error"])
    if kind == "model_type":
        message = f"expected keys with values ({', '.join(fields_at(keys))})"
    hint = ""
    if isinstance(value, str) and kind in ("float_type", "int_type"):
        hint = number_hint(value, whole=kind == "int_type")
    expected = message[0].lower() + message[1:]
    return f"{expected.replace('input should be', 'expected')}, got {value!r} ({type(value).__name__}){hint}"


def number_hint(text: str, whole: bool) -> str:
    """YAML 1.1 reads ``2e-4`` as text, and what stands in quotes: say how to write the number."""
    try:
        number = float(text)
    except ValueError:
        return ""
    if whole:
        return f"; YAML reads it as text, write {int(number)}" if number.is_integer() else ""
    mantissa, _, exponent = text.lower().partition("e")
    dotted = mantissa if "." in mantissa else f"{mantissa}.0"
    sign = exponent if exponent[:1] in "+-" else f"+{exponent}"
    return f"; YAML reads it as text, write {f'{dotted}e{sign}' if exponent else number}"


def fields_at(keys: list[str]) -> list[str]:
    """The keys that are valid below ``keys``."""
    model: Any = RunSettings
    for key in keys:
        if isinstance(model, type) and issubclass(model, BaseModel) and key in model.model_fields:
            model = model.model_fields[key].annotation
        arguments = [a for a in get_args(model) if isinstance(a, type) and issubclass(a, BaseModel)]
        if not (isinstance(model, type) and issubclass(model, BaseModel)) and arguments:
            model = arguments[0] if len(arguments) == 1 else arguments
    models = model if isinstance(model, list) else [model]
    return sorted({name for m in models for name in getattr(m, "model_fields", {})})


def nearest(name: str, choices: list[str]) -> str:
    """`; did you mean ...?`, or nothing."""
    close = difflib.get_close_matches(name, choices, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def file_of(keys: list[str], layers: list[tuple[Path, dict[str, Any]]]) -> Path:
    """The file that sets ``keys``, or the nearest of the keys above it."""
    for depth in range(len(keys), 0, -1):
        for path, layer in layers:
            node: Any = layer
            for key in keys[:depth]:
                if isinstance(node, list) and key.isdigit() and int(key) < len(node):
                    node = node[int(key)]
                elif isinstance(node, dict) and key in node:
                    node = node[key]
                else:
                    break
            else:
                return path
    return layers[0][0]
