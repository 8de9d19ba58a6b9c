"""M3AE as a whole: what it computes, what it ignores, what it refuses."""

import pytest
import torch

from m3ae.errors import UserError
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import load_encoder, save_encoder

SMALL = Architecture(
    width=32, depth=2, num_heads=2, decoder_width=16, decoder_depth=1, decoder_num_heads=2,
    image_px=16, patch_px=4, vocab_size=50, max_tokens=8,
)  # fmt: skip
MAE = Architecture(**{**SMALL.plain(), "vocab_size": 0, "type_embedding": False})


@pytest.fixture
def pair():
    padding = torch.zeros(3, 8, dtype=torch.bool)
    padding[:, 5:] = True
    return torch.randn(3, 3, 16, 16), torch.randint(1, 50, (3, 8)), padding


def orders(count):
    return torch.stack([torch.randperm(count) for _ in range(3)])


def test_losses_equal_those_computed_from_all_predictions(pair):
    model, (image, text, padding) = M3AE(SMALL), pair
    out = model(image, text, padding, orders(16), orders(8))
    from m3ae.model.patches import to_patches

    squared = (out.image_prediction - to_patches(image, 4)).square().mean(-1)
    image_loss = torch.stack([squared[b][out.image_hidden[b]].mean() for b in range(3)]).mean()
    text_losses = []
    for b in range(3):
        asked = out.text_hidden[b] & ~padding[b]
        log_p = out.text_logits[b].log_softmax(-1)[asked, text[b][asked]]
        text_losses.append(-log_p.mean() if asked.any() else torch.tensor(0.0))
    assert out.image_loss.item() == pytest.approx(image_loss.item(), rel=1e-5)
    assert out.text_loss.item() == pytest.approx(torch.stack(text_losses).mean().item(), rel=1e-5)
    assert out.loss.item() == pytest.approx(out.image_loss.item() + 0.5 * out.text_loss.item(), rel=1e-6)


def test_predictions_are_not_built_unless_asked_for(pair):
    model, (image, text, padding) = M3AE(SMALL), pair
    keys = {"image_order": orders(16), "text_order": orders(8)}
    without = model(image, text, padding, predictions=False, **keys)
    assert without.image_prediction is None
    assert without.text_logits is None
    assert without.loss.item() == pytest.approx(model(image, text, padding, **keys).loss.item(), rel=1e-6)


def test_what_stands_at_padding_changes_nothing(pair):
    model, (image, text, padding) = M3AE(SMALL).eval(), pair
    other = torch.where(padding, torch.full_like(text, 7), text)
    keys = {"image_order": orders(16), "text_order": orders(8)}
    first, second = model(image, text, padding, **keys), model(image, other, padding, **keys)
    assert torch.equal(first.loss, second.loss)
    assert torch.equal(first.image_prediction, second.image_prediction)
    assert torch.equal(
        model.encode(image, text, padding)[:, :17], model.encode(image, other, padding)[:, :17]
    )


def test_hidden_patches_do_not_reach_the_prediction(pair):
    model, (image, text, padding) = M3AE(SMALL).eval(), pair
    keys = {"image_order": orders(16), "text_order": orders(8)}
    first = model(image, text, padding, **keys)
    from m3ae.model.patches import to_image, to_patches

    patches = to_patches(image, 4)
    noisy = to_image(torch.where(first.image_hidden[:, :, None], torch.randn_like(patches), patches), 4)
    assert torch.equal(model(noisy, text, padding, **keys).image_prediction, first.image_prediction)


def test_the_representation_has_cls_then_patches_then_words(pair):
    model, (image, text, padding) = M3AE(SMALL), pair
    assert model.encode(image).shape == (3, 17, 32)
    assert model.encode(text=text, padding=padding).shape == (3, 9, 32)
    assert model.encode(image, text, padding).shape == (3, 25, 32)


def test_text_alone_can_be_trained_on(pair):
    _, text, padding = pair
    out = M3AE(SMALL)(text=text, padding=padding)
    assert out.image_loss is None
    assert out.loss.item() == pytest.approx(0.5 * out.text_loss.item())


def test_an_mae_is_the_same_class_without_text(pair):
    model, (image, text, _) = M3AE(MAE), pair
    assert not [
        name for name, _ in model.named_parameters() if "text" in name or "word" in name or "type" in name
    ]
    assert model(image).text_loss is None
    with pytest.raises(ValueError, match="expected no text: this model is an MAE"):
        model(image, text)


def test_wrong_inputs_are_refused_with_what_was_expected():
    model = M3AE(SMALL)
    for shape in [(1, 3, 18, 18), (1, 3, 16, 20)]:
        with pytest.raises(
            ValueError, match=r"expected square images of shape \(B, 3, S, S\), S a multiple of 4"
        ):
            model(torch.zeros(shape))
    with pytest.raises(ValueError, match="expected at most 8 word slots, got 9"):
        model(text=torch.zeros(1, 9, dtype=torch.long))
    with pytest.raises(ValueError, match="an image, a text or both"):
        model()


def test_parameter_counts_are_the_papers():
    """B with its 512-wide decoder, counted from the authors' model.py: 150.8 M, 85.6 M in the encoder."""
    from m3ae.train.build import count_parameters

    with torch.device("meta"):
        counts = count_parameters(M3AE(Architecture(width=768, depth=12, num_heads=12)))
    assert counts["parameters"] == pytest.approx(150.8e6, rel=0.01)
    assert counts["encoder_parameters"] == pytest.approx(85.6e6, rel=0.01)


def test_weights_come_back_bit_for_bit(tmp_path):
    model = M3AE(SMALL)
    save_encoder(model, tmp_path / "a.safetensors")
    loaded = load_encoder(tmp_path / "a.safetensors")
    assert loaded.architecture == SMALL
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    save_encoder(loaded, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", None])
def test_broken_weights_are_named_in_one_line(tmp_path, content):
    path = tmp_path / "encoder.safetensors"
    if content is None:
        save_encoder(M3AE(SMALL), path)
        content = path.read_bytes()[:-100]
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"encoder\.safetensors: expected weights of this project") as caught:
        load_encoder(path)
    assert "\n" not in str(caught.value)
