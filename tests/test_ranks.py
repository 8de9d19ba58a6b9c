"""Workers and ranks change nothing, and none of them can hang or hide what went wrong."""

import gc
import os
import signal
import time

import numpy as np
import psutil
import pytest

from m3ae.data.stream import loader
from m3ae.data.stream.loader import in_one_line, load_steps
from m3ae.data.stream.mixture import split_batch
from m3ae.data.stream.stream import Batch, Stream
from m3ae.errors import UserError
from made_shards import make_stream_project

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores

BATCH, FIRST, LAST = 13, 2, 8  # 13 rows: 7 pairs, 3 images, 3 passages
ORDERS = {"image_order", "text_order", "passage_order"}
PASSAGE_FIELDS = {"passage", "passage_text", "passage_padding", "passage_order"}


@pytest.fixture(params=["sample", "batch"])
def stream(request, stream_project):
    return Stream(make_stream_project(stream_project, mask_scope=request.param), "m3ae-b100")


@pytest.fixture
def plain(stream_project):
    return Stream(make_stream_project(stream_project), "m3ae-b100")


def same(got, expected):
    assert len(got) == len(expected)
    for left, right in zip(got, expected, strict=True):
        for name, a, b in zip(Batch._fields, left, right, strict=True):
            assert np.array_equal(np.asarray(a), np.asarray(b)), name


def put_together(ranks, counts, mask_scope):
    """The rows of all ranks, kind by kind, as one batch; masks of a whole batch must be equal."""
    fields = {}
    for name in Batch._fields:
        parts = [np.asarray(getattr(batch, name)) for batch in ranks]
        if name in ORDERS and mask_scope == "batch":
            assert all(np.array_equal(part, parts[0]) for part in parts), name
            fields[name] = parts[0]
        elif name in PASSAGE_FIELDS:
            fields[name] = np.concatenate(parts)
        else:
            num = [
                (rank + 1) * counts.pairs // len(ranks) - rank * counts.pairs // len(ranks)
                for rank in range(len(ranks))
            ]
            pairs = [part[:n] for part, n in zip(parts, num, strict=True)]
            images = [part[n:] for part, n in zip(parts, num, strict=True)]
            fields[name] = np.concatenate(pairs + images)
    return Batch(**fields)


@pytest.mark.parametrize("workers", [1, 4, 8])
def test_worker_processes_change_nothing(stream, workers):
    alone = list(load_steps(stream, BATCH, FIRST, LAST, 0))
    same(list(load_steps(stream, BATCH, FIRST, LAST, workers)), alone)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_all_ranks_together_have_the_batch_of_one(stream, world):
    counts = split_batch(BATCH, stream.recipe.mixture)
    assert counts == (7, 3, 3)
    for step in range(FIRST, LAST):
        ranks = [stream.step(step, BATCH, rank, world) for rank in range(world)]
        whole = put_together(ranks, counts, stream.recipe.mask_scope)
        same([whole], [stream.step(step, BATCH)])


def test_four_ranks_with_workers_have_the_batches_of_one(stream_project):
    only_pairs = {"pairs": 1.0, "images": 0.0, "texts": 0.0}
    stream = Stream(make_stream_project(stream_project, mixture=only_pairs, mask_scope="batch"), "m3ae-b100")
    ranks = [
        list(load_steps(stream, BATCH, FIRST, LAST, workers, rank, 4))
        for rank, workers in enumerate([0, 1, 2, 0])
    ]
    assert [len(rank[0].sample) for rank in ranks] == [3, 3, 3, 4]
    counts = split_batch(BATCH, stream.recipe.mixture)
    together = [put_together(parts, counts, "batch") for parts in zip(*ranks, strict=True)]
    same(together, list(load_steps(stream, BATCH, FIRST, LAST, 0)))


def test_more_ranks_than_samples_of_a_kind_are_refused(plain):
    with pytest.raises(UserError, match=r"mixture.images: expected at least one sample per rank"):
        load_steps(plain, BATCH, 0, 1, 0, rank=0, world=4)


