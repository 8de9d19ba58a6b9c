"""The stream: every sample once an epoch, the same for everyone who asks."""

import pickle
from collections import Counter

import numpy as np
import pytest

from m3ae.data.stream.stream import Drawn, Stream
from m3ae.data.stream.words import keeps_caption, pad_words
from made_shards import NUM_PAIRS, make_stream_project


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run = make_stream_project(folder, mixture={"pairs": 1.0, "images": 0.0, "texts": 0.0})
        yield Stream(run, "m3ae-b100")


def test_an_epoch_has_every_sample_exactly_once(stream):
    size = len(stream)
    for epoch in range(3):
        ids = stream.batch(epoch * size, (epoch + 1) * size).sample
        assert sorted(ids) == list(range(size))


def test_epochs_have_different_orders_and_crops(stream):
    size = len(stream)
    first, second = stream.batch(0, size), stream.batch(size, 2 * size)
    assert not np.array_equal(first.sample, second.sample)
    a, b = np.argsort(first.sample), np.argsort(second.sample)
    assert not np.array_equal(first.image[a], second.image[b])
    assert not np.array_equal(first.image_order[a], second.image_order[b])


def test_a_batch_is_the_same_however_it_is_cut(stream):
    whole = stream.batch(30, 70)
    parts = [stream.batch(start, start + 8) for start in range(30, 70, 8)]
    for name, values in whole._asdict().items():
        assert np.array_equal(values, np.concatenate([getattr(part, name) for part in parts])), name


def test_a_step_is_the_next_batch_of_pairs(stream):
    for step in (0, 3, 50):
        expected = stream.batch(step * 8, (step + 1) * 8)
        assert all(np.array_equal(a, b) for a, b in zip(stream.step(step, 8), expected, strict=True))


def test_a_stream_travels_light_and_goes_on(stream):
    sent = pickle.dumps(stream)  # as to a process that is spawned
    assert len(sent) < 20_000
    copy = pickle.loads(sent)
    assert all(np.array_equal(a, b) for a, b in zip(copy.batch(5, 9), stream.batch(5, 9), strict=True))


def test_a_large_batch_may_hold_several_epochs(stream):
    batch = stream.batch(0, 3 * NUM_PAIRS)
    assert Counter(batch.sample) == dict.fromkeys(range(NUM_PAIRS), 3)


def test_one_of_several_captions_is_chosen_anew_in_each_epoch(stream):
    sample = next(i for i in range(len(stream)) if len(stream.tokens.captions(i)) == 2)
    epochs = np.arange(40)
    words = stream.words(Drawn(epochs, np.full(40, sample)))
    chosen = Counter(map(tuple, words))
    assert len(chosen) == 2
    assert min(chosen.values()) > 5


def test_words_are_cut_and_padded():
    text, padding = pad_words([np.array([5, 6]), np.arange(1, 9), np.array([], int)], 4)
    assert text.tolist() == [[5, 6, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0]]
    assert padding.tolist() == [[False, False, True, True], [False] * 4, [True] * 4]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 1.0])
def test_the_share_of_pairs_follows_the_authors_rule(share):
    """data.py drops a caption where (index % 100) / 100 is below the share that is dropped."""
    kept = keeps_caption(np.arange(1000), share)
    assert kept.tolist() == [not (i % 100) / 100 < round(1 - share, 10) for i in range(1000)]
    assert sum(kept) == round(1000 * share)
