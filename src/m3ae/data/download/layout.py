"""Where a download keeps its passes, below `data/{run}/raw/{split}/`, and how img2dataset names samples.

The first pass's raw shards lie in the folder itself, later ones in `pass2`, `pass3` ...; what each pass
asks for lies in `list/1`, `list/2` ... as Parquet files.
"""

import math
from collections.abc import Iterator
from pathlib import Path

FIRST_KEY = "first_key"
"""Column of a later pass's list: the sample's key in the first pass."""

SHARD_DIGITS = 5  # img2dataset's default for the names of shards


def pass_folder(folder: Path, number: int) -> Path:
    """The raw shards of a pass."""
    return folder if number == 1 else folder / f"pass{number}"


def list_folder(folder: Path, number: int) -> Path:
    """What a pass asks for."""
    return folder / "list" / str(number)


def tars_of(folder: Path) -> list[Path]:
    """Raw shards in the order of the list, also where a number outgrows its digits."""
    return sorted(folder.glob("*.tar"), key=lambda path: (len(path.name), path.name))


def keys_of(shard_samples: int) -> Iterator[str]:
    """The keys that img2dataset gives to the rows of a list: the shard's number, then the row's in it."""
    digits = math.ceil(math.log10(shard_samples))
    shard = 0
    while True:
        for row in range(shard_samples):
            yield f"{shard * 10**digits + row:0{digits + SHARD_DIGITS}d}"
        shard += 1
