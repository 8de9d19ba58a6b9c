"""Patches, positions, masking and losses against loops written from the paper's sentences."""

import math

import numpy as np
import pytest
import torch

from m3ae.model.losses import normalise_patches, patch_error, word_loss
from m3ae.model.masking import num_visible, shuffle, take, unshuffle
from m3ae.model.patches import to_image, to_patches
from m3ae.model.positions import patch_positions, word_positions


def test_patches_are_rows_of_squares_in_the_order_row_column_channel():
    image = torch.randn(2, 3, 6, 9)
    patches = to_patches(image, 3)
    expected = [
        [image[b, c, 3 * i + y, 3 * j + x] for y in range(3) for x in range(3) for c in range(3)]
        for b in range(2)
        for i in range(2)
        for j in range(3)
    ]
    assert torch.equal(patches.reshape(12, 27), torch.tensor(expected))


def test_image_and_patches_are_inverse():
    image = torch.randn(2, 3, 12, 12)
    assert torch.equal(to_image(to_patches(image, 4), 4), image)


def test_patches_refuse_a_side_that_does_not_fit():
    with pytest.raises(ValueError, match=r"multiples of 4 px, got 12 x 10"):
        to_patches(torch.zeros(1, 3, 12, 10), 4)


def test_word_positions_are_sines_then_cosines():
    got = word_positions(8, 5)
    for position in range(5):
        for k in range(4):
            angle = position / 10000 ** (k / 4)
            assert got[position, k].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert got[position, 4 + k].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_patch_positions_put_the_column_first():
    got = patch_positions(16, 9)
    for row in range(3):
        for column in range(3):
            expected = torch.cat([word_positions(8, 3)[column], word_positions(8, 3)[row]])
            assert torch.equal(got[3 * row + column], expected)


@pytest.mark.parametrize(
    ("tokens", "ratio", "visible"),
    [(256, 0.75, 64), (64, 0.15, 54), (64, 0.5, 32), (64, 0.75, 16), (64, 0.9, 6)],
)
def test_visible_counts_are_the_papers(tokens, ratio, visible):
    assert num_visible(tokens, ratio) == visible


@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.75, 0.9])
def test_shuffle_keeps_the_head_of_each_samples_order(ratio):
    x, order = torch.randn(3, 16, 5), torch.stack([torch.randperm(16) for _ in range(3)])
    shuffled = shuffle(order, x, ratio)
    visible = take(x, shuffled.visible_positions)
    for b in range(3):
        head = order[b, : int(16 * (1 - ratio))].tolist()
        assert torch.equal(visible[b], x[b, head])
        assert [i for i in range(16) if not shuffled.is_hidden[b, i]] == sorted(head)


def test_unshuffle_puts_mask_tokens_where_something_was_hidden():
    x, token = torch.randn(3, 16, 5), torch.full((5,), 7.0)
    shuffled = shuffle(None, x, 0.75)
    whole = unshuffle(take(x, shuffled.visible_positions), token, shuffled)
    for b in range(3):
        for i in range(16):
            expected = token if shuffled.is_hidden[b, i] else x[b, i]
            assert torch.equal(whole[b, i], expected)


def test_random_masks_differ_between_samples_unless_one_is_drawn_for_all():
    x = torch.zeros(64, 16, 1)
    assert len({tuple(row) for row in shuffle(None, x, 0.75).order.tolist()}) > 60
    assert len({tuple(row) for row in shuffle(None, x, 0.75, one_for_all=True).order.tolist()}) == 1


def test_every_token_is_hidden_equally_often():
    hidden = shuffle(None, torch.zeros(20_000, 8, 1), 0.75).is_hidden.float().mean(0)
    assert torch.allclose(hidden, torch.full((8,), 0.75), atol=0.015)


def test_an_order_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"expected an order of shape \(16,\) or \(3, 16\)"):
        shuffle(torch.zeros(2, 16, dtype=torch.long), torch.zeros(3, 16, 1), 0.5)


def test_patch_error_is_the_mean_squared_error_of_each_sample():
    predicted, target = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    for b, got in enumerate(patch_error(predicted, target)):
        pairs = zip(predicted[b].ravel().tolist(), target[b].ravel().tolist(), strict=True)
        expected = np.mean([(p - t) ** 2 for p, t in pairs])
        assert got.item() == pytest.approx(expected, rel=1e-5)


def test_normalised_patches_use_the_unbiased_variance():
    patch = torch.randn(1, 1, 12)
    values = patch.ravel().numpy().astype(np.float64)
    expected = (values - values.mean()) / math.sqrt(values.var(ddof=1) + 1e-6)
    assert np.allclose(normalise_patches(patch).ravel(), expected, atol=1e-5)


def test_word_loss_averages_each_samples_words_first_and_counts_empty_samples():
    logits, words = torch.randn(3, 4, 7), torch.randint(0, 7, (3, 4))
    counts = torch.tensor([[True, True, False, True], [False] * 4, [True, False, False, False]])
    got = word_loss(logits, words, counts)
    for b in range(3):
        terms = [
            math.log(sum(math.exp(float(v)) for v in logits[b, t])) - float(logits[b, t, words[b, t]])
            for t in range(4)
            if counts[b, t]
        ]
        assert got[b].item() == pytest.approx(sum(terms) / len(terms) if terms else 0.0, rel=1e-5)
