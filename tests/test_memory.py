"""The stream at the size of CC12M: it goes on at once, memory is shared between workers and does not grow."""

import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from m3ae.data.stream.loader import load_steps
from m3ae.data.stream.stream import Stream
from made_shards import make_stream_project
from synthetic import make_large

NUM_SAMPLES = 12_000_000
MIB = 2**20

EPOCHS = """
import psutil, sys
from m3ae.config import load_run
from m3ae.data.stream.loader import load_steps
from m3ae.data.stream.stream import Stream

run, workers, per_epoch = load_run("micro"), int(sys.argv[1]), int(sys.argv[2])

def memory():
    me = psutil.Process()
    return sum(process.memory_info().rss for process in [me, *me.children()])

batches = load_steps(Stream(run, "m3ae-b100"), 8, 0, 12 * per_epoch, workers)
for number, batch in enumerate(batches, 1):
    if number == 2 * per_epoch:
        before = memory()
    if number == 12 * per_epoch - 4 * workers - 2:  # its workers still live
        print(memory() - before)
"""


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_memory_is_flat_over_ten_epochs(tmp_path, monkeypatch, workers):
    monkeypatch.chdir(tmp_path)
    make_stream_project(tmp_path)
    command = [sys.executable, "-c", EPOCHS, str(workers), "15"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10 * MIB


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield make_large(folder, NUM_SAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 4])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_stream_of_twelve_million_goes_on_at_once_anywhere(large, workers):
    step = 10_000_000 // 64
    started = time.perf_counter()
    batch = next(load_steps(Stream(large, "m3ae-b100"), 64, step, step + 100, workers))
    assert time.perf_counter() - started < 20  # below 2 s, alone on a machine: benchmarks/results/stream.md
    assert len(set(batch.sample.tolist())) == 64 and int(batch.sample.max()) > 1_000_000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_share_index_and_tokens(large):
    """The shares of all processes (PSS) add up to less than one more copy of the index in each would take."""
    stream = Stream(large, "m3ae-b100")
    index_bytes = sum(column.nbytes for column in stream.pairs.index)
    assert index_bytes == 24 * NUM_SAMPLES
    before = psutil.Process().memory_full_info().pss
    batches = load_steps(stream, 64, 0, 10**6, 4)
    for _ in range(8):
        next(batches)
    me = psutil.Process()
    shares = [process.memory_full_info().pss for process in [me, *me.children()]]
    assert len(shares) >= 5  # an earlier test may have left multiprocessing's own helper
    assert sum(shares) - before < 4 * index_bytes


@pytest.mark.slow
def test_an_epoch_of_twelve_million_has_every_sample_once():
    from m3ae.data.stream.keyed import SHUFFLE
    from m3ae.data.stream.order import locate

    seen = np.zeros(NUM_SAMPLES, bool)
    for start in range(0, NUM_SAMPLES, 1_000_000):
        _, samples = locate(np.arange(start, start + 1_000_000), NUM_SAMPLES, 42, SHUFFLE)
        assert not seen[samples].any()
        seen[samples] = True
    assert seen.all()
