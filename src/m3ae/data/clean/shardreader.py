"""What a clean tar says of its samples: enough to write the index and the captions again."""

import json
import tarfile
from pathlib import Path

import pyarrow as pa

from m3ae.data.clean.formats import read_header
from m3ae.data.clean.reasons import RejectionError
from m3ae.data.clean.shardwriter import Row, as_table
from m3ae.errors import UserError


def read_rows(path: Path) -> pa.Table:
    """The rows of a tar's samples, without where they came from. Raises UserError if it is broken."""
    rows = []
    try:
        with tarfile.open(path, "r:") as tar:
            members = iter(tar)
            for image, facts in zip(members, members, strict=True):
                rows.append(read_row(tar, image, facts))
    except (tarfile.TarError, OSError, ValueError, KeyError, SyntaxError, RejectionError) as error:
        raise UserError(f"{path}: broken shard ({error})") from None
    return as_table(rows)


def read_row(tar: tarfile.TarFile, image: tarfile.TarInfo, facts: tarfile.TarInfo) -> Row:
    """One sample: its image, then its captions."""
    jpeg, text = (tar.extractfile(member).read() for member in (image, facts))  # type: ignore[union-attr]
    said = json.loads(text)
    width, height = read_header(jpeg)[1].size
    return Row(image.offset_data, image.size, width, height, said["captions"], said["sha256"], "", "")
