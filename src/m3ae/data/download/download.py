"""Download a list's images into raw WebDataset shards, with img2dataset; goes on after an interruption."""

import json
import math
import os
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from m3ae.config import Run
from m3ae.data.download.fetch import fetch
from m3ae.data.download.resume import SCRATCH, discard_unlike, finished_rows, finished_shards
from m3ae.data.download.server import serve_folder
from m3ae.data.raw.img2dataset import read_failures
from m3ae.data.source.lists import read_list
from m3ae.data.source.sources import served_folder
from m3ae.errors import UserError
from m3ae.files import sha256_of, write_text

if TYPE_CHECKING:
    import pandas as pd

LOG = "img2dataset.log"


def download_split(run: Run, split: str, processes: int, threads: int) -> None:
    """Download a split's images, and write the report when every shard is there.

    Shards that an interrupted call finished are kept if list and settings are the same.
    Raises UserError if the list is broken, img2dataset fails as a whole, or nothing came at all.
    """
    path, folder, report = run.paths.list(split), run.paths.raw(split), run.paths.download(split)
    pairs = read_list(path)
    identity = {"list_sha256": sha256_of(path), "settings": run.stage("download")}
    discard_unlike(folder, report, identity)
    num_shards = math.ceil(len(pairs) / run.settings.data.download.shard_samples)
    if len(finished_shards(folder)) < num_shards:
        fetch_shards(run, folder, pairs, processes, threads)
    missing = num_shards - len(finished_shards(folder))
    if missing:
        raise UserError(
            f"{folder}: {missing} of {num_shards} raw shards failed, see {folder / LOG}; run again"
        )
    outcome = count_outcomes(folder, pairs)
    if not outcome["downloaded"]:
        raise UserError(
            f"{folder}: expected images, got none from {len(pairs)} URLs ({common(outcome['failed'])}); "
            f"check the network and {path}, then remove {folder} and run again"
        )
    write_text(report, json.dumps({**outcome, **identity}, indent=1) + "\n")


def count_outcomes(folder: Path, pairs: "pd.DataFrame") -> dict[str, Any]:
    """Rows and URLs of the list, and what became of the URLs."""
    failed = Counter(row.reason for tar in sorted(folder.glob("*.tar")) for row in read_failures(tar))
    return {
        "rows": int(pairs["captions"].str.len().sum()),
        "urls": len(pairs),
        "downloaded": sum(shard["successes"] for shard in finished_shards(folder)),
        "failed": dict(sorted(failed.items())),
    }


def common(failed: dict[str, int]) -> str:
    """The three most frequent reasons."""
    return (
        ", ".join(f"{reason}: {count}" for reason, count in Counter(failed).most_common(3))
        or "no reason given"
    )


def fetch_shards(run: Run, folder: Path, pairs: "pd.DataFrame", processes: int, threads: int) -> None:
    """Have img2dataset make the shards that are missing; images of this machine come from our own server."""
    environment = dict(os.environ)
    with ExitStack() as stack:
        root = served_folder(run)
        if root is not None:
            port = stack.enter_context(serve_folder(root))
            environment |= {"http_proxy": f"http://127.0.0.1:{port}", "no_proxy": "", "NO_PROXY": ""}
        table = folder / SCRATCH / "list.parquet"
        write_table(table, pairs)
        arguments = img2dataset_arguments(run, table, folder, processes, threads)
        done = finished_rows(folder)
        bar = stack.enter_context(
            tqdm(desc=folder.name, total=len(pairs), initial=done, unit=" urls", disable=None)
        )
        fetch(arguments, environment, folder / LOG, lambda: bar.update(finished_rows(folder) - bar.n))


def write_table(path: Path, pairs: "pd.DataFrame") -> None:
    """The list as img2dataset reads it: a URL, its first caption, and all of them as a JSON list."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(exist_ok=True)
    captions = pairs["captions"]
    columns = {
        "url": pairs["url"],
        "caption": captions.str[0],
        "captions": captions.map(lambda texts: json.dumps(texts, ensure_ascii=False)),
    }
    pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), path)


def img2dataset_arguments(
    run: Run, table: Path, folder: Path, processes: int, threads: int
) -> dict[str, Any]:
    """The settings in img2dataset's words."""
    settings, clean = run.settings.data.download, run.settings.data.clean
    keep_bytes = settings.resize == "no"
    resizing = {
        "image_size": clean.short_side_px,
        "resize_mode": "keep_ratio",
        "resize_only_if_bigger": True,
        "skip_reencode": True,  # what needs no change keeps its bytes
    }
    return {
        "url_list": str(table.absolute()),
        "input_format": "parquet",
        "url_col": "url",
        "caption_col": "caption",
        "save_additional_columns": ["captions"],
        "output_folder": str(folder.absolute()),
        "output_format": "webdataset",
        "number_sample_per_shard": settings.shard_samples,
        "processes_count": processes,
        "thread_count": threads,
        "timeout": settings.timeout_s,
        "user_agent_token": settings.user_agent,
        "compute_hash": "sha256",
        "extract_exif": not keep_bytes,  # resizing loses the orientation
        "incremental_mode": "incremental",
        "enable_wandb": False,
        **({"disable_all_reencoding": True} if keep_bytes else resizing),
    }
