"""Weights in a smaller file, for a store where megabytes count.

Floats of trained weights compress little as they lie, and by a sixth when the bytes of equal place lie
together: Parquet's BYTE_STREAM_SPLIT. `dvc pull` brings the packed file; whoever reads the weights first
unpacks it, into the very bytes that were packed.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m3ae.errors import UserError
from m3ae.files import atomic_path, remove_abandoned, sha256_of

if TYPE_CHECKING:
    import pyarrow as pa

ENCODER, PACKED_ENCODER = "encoder.safetensors", "encoder.parquet"
HEADER, SHA256 = b"safetensors", b"sha256"
"""Of the schema's metadata: what stands before the tensors, and the hash of the whole file."""
WORDS = {"F16": 2, "BF16": 2, "F32": 4}


def pack(path: Path) -> Path:
    """Pack an encoder beside itself, unless that was done; same weights, same bytes. Where they are then.

    A file that is no safetensors of floats stays as it is: the answer is ``path``.
    """
    packed, sha256 = path.with_name(PACKED_ENCODER), sha256_of(path)
    if packed.is_file() and finding(packed, sha256) is None:
        return packed
    header, words = parts_of(path.read_bytes())
    if words is None:
        return path
    remove_abandoned(packed.parent, f".{packed.name}.*")
    with atomic_path(packed) as partial:
        write(partial, words, {HEADER: header, SHA256: sha256.encode()})
    return packed


def parts_of(content: bytes) -> tuple[bytes, "pa.FixedSizeBinaryArray | None"]:
    """The header of safetensors, and all that follows as words of a float's size; None for other files."""
    import pyarrow as pa

    end = 8 + int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8:end])
        width = min(WORDS[facts["dtype"]] for name, facts in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError):
        return b"", None
    body = pa.py_buffer(content[end:])
    if body.size % width:
        return b"", None
    return content[:end], pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), body.size // width, [None, body]
    )


def write(path: Path, words: "pa.FixedSizeBinaryArray", facts: dict[bytes, bytes]) -> None:
    """Write one column; brotli takes a tenth less than zstd here."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([pa.field("words", words.type, nullable=False)], metadata=facts)
    pq.write_table(
        pa.Table.from_arrays([words], schema=schema),
        path,
        compression="brotli",
        compression_level=11,
        use_dictionary=False,
        column_encoding={"words": "BYTE_STREAM_SPLIT"},
        write_statistics=False,
        row_group_size=len(words),
        data_page_size=1 << 30,
    )


def unpacked(path: Path) -> Path:
    """``path``; an encoder that lies here packed alone is brought out of that file first.

    Raises UserError, one line, if that file is broken: the weights are whole or absent.
    """
    if path.name == ENCODER and not path.is_file() and path.with_name(PACKED_ENCODER).is_file():
        unpack(path)
    return path


def unpack(path: Path) -> None:
    """Bring an encoder out of the packed file beside it, whatever lies in its place."""
    content = read(path.with_name(PACKED_ENCODER))
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def read(packed: Path) -> bytes:
    """The file that was packed. Raises UserError, one line, if it cannot be had whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(packed).read()
        facts = table.schema.metadata or {}
        chunks = table.column("words").chunks
        content = facts[HEADER] + b"".join(bytes_of(chunk) for chunk in chunks)
        stated = facts[SHA256].decode()
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise broken(packed, f"cannot be unpacked ({' '.join(str(error).split())[:120]})") from None
    found = hashlib.sha256(content).hexdigest()
    if found != stated:
        raise broken(packed, f"expected weights of sha256 {stated[:12]}, found {found[:12]}")
    return content


def hash_in(packed: Path) -> str | None:
    """SHA-256 of the weights that a packed file says it holds; None if it says nothing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return (pq.read_schema(packed).metadata or {})[SHA256].decode()
    except (pa.ArrowException, OSError, KeyError, ValueError):
        return None


def bytes_of(chunk: "pa.FixedSizeBinaryArray") -> Any:
    """The bytes of words, as they lie."""
    width = chunk.type.byte_width
    start = chunk.offset * width
    return memoryview(chunk.buffers()[1])[start : start + len(chunk) * width]


def finding(packed: Path, sha256: str) -> str | None:
    """Why a packed file does not hold the weights of this hash; None if it does. Reads all of it."""
    try:
        found = hashlib.sha256(read(packed)).hexdigest()
    except UserError as error:
        return str(error)
    if found == sha256:
        return None
    return str(broken(packed, f"expected weights of sha256 {sha256[:12]}, found {found[:12]}"))


def broken(packed: Path, what: str) -> UserError:
    """The error for a file that cannot be used."""
    return UserError(f"{packed}: {what}; bring it again (dvc pull --force), or remove it and train")
