"""One pass: img2dataset over the list of the pass, shard by shard, with a progress bar."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tqdm import tqdm

from m3ae.config import Run
from m3ae.data.download.fetch import fetch
from m3ae.data.download.guard import Guard
from m3ae.data.download.layout import FIRST_KEY, list_folder, pass_folder
from m3ae.data.download.progress import Progress
from m3ae.data.download.resume import finished_shards
from m3ae.errors import UserError

LOG = "img2dataset.log"


@dataclass(frozen=True)
class Machine:
    """What is the machine's business: how many downloads at a time, and how they reach their workers."""

    processes: int
    threads: int
    distributor: str
    guard: Guard


def bring_pass(run: Run, raw: Path, number: int, machine: Machine) -> None:
    """Make the raw shards of a pass that are missing. Raises UserError if some still are, afterwards."""
    folder, listed = pass_folder(raw, number), list_folder(raw, number)
    rows = listed_rows(listed)
    num_shards = math.ceil(rows / run.settings.data.download.shard_samples)
    if len(finished_shards(folder)) < num_shards:
        arguments = img2dataset_arguments(run, listed, folder, number, machine)
        progress = Progress(folder)
        name = raw.name if number == 1 else f"{raw.name}, pass {number}"
        with tqdm(desc=name, total=rows, initial=progress.count(), unit=" urls", disable=None) as bar:
            fetch(arguments, machine.guard, folder / LOG, lambda: bar.update(progress.count() - bar.n))
    missing = num_shards - len(finished_shards(folder))
    if missing:
        raise UserError(
            f"{folder}: {missing} of {num_shards} raw shards failed, see {folder / LOG}; run again"
        )


def listed_rows(folder: Path) -> int:
    """How many URLs a pass asks for."""
    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


def img2dataset_arguments(
    run: Run, listed: Path, folder: Path, number: int, machine: Machine
) -> dict[str, Any]:
    """The settings in img2dataset's words; what its own fetch would heed is in our guard instead."""
    settings, clean = run.settings.data.download, run.settings.data.clean
    keep_bytes = settings.resize == "no"
    resizing = {
        "image_size": clean.short_side_px,
        "resize_mode": "keep_ratio",
        "resize_only_if_bigger": True,
        "skip_reencode": True,  # what needs no change keeps its bytes
    }
    return {
        "url_list": str(listed.absolute()),
        "input_format": "parquet",
        "url_col": "url",
        "caption_col": "caption",
        "save_additional_columns": ["captions"] if number == 1 else ["captions", FIRST_KEY],
        "output_folder": str(folder.absolute()),
        "output_format": "webdataset",
        "number_sample_per_shard": settings.shard_samples,
        "processes_count": machine.processes,
        "thread_count": machine.threads,
        "distributor": machine.distributor,
        "retries": 0,  # its retries would ask again for a 404: our passes do not
        "compute_hash": "sha256",
        "extract_exif": not keep_bytes,  # resizing loses the orientation
        "incremental_mode": "incremental",
        "enable_wandb": False,
        **({"disable_all_reencoding": True} if keep_bytes else resizing),
    }
