"""Shapes are checked at run time under pytest, and every test runs with one thread and a fixed seed."""

import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "passive"  # of threads that wait: the cores have other work

import pytest
from jaxtyping import install_import_hook

install_import_hook(["m3ae.model", "m3ae.data.stream"], "beartype.beartype")

PROJECT = Path(__file__).parents[1]
LONGEST = ("workflow", "hostile_photos", "determinism", "safety", "engine", "train", "cluster", "download")
"""Files of tests that take more than half a minute, the longest first."""


def pytest_collection_modifyitems(items):
    """Long files first, then those with slow tests: one that begins last would keep the others waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    order = {f"test_{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (order.get(item.path.name, len(order)), item.path not in slow))


@pytest.fixture(autouse=True)
def fixed_seed():
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def stream_project(tmp_path_factory):
    """A project folder, the current one, with pairs, images and texts to make streams of."""
    from made_shards import make_stream_project

    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_stream_project(folder)
        yield folder


@pytest.fixture
def in_project(monkeypatch):
    """Run the test in the project folder, where `config/` lies."""
    monkeypatch.chdir(PROJECT)
    return PROJECT
