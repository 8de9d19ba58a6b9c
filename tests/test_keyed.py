"""Keyed randomness: uniform, independent of how it is asked for, different for different keys."""

import numpy as np

from m3ae.data.stream.keyed import permutation, uniforms


def test_a_number_depends_on_its_key_alone():
    samples = np.array([7, 3, 7, 11])
    together = uniforms(4, 42, 1, 0, samples)
    for row, sample in zip(together, samples, strict=True):
        assert np.array_equal(row, uniforms(4, 42, 1, 0, int(sample))[0])
    assert np.array_equal(together[:, :2], uniforms(2, 42, 1, 0, samples))


def test_every_part_of_the_key_matters():
    base = uniforms(8, 42, 1, 0, 5)[0]
    for other in ((43, 1, 0, 5), (42, 2, 0, 5), (42, 1, 1, 5), (42, 1, 0, 6), (42, 1, 5, 0)):
        assert not np.any(np.isclose(base, uniforms(8, *other)[0]))


def test_numbers_are_uniform_and_uncorrelated():
    draws = uniforms(4, 0, 0, 0, np.arange(50_000))
    histogram = np.histogram(draws, bins=20, range=(0, 1))[0] / draws.size
    assert np.abs(histogram - 0.05).max() < 0.001
    assert np.abs(np.corrcoef(draws.T) - np.eye(4)).max() < 0.02
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.02


def test_a_permutation_has_every_number_once():
    order = permutation(1000, 1, 2, 3)
    assert sorted(order) == list(range(1000))
    assert not np.array_equal(order, permutation(1000, 1, 2, 4))
