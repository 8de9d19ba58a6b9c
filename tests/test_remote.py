"""Shards behind fsspec: the same bytes as on disk, one request a batch, a cache that keeps its bound."""

import importlib.util
import multiprocessing
import shutil
import threading
import time

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from m3ae.data import cache, remote
from m3ae.data.cache import Cache
from m3ae.data.shards import Pairs
from m3ae.data.stream.loader import load_steps
from m3ae.data.stream.stream import Stream
from m3ae.errors import UserError
from made_shards import captions_of, jpegs, make_stream_project, write_shards

NUM, PER_SHARD = 22, 5


class Flaky(MemoryFileSystem):
    """A file system that counts, and fails as it is told."""

    protocol = "flaky"
    cachable = False
    failures: dict = {}  # name of a tar -> errors that its next reads raise
    log: list = []
    at_once = most_at_once = 0
    lock = threading.Lock()

    def cat_file(self, path, start=None, end=None, **options):
        cls, name = type(self), path.rsplit("/", 1)[-1]
        with self.lock:
            cls.log.append(name)
            cls.at_once += 1
            cls.most_at_once = max(cls.most_at_once, cls.at_once)
            error = cls.failures[name].pop(0) if cls.failures.get(name) else None
        try:
            time.sleep(0.01)
            if error is not None:
                raise error
            return super().cat_file(path, start, end, **options)
        finally:
            with self.lock:
                cls.at_once -= 1


