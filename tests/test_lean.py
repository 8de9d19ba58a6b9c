"""The training pass gives the losses and gradients of the whole one, and computes nothing else."""

from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from m3ae.model import losses as losses_module
from m3ae.model.architecture import Architecture
from m3ae.model.losses import hidden_word_loss
from m3ae.model.m3ae import M3AE
from m3ae.model.words import plan_words

SMALL = Architecture(
    width=24, depth=2, num_heads=3, decoder_width=16, decoder_depth=2, decoder_num_heads=2,
    image_px=32, patch_px=8, vocab_size=50, max_tokens=11,
)  # fmt: skip
LENGTHS = {"ragged": [4, 0, 2, 6, 1], "all empty": [0] * 5, "full": [11] * 5}


def made(a, lengths, one_mask, seed=0):
    """A model, images, captions of these lengths, and orders."""
    torch.manual_seed(seed)
    model, rows = M3AE(a), len(lengths)
    padding = torch.arange(a.max_tokens)[None] >= torch.tensor(lengths)[:, None]
    text = torch.randint(1, 50, (rows, a.max_tokens)).masked_fill(padding, 0)
    orders = [torch.rand(1 if one_mask else rows, n).argsort(dim=1) for n in (a.num_patches, a.max_tokens)]
    return model, torch.randn(rows, 3, a.image_px, a.image_px), text, padding, *orders


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("one_mask", [False, True])
@pytest.mark.parametrize("kind", ["pairs", "images", "texts", "mae", "norm_pix"])
def test_losses_and_gradients_are_those_of_the_whole_pass(kind, one_mask, ratio, lengths):
    changes = {"mae": {"vocab_size": 0}, "norm_pix": {"norm_pix_loss": True}}.get(kind, {})
    a = replace(SMALL, image_mask_ratio=ratio, text_mask_ratio=ratio, **changes)
    model, image, text, padding, image_order, text_order = made(a, lengths, one_mask)
    words = {"text": text, "padding": padding, "text_order": text_order}
    images = {"image": image, "image_order": image_order}
    given = {"images": images, "mae": images, "texts": words}.get(kind, images | words)
    whole = model(**given, predictions=True)
    expected = gradients(model, whole.loss)
    plan = plan_words(text, padding, text_order, ratio) if "text" in given else None
    lean = model.losses(given.get("image"), given.get("image_order"), plan)
    for name in ("loss", "image_loss", "text_loss"):
        torch.testing.assert_close(getattr(lean, name), getattr(whole, name), rtol=0, atol=1e-6)
    for name, got in gradients(model, lean.loss).items():
        torch.testing.assert_close(got, expected[name], rtol=1e-4, atol=1e-6, msg=name)
    forward = model(**given, predictions=False)
    assert forward.loss == lean.loss
    for name in ("image_hidden", "text_hidden"):
        assert (getattr(forward, name) is None) == (getattr(whole, name) is None)
        if getattr(whole, name) is not None:
            assert torch.equal(getattr(forward, name), getattr(whole, name))


def test_errors_of_rows_and_parts_of_a_batch_add_up():
    model, image, text, padding, image_order, text_order = made(SMALL, LENGTHS["ragged"], False)
    whole = model.losses(image, image_order, plan_words(text, padding, text_order, 0.75))
    parts = [
        model.losses(
            image[rows], image_order[rows], plan_words(text[rows], padding[rows], text_order[rows], 0.75), 5
        )
        for rows in (slice(0, 2), slice(2, 5))
    ]
    torch.testing.assert_close(sum(part.loss for part in parts), whole.loss, rtol=0, atol=1e-6)
    torch.testing.assert_close(whole.image_errors.mean(), whole.image_loss.detach())
    torch.testing.assert_close(whole.text_errors.mean(), whole.text_loss.detach())
    assert whole.text_errors[1] == 0  # an empty caption
    for name in ("image_errors", "text_errors"):
        joined = torch.cat([getattr(part, name) for part in parts])
        torch.testing.assert_close(joined, getattr(whole, name), rtol=0, atol=1e-5)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.75, 1.0])
def test_a_plan_of_words_is_what_two_loops_find(ratio):
    _, _, text, padding, _, order = made(SMALL, LENGTHS["ragged"], False)
    words = plan_words(text, padding, order, ratio)
    kept = int(11 * (1 - ratio))
    assert words.text.shape == words.padding.shape == (5, 6)  # the longest caption
    places, shares = [], []
    for row in range(5):
        visible = [int(slot) for slot in order[row, :kept] if not padding[row, slot]]
        hidden = [int(slot) for slot in order[row, kept:] if not padding[row, slot]]
        assert words.visible[row][~words.visible_padding[row]].tolist() == visible
        assert words.hidden[row, : len(hidden)].tolist() == hidden
        places += [row * words.hidden.shape[1] + column for column in range(len(hidden))]
        shares += [1 / len(hidden) for _ in hidden]
    assert words.hidden_rows.tolist() == places
    assert words.share.tolist() == pytest.approx(shares)


