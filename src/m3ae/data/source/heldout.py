"""Which samples are held out: those whose identity has the smallest hashes, whatever their order."""

import hashlib
import heapq
from collections.abc import Iterable

from m3ae.errors import UserError

HASH_BYTES = 16


def hash_of(identity: str) -> bytes:
    """The place of a sample in a fixed random order: of its URL, its key, its path, or its row."""
    return hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=HASH_BYTES).digest()


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


def heldout_bound(identities: Iterable[str], num_heldout: int, what: str) -> bytes:
    """The largest hash that is held out when ``num_heldout`` of the ``identities`` are.

    Raises UserError, which calls them ``what``, where nothing would be left to train on.
    """
    smallest = smallest_hashes(map(hash_of, identities), num_heldout + 1)
    if len(smallest) <= num_heldout:
        raise UserError(
            f"data.source.heldout: expected fewer than the {len(smallest)} {what}, "
            f"got {num_heldout}; lower it"
        )
    return sorted(smallest)[num_heldout - 1] if num_heldout else b""  # nothing is as small as b""