fsspec.register_implementation("flaky", Flaky, clobber=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(remote, "PAUSES_S", (0.0, 0.0, 0.0))
    for name in (remote.SHARDS_URL, cache.CACHE_DIR, cache.CACHE_GB):
        monkeypatch.delenv(name, raising=False)
    Flaky.failures, Flaky.log, Flaky.most_at_once = {}, [], 0
    yield
    MemoryFileSystem.store.clear()


@pytest.fixture
def far(tmp_path, monkeypatch):
    """A folder whose tars have moved to another place; call it with the kind of URL."""
    folder = tmp_path / "data" / "run" / "shards" / "train"
    write_shards(folder, jpegs(NUM), captions_of(NUM), PER_SHARD)

    def move(protocol="memory"):
        base = f"{protocol}://{tmp_path / 'bucket'}" if protocol == "file" else f"{protocol}://bucket/base"
        system, root = fsspec.core.url_to_fs(f"{base}/run/shards/train")
        system.makedirs(root, exist_ok=True)
        for tar in sorted(folder.glob("*.tar")):
            system.pipe_file(f"{root}/{tar.name}", tar.read_bytes())
            tar.unlink()
        monkeypatch.setenv(remote.SHARDS_URL, base + "/")
        return folder, f"{base}/run/shards/train"

    return move


@pytest.mark.parametrize("protocol", ["memory", "file", "flaky"])
def test_samples_are_the_same_bytes_from_far(far, protocol):
    pairs = Pairs(far(protocol)[0])
    ids = np.random.default_rng(0).permutation(NUM).tolist()
    expected = jpegs(NUM)
    assert pairs.jpegs(ids) == [expected[id] for id in ids]
    assert pairs.jpeg(3) == expected[3]
    assert pairs.captions(1) == captions_of(NUM)[1]


def test_tars_that_are_here_are_read_here(far):
    folder, url = far("flaky")
    system, root = fsspec.core.url_to_fs(url)
    (folder / "00001.tar").write_bytes(system.cat_file(f"{root}/00001.tar"))
    Flaky.log = []
    assert Pairs(folder).jpegs([2, 7, 21]) == [jpegs(NUM)[id] for id in (2, 7, 21)]
    assert sorted(Flaky.log) == ["00000.tar", "00004.tar"]


def test_a_batch_is_asked_for_at_once(far):
    pairs = Pairs(far("flaky")[0])
    pairs.jpegs(list(range(NUM)))
    assert Flaky.most_at_once > 4
    assert len(Flaky.log) == NUM


def test_an_asynchronous_file_system_gets_one_request(far, monkeypatch):
    folder, _ = far("memory")
    asked = []
    whole = MemoryFileSystem.cat_ranges

    def cat_ranges(self, paths, starts, ends, **options):
        asked.append(len(paths))
        return whole(self, paths, starts, ends, **options)

    monkeypatch.setattr(MemoryFileSystem, "async_impl", True)  # as s3fs and gcsfs are
    monkeypatch.setattr(MemoryFileSystem, "cat_ranges", cat_ranges)
    assert Pairs(folder).jpegs([*range(NUM)]) == jpegs(NUM)
    assert asked == [NUM]


def test_a_failure_that_passes_is_not_seen(far):
    pairs = Pairs(far("flaky")[0])
    Flaky.failures = {"00002.tar": [TimeoutError("slow"), ConnectionResetError("gone")]}
    assert pairs.jpegs([0, 11]) == [jpegs(NUM)[id] for id in (0, 11)]
    assert sorted(Flaky.log) == ["00000.tar", "00002.tar", "00002.tar", "00002.tar"]  # no more than needed


def test_a_failure_that_stays_is_one_line(far):
    folder, url = far("flaky")
    Flaky.failures = {"00002.tar": [ConnectionResetError("connection\nreset")] * 99}
    with pytest.raises(
        UserError, match=f"{url}/00002.tar: cannot be read .ConnectionResetError: connection"
    ) as e:
        Pairs(folder).jpegs([0, 11])
    assert "\n" not in str(e.value) and "M3AE_SHARDS_URL" in str(e.value)
    assert len(Flaky.log) == 1 + 4


@pytest.mark.parametrize("error", [FileNotFoundError("00002.tar"), PermissionError("denied")])
def test_what_will_not_pass_is_not_tried_again(far, error):
    folder, _ = far("flaky")
    Flaky.failures = {"00002.tar": [error] * 99}
    with pytest.raises(UserError, match=r"00002.tar: cannot be read"):
        Pairs(folder).jpeg(11)
    assert len(Flaky.log) == 1


def test_a_tar_that_ends_too_early_is_named(far):
    folder, url = far("memory")
    system, root = fsspec.core.url_to_fs(url)
    system.pipe_file(f"{root}/00001.tar", system.cat_file(f"{root}/00001.tar")[:900])
    with pytest.raises(UserError, match=r"memory://.*00001.tar: sample 9 is cut off"):
        Pairs(folder).jpeg(9)


@pytest.mark.parametrize(("protocol", "package"), [("s3", "s3fs"), ("gs", "gcsfs")])
def test_a_missing_package_is_named(far, monkeypatch, protocol, package):
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    folder, _ = far("memory")
    monkeypatch.setenv(remote.SHARDS_URL, f"{protocol}://bucket")
    with pytest.raises(
        UserError, match=f"^{protocol}://bucket/run/shards/train: .*{package}.*pip install"
    ) as e:
        Pairs(folder).jpeg(0)
    assert "\n" not in str(e.value)


def test_an_unknown_kind_of_address_is_one_line(far, monkeypatch):
    folder, _ = far("memory")
    monkeypatch.setenv(remote.SHARDS_URL, "gopher://bucket")
    with pytest.raises(UserError, match=r"^gopher://.* not an address that fsspec knows .*M3AE_SHARDS_URL"):
        Pairs(folder).jpeg(0)


# The cache


def fill(folder, url, path, max_bytes):
    shards = Pairs(folder).manifest.shards
    kept = Cache(path, max_bytes)
    kept.fill(url, shards)
    return kept, shards


def test_the_cache_keeps_the_first_tars_up_to_its_bound(far, tmp_path):
    folder, url = far("memory")
    sizes = [shard.bytes for shard in Pairs(folder).manifest.shards]
    for number in range(len(sizes) + 1):
        path = tmp_path / f"cache{number}"
        kept, shards = fill(folder, url, path, sum(sizes[:number]))
        assert [kept.find(shard) is not None for shard in shards] == [i < number for i in range(len(shards))]
        assert sum(file.stat().st_size for file in path.iterdir()) == sum(sizes[:number])


def test_kept_tars_are_not_read_from_far(far, tmp_path, monkeypatch):
    folder, url = far("flaky")
    fill(folder, url, tmp_path / "cache", 3 * 10**4)
    monkeypatch.setenv(cache.CACHE_DIR, str(tmp_path / "cache"))
    monkeypatch.setenv(cache.CACHE_GB, "3e-5")
    pairs = Pairs(folder)
    kept = [pairs._tars._path(shard) is not None for shard in range(5)]
    Flaky.log = []
    assert pairs.jpegs([*range(NUM)]) == jpegs(NUM)
    assert 0 < sum(kept) < 5
    assert {int(name[:5]) for name in Flaky.log} == {i for i, here in enumerate(kept) if not here}


def test_the_cache_fills_beside_the_reading(far, tmp_path, monkeypatch):
    folder, _ = far("memory")
    monkeypatch.setenv(cache.CACHE_DIR, str(tmp_path / "cache"))
    monkeypatch.setenv(cache.CACHE_GB, "1")
    pairs = Pairs(folder)
    assert pairs.jpegs([*range(NUM)]) == jpegs(NUM)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "cache").glob("*.tar"))) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    MemoryFileSystem.store.clear()
    assert pairs.jpegs([*range(NUM)]) == jpegs(NUM)  # from the cache alone


