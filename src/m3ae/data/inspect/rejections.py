"""The table of rejections: reason, count, share, and one example of each."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from m3ae.data.inspect.facts import Rejection
from m3ae.data.manifest import MANIFEST, REJECTED, Manifest
from m3ae.errors import UserError

BATCH_ROWS = 100_000


def rejection_table(folder: Path, manifest: Manifest) -> list[Rejection]:
    """Why samples of the source are not in the shards, most frequent first."""
    by_count = sorted(manifest.rejected.items(), key=lambda item: (-item[1], item[0]))
    examples = first_details(folder / REJECTED, {reason for reason, count in by_count if count})
    return [
        Rejection(
            reason=reason, count=count, share=count / manifest.yield_.images, example=examples.get(reason, "")
        )
        for reason, count in by_count
    ]


def first_details(path: Path, reasons: set[str]) -> dict[str, str]:
    """The detail of the first row of each reason; reads no further than to the last of those."""
    found: dict[str, str] = {}
    try:
        with pq.ParquetFile(path, read_dictionary=["reason"]) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=["reason", "detail"]):
                if reasons <= found.keys():
                    break
                for reason in set(pc.unique(batch["reason"]).to_pylist()) - found.keys():
                    row = pc.index(batch["reason"].dictionary_decode(), reason).as_py()
                    found[reason] = batch["detail"][row].as_py() or ""
    except (pa.ArrowException, OSError, KeyError) as error:
        message = " ".join(str(error).split())
        raise UserError(
            f"{path}: expected the list of rejections ({message}); rebuild the shards: "
            f"snakemake --force {path.with_name(MANIFEST)}"
        ) from None
    return found
