"""A list from the web (CC12M's): fetched once, split by a hash of the URL, never whole in memory."""

import hashlib
import heapq
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from m3ae.data.source.lists import HTTP, Row, read_rows, write_list
from m3ae.errors import UserError
from m3ae.files import atomic_write

TIMEOUT_S = 30
CHUNK_BYTES = 1 << 20
HASH_BYTES = 16


def fetch_list(url: str, path: Path) -> None:
    """Download ``url`` to ``path``, atomically. Raises UserError, one line, where that fails."""
    advice = f"check data.source.train and the network, or put the list at {path} yourself"
    if not HTTP.match(url):
        raise UserError(f"data.source.train: expected http:// or https://, got {url!r}; {advice}")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response, atomic_write(path) as file:
            expected = response.length  # None where the server does not say
            with tqdm(total=expected, desc=path.name, unit="B", unit_scale=True, disable=None) as bar:
                while chunk := response.read(CHUNK_BYTES):
                    file.write(chunk)
                    bar.update(len(chunk))
            if expected not in (None, file.tell()):  # a lost connection is no error to urllib
                raise UserError(f"{url}: expected {expected} bytes, got {file.tell()}; {advice}")
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise UserError(f"{url}: cannot be fetched ({error}); {advice}") from None


def split_list(whole: Path, train: Path, heldout: Path, num_heldout: int) -> None:
    """Split a list: the ``num_heldout`` URLs with the smallest hashes are held out, with all their rows.

    A URL's side depends on the URL alone, whatever the order of the rows.
    """
    smallest = smallest_hashes((hash_of(row.url) for row in rows_of(whole, "hash")), num_heldout + 1)
    if len(smallest) <= num_heldout:
        raise UserError(
            f"data.source.heldout: expected fewer than the {len(smallest)} URLs of {whole}, "
            f"got {num_heldout}; lower it"
        )
    smallest.remove(max(smallest))
    write_list(heldout, (row for row in rows_of(whole, "held out") if hash_of(row.url) in smallest))
    write_list(train, (row for row in rows_of(whole, "train") if hash_of(row.url) not in smallest))


def rows_of(path: Path, what: str) -> Iterator[Row]:
    """The rows of a list, with a progress bar."""
    return iter(tqdm(read_rows(path), desc=what, unit=" rows", unit_scale=True, disable=None))


def hash_of(url: str) -> bytes:
    """The URL's place in a fixed random order."""
    return hashlib.blake2b(url.encode(), digest_size=HASH_BYTES).digest()


def smallest_hashes(hashes: Iterable[bytes], count: int) -> set[bytes]:
    """The ``count`` smallest distinct values of a stream, in memory for ``count`` of them."""
    kept: set[bytes] = set()
    negated: list[int] = []  # a heap whose top is the largest kept value
    for value in (value for value in hashes if value not in kept):
        heapq.heappush(negated, -int.from_bytes(value, "big"))
        kept.add(value)
        if len(kept) > count:
            kept.remove((-heapq.heappop(negated)).to_bytes(HASH_BYTES, "big"))
    return kept