def fill_in_child(shards, url, path, max_bytes):
    Cache(path, max_bytes).fill(url, shards)


def test_processes_share_the_cache_and_its_bound(far, tmp_path):
    folder, url = far("file")
    shards = Pairs(folder).manifest.shards
    bound = shards[0].bytes + shards[1].bytes + 100
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=fill_in_child, args=(shards, url, tmp_path / "cache", bound)) for _ in range(4)
    ]
    for child in children:
        child.start()
    most = 0
    while any(child.is_alive() for child in children):
        try:
            most = max(most, sum(file.stat().st_size for file in (tmp_path / "cache").iterdir()))
        except FileNotFoundError:
            continue  # not yet made, or renamed while we looked
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0] * 4
    assert most <= bound
    names = {file.name for file in (tmp_path / "cache").glob("[!.]*")}
    assert names == {f"{shard.sha256}.tar" for shard in shards[:2]}


def read_for_a_while(pairs):
    for _ in range(2000):
        pairs.jpeg(21)
        time.sleep(0.05)


def test_a_tar_that_is_not_the_manifests_is_refused_and_not_kept(far, tmp_path, monkeypatch):
    folder, url = far("memory")
    system, root = fsspec.core.url_to_fs(url)
    data = system.cat_file(f"{root}/00001.tar")
    system.pipe_file(f"{root}/00001.tar", data[:700] + bytes([data[700] ^ 1]) + data[701:])
    with pytest.raises(UserError, match=rf"^{url}/00001.tar: expected sha256 .*upload it again"):
        fill(folder, url, tmp_path / "cache", 10**9)
    assert len(list((tmp_path / "cache").glob("*"))) <= 2  # the good first tar, and the lock
    system.pipe_file(f"{root}/00001.tar", data + b"more")
    with pytest.raises(UserError, match=rf"00001.tar: expected {len(data)} bytes, .* found {len(data) + 4}"):
        fill(folder, url, tmp_path / "cache", 10**9)
    monkeypatch.setenv(cache.CACHE_DIR, str(tmp_path / "cache"))
    monkeypatch.setenv(cache.CACHE_GB, "1")
    pairs = Pairs(folder)
    with pytest.raises(UserError, match="upload it again"):  # the thread's finding reaches the reader
        read_for_a_while(pairs)


def test_what_a_killed_process_left_goes(far, tmp_path):
    folder, url = far("memory")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "0123.partial").write_bytes(b"x" * 10**6)
    kept, shards = fill(folder, url, tmp_path / "cache", 10**9)
    assert all(kept.find(shard) for shard in shards)
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_a_full_disk_is_said_once_and_reading_goes_on(far, tmp_path, monkeypatch, capfd):
    folder, _ = far("memory")
    monkeypatch.setenv(cache.CACHE_DIR, str(tmp_path / "cache"))
    monkeypatch.setenv(cache.CACHE_GB, "1")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MemoryFileSystem, "get_file", full)
    pairs, said = Pairs(folder), ""
    deadline = time.monotonic() + 120
    while "the cache takes no more" not in said and time.monotonic() < deadline:
        assert pairs.jpegs([*range(NUM)]) == jpegs(NUM)
        said += capfd.readouterr().err
    assert said.count("No space left on device") == 1


@pytest.mark.parametrize("bound", [None, "", "much", "inf"])
def test_a_cache_needs_a_bound(far, tmp_path, monkeypatch, bound):
    folder, _ = far("memory")
    monkeypatch.setenv(cache.CACHE_DIR, str(tmp_path / "cache"))
    if bound is not None:
        monkeypatch.setenv(cache.CACHE_GB, bound)
    with pytest.raises(UserError, match=r"M3AE_CACHE_GB: expected the bound of the cache"):
        Pairs(folder)


def test_the_stream_is_the_same_from_far_with_workers_and_a_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_stream_project(tmp_path)
    expected = list(load_steps(Stream(run, "m3ae-b100"), 13, 0, 6, 0))
    for split in ("train", "images"):
        target = tmp_path / "bucket" / "micro" / "shards" / split
        target.mkdir(parents=True)
        for tar in run.paths.shards(split).glob("*.tar"):
            shutil.move(tar, target / tar.name)
    monkeypatch.setenv(remote.SHARDS_URL, f"file://{tmp_path / 'bucket'}")
    monkeypatch.setenv(cache.CACHE_DIR, str(tmp_path / "cache"))
    monkeypatch.setenv(cache.CACHE_GB, "2.5e-5")
    for workers in (0, 2):
        got = list(load_steps(Stream(run, "m3ae-b100"), 13, 0, 6, workers))
        for left, right in zip(got, expected, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))
