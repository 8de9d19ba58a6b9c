"""The order: one to one at every size, as random as shuffling, and as cheap at position 10^12 as at 0."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from m3ae.data.stream.keyed import key_of
from m3ae.data.stream.order import locate, shuffled, unshuffled

SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000, 1023]
SIZES += [1024, 1025, 4099, 10_000, 65_535, 65_536, 65_537]
HARDLY = 1e-6  # a chance below which a test that ran with fixed seeds may call a thing no accident


def orders(size, num_keys, **options):
    """The orders of many keys, one a row."""
    places = np.tile(np.arange(size), num_keys)
    keys = np.repeat(key_of((3, np.arange(num_keys))), size)
    return shuffled(places, size, keys, **options).reshape(num_keys, size)


def chance_of(counts):
    """The chance of counts as uneven as these if all were equally likely."""
    expected = counts.mean()
    return stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), counts.size - 1)


@pytest.mark.parametrize("size", SIZES)
def test_every_sample_has_one_place_and_every_place_one_sample(size):
    for epoch in range(3):
        _, samples = locate(np.arange(epoch * size, (epoch + 1) * size), size, 42, 5)
        assert sorted(samples) == list(range(size))


@pytest.mark.parametrize("size", [*range(1, 70), 12_000_000, 10**12, 2**40 + 1])
def test_the_inverse_finds_the_place(size):
    places = np.unique(np.linspace(0, size - 1, 500).astype(np.int64))
    keys = key_of((42, 5, places))
    samples = shuffled(places, size, keys)
    assert samples.min() >= 0 and samples.max() < size
    assert np.array_equal(unshuffled(samples, size, keys), places)


def test_a_sample_depends_on_its_position_alone():
    positions = np.random.default_rng(0).integers(0, 10**12, 300)
    epochs, samples = locate(positions, 12_000_000, 42, 5)
    for position, epoch, sample in zip(positions, epochs, samples, strict=True):
        alone = locate(np.array([position]), 12_000_000, 42, 5)
        assert (alone[0][0], alone[1][0]) == (epoch, sample)
        assert epoch == position // 12_000_000


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_all_orders_of_a_small_set_are_equally_likely(size):
    found = (orders(size, 60_000) * size ** np.arange(size)).sum(axis=1)
    codes = [sum(v * size**i for i, v in enumerate(p)) for p in itertools.permutations(range(size))]
    counts = np.array([(found == code).sum() for code in codes])
    assert counts.sum() == 60_000
    assert chance_of(counts) > HARDLY


def test_half_the_rounds_would_not_have_been_enough():
    """The test above can fail: at 8 rounds it does."""
    found = (orders(5, 60_000, rounds=8) * 5 ** np.arange(5)).sum(axis=1)
    _, counts = np.unique(found, return_counts=True)
    assert chance_of(counts) < HARDLY


@pytest.mark.parametrize("size", [2, 7, 12, 17, 30])
def test_every_place_gets_every_sample_equally_often(size):
    drawn = orders(size, 20_000)
    for place in range(size):
        assert chance_of(np.bincount(drawn[:, place], minlength=size)) > HARDLY


@pytest.mark.parametrize("size", [7, 12, 17])
def test_neighbours_are_any_two_samples(size):
    drawn = orders(size, 20_000)
    pairs = np.bincount(drawn[:, 3] * size + drawn[:, 4], minlength=size**2).reshape(size, size)
    assert not np.diag(pairs).any()
    assert chance_of(pairs[~np.eye(size, dtype=bool)]) > HARDLY


@pytest.mark.parametrize("size", [1000, 4096, 10_007])
def test_neighbours_and_epochs_are_uncorrelated(size):
    _, samples = locate(np.arange(2 * size), size, 42, 5)
    first, second = samples[:size], samples[size:]
    bound = 5 / math.sqrt(size)
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < bound
    assert abs(np.corrcoef(first, second)[0, 1]) < bound
    assert abs(np.corrcoef(first, np.arange(size))[0, 1]) < bound
    # A random order keeps one sample in its place on average, and one pair of neighbours beside each other.
    assert (first == np.arange(size)).sum() < 9
    assert (np.diff(first) == 1).sum() < 9
    assert (first == second).sum() < 9


def test_the_first_sample_of_an_epoch_is_any_sample():
    by_seed = shuffled(np.zeros(5000, np.int64), 50, key_of((np.arange(5000), 5, 0)))
    assert [locate(np.array([0]), 50, seed, 5)[1][0] for seed in range(9)] == by_seed[:9].tolist()
    by_epoch = locate(np.arange(5000) * 50, 50, 42, 5)[1]
    assert chance_of(np.bincount(by_seed, minlength=50)) > HARDLY
    assert chance_of(np.bincount(by_epoch, minlength=50)) > HARDLY


def test_the_seed_and_the_purpose_matter():
    positions = np.arange(1000)
    base = locate(positions, 1000, 42, 5)[1]
    for other in ((43, 5), (42, 6), (5, 42)):
        assert (base == locate(positions, 1000, *other)[1]).sum() < 9


@pytest.mark.parametrize("position", [0, 10_000_000, 10**15])
def test_a_batch_takes_the_memory_of_a_batch(position):
    locate(np.arange(8), 10**12, 42, 5)
    tracemalloc.start()
    locate(np.arange(position, position + 4096), 10**12, 42, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000  # bytes; an epoch's order would take 8 TB
