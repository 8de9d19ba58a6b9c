"""A project folder with a tiny `tiny`: some made-up pairs as clean shards, without any download."""

import shutil
from pathlib import Path

import numpy as np
import yaml

from m3ae.config import Run, load_run
from raw_shards import Answer, encoded, picture, write_raw

CHECKOUT = Path(__file__).parents[1]
WORDS = ["red", "green", "blue", "yellow", "large", "small", "zero", "one", "two", "left", "right"]

MICRO = {
    "extends": "tiny",
    "batch_size": 8,
    "samples_per_epoch": 40,
    "architecture": {
        "sizes": {"b": {"width": 16, "depth": 1, "heads": 2}},
        "decoder": {"width": 16, "depth": 1, "heads": 2},
    },
    "pretrain": {"log_steps": 5, "checkpoint_minutes": 1e-4},
    "models": {
        "m3ae-b100": {"epochs": 8},
        "mae-b100": {"epochs": 8},
    },
    "rows": ["m3ae-b100", "mae-b100", "untrained-b"],
    "heldout": {"num_samples": 20},
}


def make_config(folder: Path, **changes) -> None:
    """``config/`` of the checkout in ``folder``, with a run `micro`."""
    if not (folder / "config").exists():
        shutil.copytree(CHECKOUT / "config", folder / "config")
    settings = {**MICRO, **changes}
    (folder / "config" / "micro.yaml").write_text(yaml.safe_dump(settings))


def make_micro(folder: Path, num: int = 50, **changes) -> Run:
    """The run `micro` with ``num`` raw samples, cleaned and tokenised; ``folder`` is the current one."""
    from m3ae.data.clean.clean import clean_split
    from m3ae.data.tokens import make_tokens

    make_config(folder, **changes)
    run = load_run("micro")
    for split, first in (("train", 0), ("heldout", num)):
        write_raw(run, split, [answer(seed) for seed in range(first, first + num)])
        clean_split(run, split)
    make_tokens(run)
    return run


def answer(seed: int) -> Answer:
    """A picture that no other seed gives, with one caption or two."""
    rng = np.random.default_rng(seed)
    captions = [" ".join(rng.choice(WORDS, 6)) for _ in range(1 + seed % 2)]
    return Answer(encoded(picture(48, 48, seed)), captions)
