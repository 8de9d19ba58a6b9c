from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import pytest

from m3ae.data.clean.clean import clean_split
from m3ae.data.shards import Pairs, verify_shards
from m3ae.errors import UserError
from raw_shards import Answer, encoded, picture, project, write_raw


@pytest.fixture
def run(tmp_path, monkeypatch):
    return project(tmp_path, monkeypatch)


@pytest.fixture
def pairs(run):
    write_raw(run, "train", [Answer(encoded(picture(40, 40, i)), [f"caption {i}"]) for i in range(3)])
    clean_split(run, "train")
    return Pairs(run.paths.shards("train"))


def test_pairs_can_be_copied_and_read_from_threads(pairs):
    expected = [pairs.jpeg(i) for i in range(3)]
    copy = deepcopy(pairs)  # by the protocol of processes that are spawned
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(copy.jpeg, [0, 1, 2] * 20)) == expected * 20
    with pytest.raises(IndexError, match="from 0 to 2"):
        pairs.jpeg(-1)


def test_shards_that_differ_from_their_manifest_are_refused_by_name(pairs):
    folder = pairs.folder
    tar = folder / "00000.tar"
    data = tar.read_bytes()
    tar.write_bytes(data[:-10])
    with pytest.raises(
        UserError, match=r"00000.tar: expected \d+ bytes, found \d+; rebuild it: snakemake --force"
    ):
        Pairs(folder)
    tar.write_bytes(data[:600] + bytes([data[600] ^ 1]) + data[601:])
    Pairs(folder)  # the size alone is checked at every start
    with pytest.raises(UserError, match=r"00000.tar: expected sha256"):
        verify_shards(folder)
    tar.unlink()
    with pytest.raises(UserError, match="found no such file"):
        Pairs(folder)


def test_a_changed_index_is_refused(pairs):
    index = pairs.folder / "index.parquet"
    index.write_bytes(index.read_bytes() + b"x")
    with pytest.raises(UserError, match=r"index.parquet: expected the index with the manifest's sha256"):
        Pairs(pairs.folder)


def test_a_sample_that_does_not_decode_is_named(pairs):
    tar = pairs.folder / "00000.tar"
    start = tar.read_bytes().index(pairs.jpeg(1))
    with tar.open("r+b") as file:
        file.seek(start)
        file.write(b"no image at all")
    with pytest.raises(UserError, match=r"00000.tar: sample 1 does not decode .*snakemake --force"):
        pairs.image(1)
    assert pairs.image(2).size == (40, 40)
