"""A list of pairs, whole in memory: what the download reads in parts."""

from pathlib import Path

import pandas as pd

from m3ae.data.source.lists import read_rows


def read_list(path: Path) -> pd.DataFrame:
    """Columns `url` and `captions` (list of str), a row per URL in first-seen order."""
    captions: dict[str, list[str]] = {}
    for row in read_rows(path):
        captions.setdefault(row.url, []).append(row.caption)
    return pd.DataFrame({"url": list(captions), "captions": list(captions.values())})
