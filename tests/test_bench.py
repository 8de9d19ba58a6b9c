"""``m3ae bench loader``: the parts are all of the time, and the one that is slow is named."""

import os
import re
import shutil
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from m3ae.cli.main import main
from m3ae.data.shards import Pairs
from m3ae.data.stream import augment, bench
from m3ae.data.stream.stream import Stream
from m3ae.errors import UserError
from small_project import make_micro

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, before = tmp_path_factory.mktemp("bench"), os.getcwd()
    os.chdir(folder)
    yield make_micro(folder, num=40)
    os.chdir(before)


class Clock:
    """A clock that stands still but for what is slow."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def slow(self, function):
        def wrapper(*args, **kwargs):
            self.now += 1
            return function(*args, **kwargs)

        return wrapper


@pytest.mark.parametrize(
    ("owner", "name", "part", "calls"),
    [
        (Pairs, "jpegs", bench.READ, 4),
        (augment, "decode_box", bench.DECODE, 16),
        (augment, "resize", bench.RESIZE, 16),
        (Stream, "words", bench.WORDS, 4),
        (Stream, "_orders", bench.WORDS, 8),
        (augment, "draw_crop", bench.OTHER, 16),
        (bench, "to_tensors", bench.MOVE, 4),
    ],
)
def test_a_slow_part_is_the_one_that_binds(run, monkeypatch, owner, name, part, calls):
    clock = Clock()
    monkeypatch.setattr(bench, "time", clock)
    monkeypatch.setattr(owner, name, clock.slow(getattr(owner, name)))
    times = bench.time_parts(Stream(run, "m3ae-b100"), 4, 4, CPU)
    assert times.binding == part
    assert times.seconds == {other: calls * (other == part) for other in bench.PARTS}
    assert times.num_samples == 16
    assert times.samples_per_s == 16 / calls


def test_the_parts_are_all_of_the_time(run):
    began = time.perf_counter()
    times = bench.time_parts(Stream(run, "m3ae-b100"), 8, 5, CPU)
    elapsed = time.perf_counter() - began
    assert set(times.seconds) == set(bench.PARTS)
    assert all(seconds >= 0 for seconds in times.seconds.values())
    assert times.total <= elapsed
    assert (times.num_steps, times.num_samples) == (5, 40)
    shares = [int(share) for share in re.findall(r"(\d+)%$", "\n".join(bench.table(times)), re.MULTILINE)]
    assert shares[-1] == 100
    assert 95 <= sum(shares[:-1]) <= 105


def test_timing_leaves_the_stream_as_it_was(run):
    before = augment.decode_box, augment.resize, Pairs.jpegs, Stream.words
    bench.time_parts(Stream(run, "m3ae-b100"), 4, 1, CPU)
    assert (augment.decode_box, augment.resize, Pairs.jpegs, Stream.words) == before


def test_a_copy_of_the_shards_is_read_in_their_place(run, tmp_path):
    copy = shutil.copytree(run.paths.shards("train"), tmp_path / "copy")
    stream = bench.StreamFrom(run, "m3ae-b100", copy)
    assert stream.pairs.folder == copy
    make, arguments = stream.__reduce__()
    assert make(*arguments).pairs.folder == copy
    with pytest.raises(UserError, match="expected a copy of"):
        bench.StreamFrom(run, "m3ae-b100", run.paths.shards("heldout"))


def test_pages_are_dropped_only_where_there_are_tars(run, tmp_path):
    assert bench.drop_pages(run.paths.shards("train")) == hasattr(os, "posix_fadvise")
    assert not bench.drop_pages(tmp_path)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_command_says_how_fast_and_what_binds(run, workers):
    arguments = ["bench", "loader", "--run", "micro", "--seconds", "0.2", "--workers", str(workers)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert all(part in done.output for part in bench.PARTS)
    assert re.search(r"^[\d,]+ samples/s per core$", done.output, re.MULTILINE)
    assert re.search(
        rf"^[\d,]+ samples/s as training reads, with --workers {workers}", done.output, re.MULTILINE
    )
    assert done.output.splitlines()[-1] in bench.ADVICE.values()


def test_shards_that_are_not_there_are_one_line(run):
    done = CliRunner().invoke(main, ["bench", "loader", "--run", "micro", "--shards", str(Path("nowhere"))])
    assert done.exit_code == 1
    assert len(done.output.strip().splitlines()) == 1