@pytest.mark.slow
def test_spawned_workers_change_nothing(plain):
    alone = list(load_steps(plain, BATCH, FIRST, LAST, 0))
    same(list(load_steps(plain, BATCH, FIRST, LAST, 2, start_method="spawn")), alone)


def test_a_stream_goes_on_from_any_step(plain):
    whole = list(load_steps(plain, BATCH, 0, 6, 0))
    same(list(load_steps(plain, BATCH, 4, 6, 2)), whole[4:])


def break_sample(plain, id):
    tar = plain.pairs.folder / plain.pairs.manifest.shards[int(plain.pairs.index.shard[id])].name
    whole = tar.read_bytes()
    start = int(plain.pairs.index.offset[id])
    tar.write_bytes(whole[:start] + b"no image at all" + whole[start + 15 :])
    return tar, whole


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_sample_is_one_line_from_a_worker_too(plain, workers):
    tar, whole = break_sample(plain, int(plain.step(2, BATCH).sample[4]))
    seen = []
    try:
        batches = load_steps(plain, BATCH, 0, 6, workers)
        with pytest.raises(UserError, match=r"train/0000\d.tar: sample \d+ does not decode") as caught:
            seen.extend(batches)
        assert len(seen) == 2  # what came before it was used
        assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)
        assert str(caught.value).endswith("m3ae data verify data/micro/shards/train/manifest.json --repair")
    finally:
        tar.write_bytes(whole)


def children():
    return [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


def test_a_killed_worker_is_one_line_and_nobody_waits_for_it(plain):
    before = {child.pid for child in children()}
    batches = load_steps(plain, BATCH, 0, 10**6, 2)
    next(batches)
    workers = [child for child in children() if child.pid not in before]
    assert len(workers) == 2
    workers[0].send_signal(signal.SIGKILL)
    with pytest.raises(UserError, match=r"a data worker died .* use fewer workers") as caught:
        for _ in batches:
            pass
    assert "\n" not in str(caught.value)
    del batches, caught
    gc.collect()
    psutil.wait_procs(workers, timeout=60)
    assert not [child for child in children() if child.pid not in before]


@pytest.mark.parametrize("error", [ConnectionResetError(104, "Connection reset by peer"), EOFError()])
def test_a_worker_that_dies_while_it_hands_over_a_batch_is_the_same_line(error):
    def batches():
        raise error
        yield

    with pytest.raises(UserError, match=r"a data worker died .* use fewer workers"):
        next(in_one_line(batches(), ()))


def test_a_worker_that_hangs_is_given_up_and_does_not_stay(plain, monkeypatch):
    before = {child.pid for child in children()}
    monkeypatch.setattr(loader, "LOOK_S", 0.2)
    monkeypatch.setattr(loader, "PATIENCE_S", 1)
    monkeypatch.setattr(Stream, "step", lambda *_: time.sleep(10**6))
    batches = load_steps(plain, BATCH, 0, 4, 1)
    with pytest.raises(UserError, match="expected a batch within 1 s, none came"):
        next(batches)
    assert not {child.pid for child in children()} - before


def test_a_slow_batch_is_waited_for(plain, monkeypatch):
    monkeypatch.setattr(loader, "LOOK_S", 0.05)
    expected = plain.step(0, BATCH)
    step = Stream.step
    monkeypatch.setattr(Stream, "step", lambda *args: time.sleep(1) or step(*args))
    same(list(load_steps(plain, BATCH, 0, 1, 1)), [expected])


def test_few_files_stay_open(plain, monkeypatch):
    """However many tars there are: the reader's cache of open files is bounded."""
    from m3ae.data import tars

    monkeypatch.setattr(tars, "MAX_OPEN", 2)
    stream = Stream(plain.run, plain.model)
    before = len(os.listdir("/proc/self/fd"))
    for step in range(6):
        stream.step(step, BATCH)
    assert len(stream.pairs.manifest.shards) == 5
    assert len(os.listdir("/proc/self/fd")) <= before + 2 + 2  # of pairs, and of images
