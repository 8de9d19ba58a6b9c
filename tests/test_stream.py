"""The stream: every sample once an epoch, the same for everyone who asks."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from m3ae.data.stream.augment import Crop, apply_crop, draw_crop
from m3ae.data.stream.loader import load_steps
from m3ae.data.stream.stream import Stream, keeps_caption, pad_words
from small_project import make_micro


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield Stream(make_micro(folder), "m3ae-b100")


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


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_change_nothing(stream, workers):
    for alone, helped in zip(
        load_steps(stream, 8, 3, 9, 0), load_steps(stream, 8, 3, 9, workers), strict=True
    ):
        assert all(np.array_equal(a, b) for a, b in zip(alone, helped, strict=True))


def test_one_of_several_captions_is_chosen_anew_in_each_epoch(stream):
    sample = next(i for i in range(len(stream)) if len(stream.tokens.captions(i)) == 2)
    epochs = np.arange(40)
    text, _ = stream.words(epochs, np.full(40, sample))
    chosen = Counter(map(tuple, text))
    assert len(chosen) == 2
    assert min(chosen.values()) > 5


def test_words_are_cut_and_padded():
    text, padding = pad_words([np.array([5, 6]), np.arange(1, 9), np.array([], int)], 4)
    assert text.tolist() == [[5, 6, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0]]
    assert padding.tolist() == [[False, False, True, True], [False] * 4, [True] * 4]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 1.0])
def test_the_share_of_pairs_follows_the_authors_rule(share):
    """data.py drops a caption where (index % 100) / 100 is below the share that is dropped."""
    kept = [keeps_caption(i, share) for i in range(1000)]
    assert kept == [not (i % 100) / 100 < round(1 - share, 10) for i in range(1000)]
    assert sum(kept) == round(1000 * share)


def test_crops_have_the_areas_and_aspects_that_were_asked_for():
    crops = [draw_crop((100, 80), (0.2, 1.0), True, 0, 0, i) for i in range(2000)]
    shares = np.array([c.width * c.height / 8000 for c in crops])
    aspects = np.array([c.width / c.height for c in crops])
    assert 0.18 < shares.min() < 0.22
    assert shares.max() <= 1.0
    assert aspects.min() > 0.72
    assert aspects.max() < 1.38
    assert 0.45 < np.mean([c.flip for c in crops]) < 0.55
    assert all(c.left + c.width <= 100 and c.top + c.height <= 80 for c in crops)


def test_a_very_long_image_falls_back_to_its_centre():
    crop = draw_crop((1000, 10), (0.9, 1.0), False, 0, 0, 0)
    assert (crop.left, crop.top, crop.width, crop.height) == (493, 0, 13, 10)


def test_a_crop_of_everything_is_a_plain_resize():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8))
    got = apply_crop(image, Crop(0, 0, 40, 40, flip=True), 20)
    expected = np.asarray(image.resize((20, 20), Image.Resampling.BICUBIC))[:, ::-1]
    assert np.array_equal(got, expected.transpose(2, 0, 1))
