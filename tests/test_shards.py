"""Clean shards are read by id from anywhere, and what differs from the manifest is refused by name."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import pytest

from m3ae.data.index import read_index
from m3ae.data.manifest import INDEX
from m3ae.data.shards import Pairs, iter_captions
from m3ae.errors import UserError
from made_shards import captions_of, jpegs, write_shards

NUM = 12


@pytest.fixture(autouse=True)
def nothing_remote(monkeypatch):
    monkeypatch.delenv("M3AE_SHARDS_URL", raising=False)


@pytest.fixture
def pairs(tmp_path):
    write_shards(tmp_path / "train", jpegs(NUM), captions_of(NUM))
    return Pairs(tmp_path / "train")


def test_samples_are_read_by_id_in_any_order(pairs):
    expected = jpegs(NUM)
    assert [pairs.jpeg(id) for id in range(NUM)] == expected
    some = [11, 0, 5, 5, 3]
    assert pairs.jpegs(some) == [expected[id] for id in some]
    assert pairs.image(7).size == (32, 32)
    assert len(pairs) == NUM


def test_captions_are_read_by_id_and_in_batches(pairs):
    expected = captions_of(NUM)
    assert [pairs.captions(id) for id in range(NUM)] == expected
    batches = list(iter_captions(pairs.folder, 5))
    assert [len(batch) for batch in batches] == [5, 5, 2]
    assert [captions for batch in batches for captions in batch] == expected


def test_pairs_can_be_copied_and_read_from_threads(pairs):
    expected = jpegs(NUM)
    copy = deepcopy(pairs)  # by the protocol of processes that are spawned
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(copy.jpeg, [*range(NUM)] * 20)) == expected * 20


def read_in_child(pairs, queue):
    queue.put([pairs.jpeg(id) for id in range(NUM)])


def test_forked_processes_do_not_disturb_each_other(pairs):
    pairs.jpeg(0)  # the file is open before the fork
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=read_in_child, args=(pairs, queue))
    child.start()
    mine = [pairs.jpeg(id) for id in range(NUM)]
    assert queue.get(timeout=120) == mine == jpegs(NUM)
    child.join(120)


@pytest.mark.parametrize("id", [-1, NUM, 10**9])
def test_an_id_outside_is_no_other_sample(pairs, id):
    for read in (pairs.jpeg, pairs.captions, pairs.image):
        with pytest.raises(IndexError, match="from 0 to 11"):
            read(id)


def test_shards_that_differ_from_their_manifest_are_refused_by_name(pairs):
    tar = pairs.folder / "00001.tar"
    data = tar.read_bytes()
    tar.write_bytes(data[:-10])
    with pytest.raises(
        UserError,
        match=r"00001.tar: expected \d+ bytes, found \d+; rebuild it: m3ae data verify .*json --repair$",
    ):
        Pairs(pairs.folder)
    tar.write_bytes(data[:600] + bytes([data[600] ^ 1]) + data[601:])
    Pairs(pairs.folder)  # the size alone is checked at every start
    tar.unlink()
    with pytest.raises(UserError, match=r"00001.tar: expected \d+ bytes, found no such file"):
        Pairs(pairs.folder)


def test_a_shard_that_shrinks_or_goes_while_it_is_read_is_named(pairs):
    tar = pairs.folder / "00002.tar"
    tar.write_bytes(tar.read_bytes()[:700])
    with pytest.raises(UserError, match=r"00002.tar: sample 11 is cut off; rebuild it"):
        pairs.jpegs([0, 11])
    (pairs.folder / "00001.tar").unlink()
    with pytest.raises(UserError, match=r"00001.tar: cannot be opened \(No such file or directory\)"):
        pairs.jpeg(6)
    assert pairs.jpeg(0) == jpegs(1)[0]


def test_a_changed_index_is_refused(pairs):
    index = pairs.folder / INDEX
    data = bytearray(index.read_bytes())
    data[len(data) // 2] ^= 1
    index.write_bytes(data)
    with pytest.raises(UserError, match=r"index.arrow: expected the index with the manifest's sha256"):
        Pairs(pairs.folder)
    index.unlink()
    with pytest.raises(UserError, match=r"index.arrow: expected the index"):
        Pairs(pairs.folder)


def test_a_sample_that_does_not_decode_is_named(pairs):
    index = read_index(pairs.folder / INDEX)
    with (pairs.folder / "00000.tar").open("r+b") as file:
        file.seek(int(index.offset[1]))
        file.write(b"no image at all")
    with pytest.raises(
        UserError, match=r"00000.tar: sample 1 does not decode .*verify .*--repair$"
    ) as caught:
        pairs.image(1)
    assert "\n" not in str(caught.value)
    assert pairs.image(2).size == (32, 32)
