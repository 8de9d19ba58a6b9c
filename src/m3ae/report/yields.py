"""The page of the data: pairs that were listed, received and kept, and why others were not."""

import pandas as pd

from m3ae.config import Run
from m3ae.data.manifest import Manifest, read_manifest
from m3ae.report import html

SPLITS = {"train": "pre-training", "heldout": "held-out"}


def data_tables(run: Run) -> str:
    """Pairs that were listed, received and kept, and why others were not."""
    manifests = read_manifests(run)
    counts = [
        {
            "pairs": SPLITS[split],
            "rows": f"{manifest.yield_.rows:,}",
            "images": f"{manifest.yield_.images:,}",
            "received": f"{manifest.yield_.received:,}",
            "kept": f"{manifest.count:,}",
            "yield": share(manifest.yield_.share),
        }
        for split, manifest in manifests.items()
    ]
    reasons = sorted({reason for manifest in manifests.values() for reason in manifest.rejected})
    rejected = {
        SPLITS[split]: [f"{manifest.rejected.get(reason, 0):,}" for reason in reasons]
        for split, manifest in manifests.items()
    }
    refused = pd.DataFrame({"reason": [reason.replace("_", " ") for reason in reasons], **rejected})
    kept = html.table(pd.DataFrame(counts), words=["pairs"])
    return kept + (html.table(refused, words=["reason"], caption="Rejected") if reasons else "")


def share(value: float) -> str:
    """In percent; what is not quite all is not rounded to all."""
    return f"{100 * value:.2f} %" if 0.9995 <= value < 1 else f"{100 * value:.1f} %"


def data_commands(run: Run) -> str:
    """What looks at the data, and what makes it again."""
    manifest = run.paths.manifest("train").as_posix()
    return html.terminal(
        f"snakemake {manifest} --config run={run.name}",
        f"m3ae data inspect {manifest}",
        f"m3ae data verify {manifest}",
    )


def read_manifests(run: Run) -> dict[str, Manifest]:
    """The manifests of clean shards that exist, by split."""
    paths = {split: run.paths.manifest(split) for split in SPLITS}
    return {split: read_manifest(path) for split, path in paths.items() if path.is_file()}
