"""Pairs, images alone and passages in one step: fixed counts, an order for each, all once an epoch."""

from fractions import Fraction

import numpy as np
import pytest

from m3ae.config.training import Mixture
from m3ae.data.stream.mixture import Counts, rows_of, split_batch
from m3ae.data.stream.stream import FIRST_IMAGE, Stream
from m3ae.errors import UserError
from made_shards import KINDS, NUM_IMAGES, NUM_PAIRS, make_stream_project

BATCH = 11


def stream_of(stream_project, model="m3ae-b100", **pretrain):
    return Stream(make_stream_project(stream_project, **pretrain), model)


def mixture(pairs, images, texts):
    return Mixture(pairs=pairs, images=images, texts=texts)


@pytest.mark.parametrize(
    "weights", [(1, 0, 0), (4, 1.5, 2), (1, 1, 1), (0.3, 0.3, 0.4), (5, 0, 3), (97, 2, 1)]
)
@pytest.mark.parametrize("batch_size", [3, 7, 11, 64, 4096])
def test_a_batch_is_split_by_the_largest_remainder(weights, batch_size):
    counts = split_batch(batch_size, mixture(*weights))
    shares = [Fraction(w) * batch_size / sum(map(Fraction, weights)) for w in weights]
    assert sum(counts) == batch_size
    assert [count > 0 for count in counts] == [weight > 0 for weight in weights]
    if all(share >= 1 or share == 0 for share in shares):
        by_hand = [int(share) for share in shares]
        left = sorted(range(3), key=lambda i: by_hand[i] - shares[i])[: batch_size - sum(by_hand)]
        assert list(counts) == [count + (i in left) for i, count in enumerate(by_hand)]


def test_a_kind_with_a_tiny_weight_still_comes():
    assert split_batch(4096, mixture(1e6, 1, 1e-3)) == Counts(4094, 1, 1)


def test_a_batch_too_small_for_all_kinds_or_all_ranks_is_refused():
    with pytest.raises(UserError, match="batch_size: expected at least 3, one sample of each kind"):
        split_batch(2, mixture(1, 1, 1))
    with pytest.raises(
        UserError, match=r"mixture.texts: expected at least one sample per rank .* got 1 of 8"
    ):
        split_batch(8, mixture(4, 2, 1), world=2)