def test_padding_in_front_of_words_is_left_out_too():
    model, image, text, _, image_order, text_order = made(SMALL, LENGTHS["full"], False)
    padding = torch.rand(5, 11) < 0.4
    whole = model(image, text, padding, image_order, text_order, predictions=True)
    lean = model.losses(image, image_order, plan_words(text, padding, text_order, 0.75))
    torch.testing.assert_close(lean.loss, whole.loss, rtol=0, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 100, 10**9])
def test_chunks_of_logits_give_torchs_cross_entropy(monkeypatch, chunk):
    monkeypatch.setattr(losses_module, "CHUNK", chunk)
    torch.manual_seed(0)
    head, words, share = torch.nn.Linear(8, 30), torch.randint(30, (17,)), torch.rand(17)
    x = torch.randn(17, 8, requires_grad=True)
    expected = (F.cross_entropy(head(x), words, reduction="none") * share).sum()
    expected.backward()
    reference = [t.grad.clone() for t in (x, head.weight, head.bias)]
    x.grad = None
    head.zero_grad()
    got, entropy = hidden_word_loss(x, head, words, share)
    (3 * got).backward()
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(entropy, F.cross_entropy(head(x), words, reduction="none").detach())
    for tensor, gradient in zip((x, head.weight, head.bias), reference, strict=True):
        torch.testing.assert_close(tensor.grad, 3 * gradient, rtol=1e-5, atol=1e-6)


def test_logits_of_all_words_never_exist(monkeypatch):
    """The largest tensor is a chunk of logits, or the head's weight: not words x vocabulary."""
    monkeypatch.setattr(losses_module, "CHUNK", 5 * 3000)
    largest = []
    from torch.utils._python_dispatch import TorchDispatchMode

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            tensors = result if isinstance(result, tuple | list) else (result,)
            largest.extend(t.numel() for t in tensors if isinstance(t, torch.Tensor))
            return result

    head, x = torch.nn.Linear(4, 3000), torch.randn(64, 4, requires_grad=True)
    with Sizes():
        loss, _ = hidden_word_loss(x, head, torch.randint(3000, (64,)), torch.ones(64))
        loss.backward()
    assert max(largest) == 5 * 3000 < 64 * 3000


def test_logits_are_bf16_products_under_autocast():
    torch.manual_seed(0)
    head, words, share = torch.nn.Linear(32, 40), torch.randint(40, (9,)), torch.ones(9)
    x = torch.randn(9, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got, _ = hidden_word_loss(x, head, words, share)
        product = x.bfloat16() @ head.weight.bfloat16().T
    expected = F.cross_entropy(product.float() + head.bias, words, reduction="sum")
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=0)
    got.backward()
    assert head.weight.grad.dtype == torch.float32


def test_no_step_waits_for_the_device():
    """Fake tensors have shapes and no values: whatever asks for a value raises."""
    real = made(SMALL, LENGTHS["ragged"], False)
    plan = plan_words(real[2], real[3], real[5], 0.75)
    with FakeTensorMode(allow_non_fake_inputs=False):
        model = M3AE(SMALL)
        words = type(plan)(*(torch.empty(t.shape, dtype=t.dtype) for t in plan))
        image, order = torch.empty(5, 3, 32, 32), torch.zeros(5, SMALL.num_patches, dtype=torch.long)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses = model.losses(image, order, words)
        losses.loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_recomputed_blocks_give_the_same_bits():
    model, image, text, padding, image_order, text_order = made(SMALL, LENGTHS["ragged"], False)
    words = plan_words(text, padding, text_order, 0.75)
    expected = gradients(model, model.losses(image, image_order, words).loss)
    model.encoder.recompute = model.decoder.recompute = True
    for name, got in gradients(model, model.losses(image, image_order, words).loss).items():
        assert torch.equal(got, expected[name]), name


def test_recomputing_keeps_less():
    def kept(recompute):
        model, image, text, padding, image_order, text_order = made(SMALL, LENGTHS["ragged"], False)
        model.encoder.recompute = model.decoder.recompute = recompute
        bytes_kept = []

        def pack(tensor):
            bytes_kept.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model.losses(image, image_order, plan_words(text, padding, text_order, 0.75))
        return sum(bytes_kept)

    assert kept(True) < kept(False) / 2


def test_words_for_a_model_without_text_and_an_encoder_alone_are_refused():
    mae, image, text, padding, image_order, text_order = made(
        replace(SMALL, vocab_size=0), LENGTHS["full"], False
    )
    with pytest.raises(ValueError, match="this model is an MAE"):
        mae.losses(image, image_order, plan_words(text, padding, text_order, 0.75))
    with pytest.raises(ValueError, match="an encoder alone"):
        M3AE(replace(SMALL, decoder_width=0)).losses(image, image_order, None)


def test_orders_that_do_not_fit_are_refused_and_images_need_one():
    model, image, text, padding, image_order, text_order = made(SMALL, LENGTHS["full"], False)
    with pytest.raises(ValueError, match=r"expected an order of shape \(16,\) or \(5, 16\), got \(4, 16\)"):
        model.losses(image, image_order[:4], None)
    with pytest.raises(ValueError, match=r"expected an order of shape \(11,\) or \(5, 11\), got \(4, 11\)"):
        plan_words(text, padding, text_order[:4], 0.75)
    with pytest.raises(ValueError, match="expected an order of the patches beside the images"):
        model.losses(image, None, None)
