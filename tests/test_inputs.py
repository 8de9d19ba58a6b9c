"""What a pass may be given: a wrong ratio, order or batch is refused in one line, not computed with."""

import subprocess
import sys

import pytest
import torch

from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE

SMALL = Architecture(
    width=32, depth=2, num_heads=2, decoder_width=16, decoder_depth=1, decoder_num_heads=2,
    image_px=16, patch_px=4, vocab_size=50, max_tokens=8,
)  # fmt: skip


@pytest.fixture
def model():
    return M3AE(SMALL).eval()


@pytest.fixture
def pair():
    return {"image": torch.randn(2, 3, 16, 16), "text": torch.randint(1, 50, (2, 8))}


@pytest.mark.parametrize("predictions", [True, False])
@pytest.mark.parametrize("ratio", [1.5, -0.5, 75.0, float("nan")])
@pytest.mark.parametrize("name", ["image_mask_ratio", "text_mask_ratio"])
def test_a_mask_ratio_that_is_no_share_is_refused(model, pair, name, ratio, predictions):
    with pytest.raises(ValueError, match=f"expected a mask ratio from 0 to 1, got {ratio}"):
        model(**pair, predictions=predictions, **{name: ratio})


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_all_and_nothing_are_shares(model, pair, ratio):
    hidden = model(**pair, image_mask_ratio=ratio, text_mask_ratio=ratio).image_hidden
    assert hidden.float().mean() == ratio


NO_ORDERS = {
    "one-based": torch.arange(1, 9),
    "negative": torch.arange(-8, 0),
    "zeros": torch.zeros(8, dtype=torch.long),
    "twice": torch.tensor([0, 1, 2, 3, 4, 5, 6, 6]),
    "one row": torch.stack([torch.randperm(8), torch.zeros(8, dtype=torch.long)]),
}


@pytest.mark.parametrize("predictions", [True, False])
@pytest.mark.parametrize("order", NO_ORDERS.values(), ids=NO_ORDERS)
def test_an_order_that_is_no_permutation_is_refused(model, pair, order, predictions):
    with pytest.raises(ValueError, match="text_order: expected each place from 0 to 7 once") as caught:
        model(**pair, text_order=order, predictions=predictions)
    assert "\n" not in str(caught.value)
    of_patches = torch.cat([order, order + 8], dim=-1)
    with pytest.raises(ValueError, match="image_order: expected each place from 0 to 15 once"):
        model(**pair, image_order=of_patches, predictions=predictions)


def test_one_order_for_all_and_one_for_each_are_taken(model, pair):
    for order in (torch.randperm(8), torch.randperm(8)[None], torch.stack([torch.randperm(8)] * 2)):
        assert model(**pair, text_order=order).loss.isfinite()


WITHOUT_CHECKED_SHAPES = """
import torch
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE
model = M3AE(Architecture(
    width=32, depth=2, num_heads=2, decoder_width=16, decoder_depth=1, decoder_num_heads=2,
    image_px=16, patch_px=4, vocab_size=50, max_tokens=8,
))
image, text = torch.randn(2, 3, 16, 16), torch.ones(2, 8, dtype=torch.long)
for given in [
    dict(image=image[0]),
    dict(image=image, text=text[0]),
    dict(text=text.float()),
    dict(image=image, text=text[:1]),
    dict(text=text, padding=torch.zeros(2, 8, dtype=torch.long)),
    dict(text=text, padding=torch.zeros(2, 7, dtype=torch.bool)),
]:
    for function in (model.encode, model):
        try:
            function(**given)
        except ValueError as error:
            print(error)
try:
    model(image, image_order=torch.randperm(16).float())
except ValueError as error:
    print(error)
"""


def test_inputs_of_another_kind_are_refused_in_one_line():
    """In a process of its own: within these tests jaxtyping would be the first to complain."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CHECKED_SHAPES], capture_output=True, text=True, check=True
    )
    expected = [
        "expected images of shape (B, 3, S, S), got (3, 16, 16); a single one needs image[None]",
        "expected text as whole numbers of shape (B, words), got torch.int64 of (8,)",
        "expected text as whole numbers of shape (B, words), got torch.float32 of (2, 8)",
        "expected one text for each image, got 2 images and 1 texts",
        "expected padding as booleans, True where a word slot is empty, got torch.int64",
        "expected padding in the shape of its text, got (2, 7) and a text of shape (2, 8)",
        "image_order: expected places as torch.int64, got torch.float32",
    ]
    said = done.stdout.splitlines()
    assert len(said) == 13
    for line, right in zip(said, [x for x in expected[:-1] for _ in range(2)] + expected[-1:], strict=True):
        assert line.startswith(right)
