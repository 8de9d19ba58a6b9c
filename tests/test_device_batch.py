"""--device-batch is kept by every pass at every rank, or refused; a GPU's full memory is one line."""

import math
import random
import re

import pytest
import torch

from m3ae.data.stream.mixture import Counts
from m3ae.data.stream.stream import Stream
from m3ae.errors import UserError
from m3ae.train import loop
from m3ae.train.machine import Machine
from m3ae.train.passes import largest_pass, passes_of, sizes_of
from m3ae.train.ranks import Ranks
from made_shards import make_stream_project

MODEL = "m3ae-b100"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda **mixture: make_stream_project(tmp_path, {"images": 0.0, "texts": 0.0, **mixture})


def kinds(rng, world):
    """Counts of a step in which no rank goes without a kind."""
    return Counts(rng.randint(world, 40), *(rng.choice((0, rng.randint(world, 60))) for _ in range(2)))


def test_no_pass_at_any_rank_has_more_samples_than_the_device_takes_or_none_could():
    rng = random.Random(0)
    for _ in range(2000):
        world = rng.randint(1, 4)
        counts, most = kinds(rng, world), rng.randint(1, 30)
        try:
            passes = passes_of(counts, world, most)
        except UserError as error:
            needed = int(re.search(r"at least (\d+), .* got", str(error))[1])
            assert needed > most
            assert passes_of(counts, world, needed).number <= counts.pairs // world + counts.images // world
            continue
        assert passes.number >= math.ceil(sum(counts) / world / most)
        sizes = [sizes_of(counts, rank, world, passes) for rank in range(world)]
        assert {len(at_rank) for at_rank in sizes} == {passes.number}
        assert 1 <= min(map(min, sizes)) <= max(map(max, sizes)) <= most
        assert sum(map(sum, sizes)) == sum(counts)


@pytest.mark.parametrize(
    ("counts", "world", "most", "expected"),
    [
        (Counts(7, 3, 3), 1, 4, (4, 3)),
        (Counts(5, 4, 4), 2, 3, (3, 2)),
        (Counts(11, 0, 0), 1, None, (1, 1)),
        (Counts(10, 0, 7), 1, 6, (4, 4)),  # three passes would be 5, 5 and 7
    ],
)
def test_passes_are_as_few_as_that_allows(counts, world, most, expected):
    assert passes_of(counts, world, most) == expected


def test_the_passes_of_a_training_have_the_sizes_that_were_planned(run):
    training = loop.Training(
        run(pairs=4.0, images=1.5, texts=5.0), MODEL, {}, Machine(device_batch=4), Ranks()
    )
    parts = training.split(training_batch(training))
    sizes = [len(part.image) + (len(part.passages.text) if part.passages else 0) for part in parts]
    assert sizes == sizes_of(training.counts, 0, 1, training.passes)
    assert max(sizes) == largest_pass(training.counts, 1, training.passes) == 4


def training_batch(training):
    """The first step's rows, as tensors."""
    from m3ae.data.stream.loader import to_tensors

    return to_tensors(Stream(training.run, MODEL).step(0, training.settings.batch_size))


def test_too_many_passages_for_the_device_batch_are_refused_and_an_mae_reads_none(run):
    many = run(pairs=1.5, texts=7.0)  # 2 pairs, 9 passages
    refusal = r"--device-batch: expected at least 6, .* 2 images beside 9 passages, got 4"
    with pytest.raises(UserError, match=refusal):
        loop.pretrain(many, MODEL, Machine(device_batch=4))
    loop.Training(many, "mae-b100", {}, Machine(device_batch=1), Ranks())


@pytest.mark.parametrize(
    ("machine", "advice"),
    [
        (Machine(), r"lower --device-batch \(now its whole share of the batch\), or add --recompute, then"),
        (Machine(device_batch=8, recompute=True), r"lower --device-batch \(now 8\), then"),
    ],
)
def test_a_gpu_without_room_for_a_step_is_one_line(run, monkeypatch, machine, advice):
    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    monkeypatch.setattr(loop, "train_step", full)
    with pytest.raises(UserError, match=advice) as caught:
        loop.pretrain(run(pairs=1.0), MODEL, machine)
    assert "(CUDA out of memory. Tried to allocate 2.00 GiB.)" in str(caught.value)
