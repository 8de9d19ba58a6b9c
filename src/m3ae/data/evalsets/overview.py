"""The registry as a table: which sets there are, under which terms, which are here, who uses them."""

import os
from pathlib import Path

from m3ae.config import Run, load_run
from m3ae.config.datasets import Dataset, files_of, load_datasets, root_of
from m3ae.config.load import CONFIG_PATH
from m3ae.data.evalsets.evalsets import check_counts
from m3ae.errors import UserError

COLUMNS = ["name", "images", "classes", "here", "used by", "licence"]


def overview() -> list[list[str]]:
    """One row per set of the registry, in its order."""
    runs = valid_runs()
    return [row(name, dataset, runs) for name, dataset in load_datasets().items()]


def row(name: str, dataset: Dataset, runs: list[Run]) -> list[str]:
    """The cells of a set."""
    users = [run.name for run in runs if name in run.eval_datasets]
    images = [
        f"{split} {'as the run says' if part.count is None else format(part.count, ',')}"
        for split, part in dataset.splits.items()
    ]
    classes = [f"{label} {dataset.num_classes(label):,}" for label in dataset.labels]
    here = made_state(dataset, users) if dataset.made_here else state(dataset)
    return [
        name,
        "\n".join(images),
        "\n".join(classes) or "-",
        here,
        ", ".join(users) or "-",
        dataset.licence,
    ]


def state(dataset: Dataset) -> str:
    """Found, missing or wrong, by split; counted, not hashed."""
    states = {split: state_of(dataset, split) for split in dataset.splits}
    if len(set(states.values())) == 1:
        return next(iter(states.values()))
    return "\n".join(f"{split}: {found}" for split, found in states.items())


def state_of(dataset: Dataset, split: str) -> str:
    """Whether a split is here with the count of the registry."""
    part, root = dataset.splits[split], root_of(None, dataset)
    is_here = (root / part.path).is_dir() if dataset.form == "folder" else any(root.glob(part.path))
    if not is_here:
        return "missing"
    try:
        check_counts(None, dataset, split)
    except UserError as error:
        count = str(error).partition("expected ")[2].partition("; ")[0]
        return f"wrong: expected {count}"
    return "found"


def made_state(dataset: Dataset, users: list[str]) -> str:
    """Which of the runs that make a set have made it."""
    return "\n".join(f"{run}: {'made' if is_made(run, dataset) else 'not yet made'}" for run in users) or "-"


def is_made(run: str, dataset: Dataset) -> bool:
    """Whether a run has made every split."""
    try:
        return all(files_of(run, dataset, split) for split in dataset.splits)
    except UserError:
        return False


def valid_runs() -> list[Run]:
    """The runs of `config/` and of $M3AE_CONFIG_PATH; those with a mistake are left out."""
    folders = [Path("config"), *map(Path, filter(None, os.environ.get(CONFIG_PATH, "").split(":")))]
    names = {path.stem for folder in folders for path in folder.glob("*.yaml")} - {"datasets"}
    runs = []
    for name in sorted(names):
        try:
            runs.append(load_run(name))
        except UserError:
            continue
    return runs