@pytest.mark.parametrize("count", [4, 5, 6, 7, 11])
@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_ranks_share_the_rows_of_a_step(count, world):
    for step in (0, 1, 9):
        parts = [rows_of(step, count, rank, world) for rank in range(world)]
        rows = [row for part in parts for row in range(part.start, part.stop)]
        assert rows == list(range(step * count, (step + 1) * count))
        sizes = [part.stop - part.start for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert {part.first for part in parts} == {step * count}


def test_all_three_kinds_are_in_every_step(stream_project):
    stream = stream_of(stream_project)
    counts = split_batch(BATCH, mixture(**KINDS))
    assert min(counts) > 0
    for step in range(5):
        batch = stream.step(step, BATCH)
        pairs, images = batch.sample[: counts.pairs], batch.sample[counts.pairs :]
        assert (pairs < NUM_PAIRS).all()
        assert (images >= FIRST_IMAGE).all() and len(images) == counts.images
        assert batch.image.shape == (counts.pairs + counts.images, 3, 24, 24)
        assert not batch.padding[: counts.pairs].all(axis=1).any()
        assert batch.padding[counts.pairs :].all() and not batch.text[counts.pairs :].any()
        assert batch.passage_text.shape == (counts.texts, 9) == batch.passage_order.shape
        for row, number in enumerate(batch.passage):
            words = stream.passages.passage(int(number))
            assert batch.passage_text[row, : len(words)].tolist() == words.tolist()
            assert (~batch.passage_padding[row]).sum() == len(words)


def test_an_epoch_of_each_kind_has_every_sample_once(stream_project):
    """23 pairs, 7 images and the passages, none of which divides by its count in a step."""
    stream = stream_of(stream_project)
    batches = [stream.step(step, BATCH) for step in range(60)]
    num_pairs = split_batch(BATCH, mixture(**KINDS)).pairs
    seen = {
        NUM_PAIRS: np.concatenate([batch.sample[:num_pairs] for batch in batches]),
        NUM_IMAGES: np.concatenate([batch.sample[num_pairs:] for batch in batches]) - FIRST_IMAGE,
        len(stream.passages): np.concatenate([batch.passage for batch in batches]),
    }
    for size, ids in seen.items():
        epochs = [ids[start : start + size] for start in range(0, len(ids) - size, size)]
        assert len(epochs) >= 2
        assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
        assert not np.array_equal(epochs[0], epochs[1])


def test_the_kinds_have_orders_crops_and_masks_of_their_own(stream_project):
    """The same pictures as pairs and as images alone come in another order, cut and masked in other ways."""
    stream = stream_of(stream_project)
    stream.images = stream.pairs
    batches = [stream.step(step, 60) for step in range(4)]
    counts = split_batch(60, mixture(**KINDS))
    pairs = {(b.sample[i]): (b.image[i], b.image_order[i]) for b in batches for i in range(counts.pairs)}
    images = {
        b.sample[i] - FIRST_IMAGE: (b.image[i], b.image_order[i])
        for b in batches
        for i in range(counts.pairs, len(b.sample))
    }
    assert len(pairs) == NUM_PAIRS == len(images)
    assert not any(np.array_equal(pairs[id][0], images[id][0]) for id in pairs)
    same_order = [np.array_equal(pairs[id][1], images[id][1]) for id in pairs]  # of 4 patches: one in 24
    assert np.mean(same_order) < 0.3
    first_pairs = np.concatenate([b.sample[: counts.pairs] for b in batches])[:NUM_PAIRS]
    first_images = np.concatenate([b.sample[counts.pairs :] for b in batches])[:NUM_PAIRS] - FIRST_IMAGE
    assert not np.array_equal(first_pairs, first_images)


def test_without_the_other_kinds_nothing_but_pairs_is_opened(stream_project, monkeypatch):
    opened = []
    import m3ae.data.stream.stream as module

    for name in ("Pairs", "Passages"):
        whole = getattr(module, name)
        monkeypatch.setattr(module, name, lambda path, whole=whole: opened.append(path.name) or whole(path))
    stream = stream_of(stream_project, mixture={"pairs": 1.0, "images": 0.0, "texts": 0.0})
    assert opened == ["train"]
    batch = stream.step(0, BATCH)
    assert len(batch.sample) == BATCH and len(batch.passage) == 0 == len(batch.passage_text)


def test_captions_are_dropped_at_random_anew_in_each_epoch(stream_project):
    only_pairs = {"pairs": 1.0, "images": 0.0, "texts": 0.0}
    stream = stream_of(stream_project, mixture=only_pairs, random_drop_text=0.4)
    dropped = np.zeros((60, NUM_PAIRS), bool)
    for epoch in range(60):
        batch = stream.batch(epoch * NUM_PAIRS, (epoch + 1) * NUM_PAIRS)
        dropped[epoch, batch.sample] = batch.padding.all(axis=1)
    assert 0.36 < dropped.mean() < 0.44
    assert (dropped.mean(axis=0) > 0.1).all() and (dropped.mean(axis=0) < 0.8).all()
    assert len({tuple(epoch) for epoch in dropped}) == 60
    kept_all = stream_of(stream_project, mixture=only_pairs).batch(0, NUM_PAIRS)
    assert not kept_all.padding.all(axis=1).any()
    assert np.array_equal(kept_all.image, stream.batch(0, NUM_PAIRS).image)


def test_a_caption_is_dropped_when_either_rule_says_so(stream_project):
    only_pairs = {"pairs": 1.0, "images": 0.0, "texts": 0.0}
    stream = stream_of(stream_project, mixture=only_pairs, random_drop_text=0.5)
    both = stream_of(stream_project, mixture=only_pairs, random_drop_text=0.5)
    both.row = both.row.model_copy(update={"paired_share": 0.9})  # drops the ids 0 to 9 of a hundred
    at_random, either = stream.batch(0, NUM_PAIRS), both.batch(0, NUM_PAIRS)
    by_id = at_random.sample < 10
    expected = at_random.padding.all(axis=1) | by_id
    assert np.array_equal(either.padding.all(axis=1), expected)
    assert 0 < at_random.padding.all(axis=1)[~by_id].sum() < (~by_id).sum()
