"""docs/fidelity.md names what exists: numbered items, written tests, working switches."""

import ast
import re
from dataclasses import fields
from functools import cache

import pytest
import yaml

from m3ae.model.architecture import Architecture
from m3ae.pretrained.source import known_settings
from small_project import CHECKOUT

TEXT = (CHECKOUT / "docs/fidelity.md").read_text()
PAPER = yaml.safe_load((CHECKOUT / "config/paper.yaml").read_text())
SECTIONS = dict(re.findall(r"^## ([A-Z])\. .*?\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
HEADER = ["#", "paper", "authors", "ours", "switch", "test"]
OVERRIDE = re.compile(r"load_pretrained\(\.\.\., (\w+)=\)")


def rows(section):
    """The cells of every item of a section's table."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return table[2:]


def in_code(cell):
    """What a cell sets in backticks."""
    return re.findall(r"`([^`]+)`", cell)


ITEMS = [row for section in SECTIONS for row in rows(section)]
TESTED = [row for section in "ABC" for row in rows(section)]
BY_NUMBER = pytest.mark.parametrize("row", TESTED, ids=lambda row: f"item {row[0]}")


@cache
def functions(name):
    """The functions of a file of tests."""
    path = CHECKOUT / "tests" / name
    assert path.is_file(), f"docs/fidelity.md: no file tests/{name}"
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def keys(node):
    """Every key of the configuration, at any depth."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from keys(value)


def is_switch(name):
    """Whether a name is a keyword of `load_pretrained`, a path in paper.yaml, or a field or key by itself."""
    if override := OVERRIDE.fullmatch(name):
        return bool(known_settings({override[1]: None}))
    if "." not in name:
        return name in {field.name for field in fields(Architecture)} | set(keys(PAPER))
    node = PAPER
    for part in name.split("."):
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True


def test_items_are_numbered_from_1_without_a_gap():
    assert [int(row[0]) for row in ITEMS] == list(range(1, len(ITEMS) + 1))


def test_section_a_holds_the_sixteen_oddities_and_nothing_else():
    assert [int(row[0]) for row in rows("A")] == list(range(1, 17))


@pytest.mark.parametrize("section", "AB")
def test_the_columns_are_the_promised_ones(section):
    header = next(line for line in SECTIONS[section].splitlines() if line.startswith("|"))
    assert [cell.strip() for cell in header.strip("|").split("|")] == HEADER


@BY_NUMBER
def test_every_cell_is_filled(row):
    assert len(row) == len(HEADER)
    assert all(row)


@BY_NUMBER
def test_every_item_names_tests_that_exist(row):
    named = in_code(row[-1])
    assert named
    for test in named:
        file, _, function = test.partition("::")
        assert function in functions(file), f"item {row[0]}: no test {test}"


@BY_NUMBER
def test_every_switch_exists(row):
    assert row[4] == "-" or in_code(row[4])
    for name in in_code(row[4]):
        assert is_switch(name), f"item {row[0]}: no switch {name}"


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("pretrain.mask_scope", True),
        ("pretrain.mask_scopes", False),
        ("pretrain.seed", False),
        ("paired_share", True),
        ("image_px", True),
        ("image_pixels", False),
    ],
)
def test_a_switch_is_told_from_a_typo(name, there):
    assert is_switch(name) == there


def test_code_and_configuration_cite_items_that_are_about_them():
    """A word that the item must hold, for each place that cites one."""
    subjects = {
        "src/m3ae/model/masking.py": "mask",
        "src/m3ae/model/losses.py": "cross-entropy",
        "src/m3ae/model/words.py": "text masking ignores padding",
        "src/m3ae/model/clip.py": "SLIP",
        "src/m3ae/train/optimizer.py": "weight decay",
        "src/m3ae/pretrained/authors.py": "cloudpickle",
        "config/photos.yaml": "mask",
    }
    cited = {}
    for path in [*(CHECKOUT / "src").rglob("*.py"), *(CHECKOUT / "config").glob("*.yaml")]:
        for number in re.findall(r"docs/fidelity\.md, item (\d+)", path.read_text()):
            cited[str(path.relative_to(CHECKOUT))] = ITEMS[int(number) - 1]
    assert cited.keys() >= subjects.keys()
    for path, item in cited.items():
        assert subjects[path] in " ".join(item), f"{path} cites item {item[0]}"
