"""A run `micro` of `tiny` from nothing to its tables, in one process.

    python whole_chain.py THREADS            everything
    python whole_chain.py THREADS STAGE...   these alone, on the data that is there

Every stage is the command that the workflow calls. Only the download is left out: its raw shards are written
from the images that `data source` made. The current folder is the project.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

from m3ae.cli.main import main
from m3ae.config import Run, load_run
from raw_shards import Answer, write_raw
from small_project import MICRO, make_config

MODEL = "m3ae-b100"
SOURCE = {"num_train": 240, "num_heldout": 240, "num_probe_train": 80, "num_probe_test": 40, "bad_share": 0.1}
FEW = {
    "architecture": {**MICRO["architecture"], "sizes": {"b": {"width": 16, "depth": 2, "heads": 2}}},
    "models": {"m3ae-b100": {"epochs": 4}},
    "samples_per_epoch": 48,
    "rows": [MODEL],
    "data": {"source": SOURCE, "tokens": {"vocab_size": 200}},
    "probe": {"epochs": 4, "warmup_epochs": 1, "base_lrs": [0.1, 1.0]},
    "statistics": {"draws": 100},
    "language": {"num_samples": 240, "num_train": 240, "gallery": 8, "passes": 1, "steps": 1},
    "extended": {
        "rows": [MODEL],
        "probes": {"base_lrs": [0.1, 1.0], "batch_size": 32, "epochs": 4, "neighbours": [5], "draws": 2},
        "shift": {"num_samples": 16, "corruptions": ["gaussian_noise", "fog"], "severities": [2]},
        "robustness": {
            "num_samples": 16,
            "batch_size": 8,
            "attacks": [{"name": "pgd10", "norm": "linf", "radii": [0.008]}],
        },
    },
}
STAGES = ["pretrain", "heldout", "features", "probe", "ood"]
STAGES += ["probes", "detection", "shift", "robustness", "captions"]
FIGURES = ["figure3"]


def make() -> None:
    """Everything, stage by stage."""
    make_data()
    for stage in STAGES:
        call(f"{stage} --model {MODEL}")
    for figure in FIGURES:
        call(f"figure {figure}")


def make_data() -> None:
    """Pairs, tokens and evaluation sets."""
    make_config(Path(), **FEW)
    run = load_run("micro")
    call("data source")
    for split in ("train", "heldout"):
        bring(run, split)
        call(f"data clean --split {split}")
    call("data tokens")
    for dataset in run.eval_datasets:
        call(f"data evalset --dataset {dataset}")


def call(command: str) -> None:
    """A command of ours on the run."""
    main([*command.split(), "--run", "micro"], standalone_mode=False)


def bring(run: Run, split: str) -> None:
    """The raw shards that a download of the split's list would write; what is not there is an error."""
    captions = defaultdict(list)
    with run.paths.list(split).open(encoding="utf-8", newline="") as file:
        for url, caption in csv.reader(file, delimiter="\t"):
            captions[url].append(caption)
    answers = []
    for url, said in captions.items():
        path = run.paths.source / "images" / split / url.rpartition("/")[2]
        image = path.read_bytes() if path.is_file() else None
        answers.append(Answer(image, said, None if image else "HTTP Error 404: Not Found"))
    write_raw(run, split, answers)


if __name__ == "__main__":
    import torch

    torch.set_num_threads(int(sys.argv[1]))
    if sys.argv[2:]:
        for stage in sys.argv[2:]:
            call(f"{stage} --model {MODEL}")
    else:
        make()
