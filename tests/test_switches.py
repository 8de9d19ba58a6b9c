"""Every switch of the model changes what it should and nothing else; the rest is as published."""

import math
from dataclasses import fields, replace
from fnmatch import fnmatch

import numpy as np
import pytest
import torch
from torch import nn

from m3ae.model.architecture import Architecture
from m3ae.model.blocks import Block
from m3ae.model.m3ae import M3AE
from m3ae.model.patches import to_patches

SMALL = Architecture(
    width=32, depth=2, num_heads=2, decoder_width=16, decoder_depth=1, decoder_num_heads=2,
    image_px=16, patch_px=4, vocab_size=50, max_tokens=8,
)  # fmt: skip

# switch -> another value, and the parameters that come, go or change their shape with it
PARAMETERS = {
    "width": (
        64,
        [
            "patch_embedding.*",
            "cls_token",
            "encoder.*",
            "decoder_embedding.weight",
            "word*",
            "image_type",
            "text_type",
        ],
    ),
    "depth": (3, ["encoder.blocks.2.*"]),
    "num_heads": (4, []),
    "decoder_width": (32, ["decoder*", "*_mask_token", "*_head.weight"]),
    "decoder_depth": (2, ["decoder.blocks.1.*"]),
    "decoder_num_heads": (4, []),
    "mlp_ratio": (2, ["*.fc1.*", "*.fc2.weight"]),
    "image_px": (32, []),
    "patch_px": (8, ["patch_embedding.weight", "image_head.*"]),
    "vocab_size": (60, ["word_embedding.weight", "text_head.*"]),
    "max_tokens": (12, []),
    "type_embedding": (False, ["image_type", "text_type", "decoder_image_type", "decoder_text_type"]),
    "gelu": ("exact", []),
    "image_mask_ratio": (0.5, []),
    "text_mask_ratio": (0.5, []),
    "mask_scope": ("batch", []),
    "norm_pix_loss": (True, []),
    "image_loss_weight": (2.0, []),
    "text_loss_weight": (2.0, []),
    "positions": ("learned", []),  # a table that is kept, and not trained: tests/test_taken.py
}
WITHOUT = {
    "vocab_size": [
        "word_embedding.weight",
        "text_mask_token",
        "text_head.*",
        "text_type",
        "decoder_text_type",
    ],
    "decoder_width": ["decoder*", "*_mask_token", "*_head.*"],
}


@pytest.fixture
def pair():
    """Three pairs whose last three words are padding, and a mask for each."""
    padding = torch.zeros(3, 8, dtype=torch.bool)
    padding[:, 5:] = True
    return {
        "image": torch.randn(3, 3, 16, 16),
        "text": torch.randint(1, 50, (3, 8)),
        "padding": padding,
        "image_order": torch.stack([torch.randperm(16) for _ in range(3)]),
        "text_order": torch.stack([torch.randperm(8) for _ in range(3)]),
    }


def twins(**changes):
    """A model, and one with the same weights and other switches."""
    model, other = M3AE(SMALL), M3AE(replace(SMALL, **changes))
    kept = {name: tensor for name, tensor in model.state_dict().items() if name in other.state_dict()}
    other.load_state_dict(kept)
    return model, other


def shapes(architecture):
    with torch.device("meta"):
        return {name: tuple(p.shape) for name, p in M3AE(architecture).named_parameters()}


def unequal_shapes(architecture):
    """Names of the parameters that `architecture` and SMALL do not share in the same shape."""
    one, other = shapes(SMALL), shapes(architecture)
    return {name for name in one | other if one.get(name) != other.get(name)}


def matching(patterns, *architectures):
    names = {name for architecture in architectures for name in shapes(architecture)}
    return {name for name in names if any(fnmatch(name, pattern) for pattern in patterns)}


# ---- parameters ------------------------------------------------------------------------------------------


def test_every_switch_is_tested():
    assert list(PARAMETERS) == [field.name for field in fields(Architecture)]


@pytest.mark.parametrize("switch", PARAMETERS)
def test_a_switch_touches_its_own_parameters_alone(switch):
    value, patterns = PARAMETERS[switch]
    other = replace(SMALL, **{switch: value})
    assert getattr(SMALL, switch) != value
    assert unequal_shapes(other) == matching(patterns, SMALL, other)


@pytest.mark.parametrize("switch", WITHOUT)
def test_zero_takes_a_whole_part_away(switch):
    other = replace(SMALL, **{switch: 0})
    gone = matching(WITHOUT[switch], SMALL)
    assert unequal_shapes(other) == gone
    assert not gone & shapes(other).keys()


# ---- what is computed ------------------------------------------------------------------------------------


def gelu_by_hand(x, form):
    if form == "tanh":
        return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


@pytest.mark.parametrize("form", ["tanh", "exact"])
def test_gelu_is_the_formula_in_every_block(form):
    x = torch.linspace(-6, 6, 1201, dtype=torch.float64)
    expected = torch.tensor([gelu_by_hand(value, form) for value in x.tolist()], dtype=torch.float64)
    blocks = [m for m in M3AE(replace(SMALL, gelu=form)).modules() if isinstance(m, Block)]
    assert len(blocks) == SMALL.depth + SMALL.decoder_depth
    for block in blocks:
        assert torch.allclose(block.act(x), expected, rtol=0, atol=1e-12)


def test_the_two_gelus_differ_by_half_a_thousandth_at_most():
    x = torch.linspace(-6, 6, 1201, dtype=torch.float64)
    tanh, exact = (Block(8, 2, 4, form).act(x) for form in ("tanh", "exact"))
    assert (tanh - exact).abs().max().item() == pytest.approx(4.7e-4, rel=0.02)


def test_gelu_changes_the_outputs_a_little(pair):
    model, other = twins(gelu="exact")
    gap = (model(**pair).image_prediction - other(**pair).image_prediction).abs().max()
    assert 0 < gap < 0.02


def test_norm_pix_loss_changes_the_image_loss_alone(pair):
    model, other = twins(norm_pix_loss=True)
    raw, normalised = model(**pair), other(**pair)
    assert torch.equal(raw.image_prediction, normalised.image_prediction)
    assert torch.equal(raw.text_logits, normalised.text_logits)
    assert torch.equal(raw.text_loss, normalised.text_loss)
    patches = to_patches(pair["image"], 4).double().numpy()
    target = (patches - patches.mean(-1, keepdims=True)) / np.sqrt(
        patches.var(-1, ddof=1, keepdims=True) + 1e-6
    )
    hidden = raw.image_hidden.numpy()
    predicted = raw.image_prediction.detach().double().numpy()
    assert normalised.image_loss.item() == pytest.approx(((predicted - target)[hidden] ** 2).mean(), rel=1e-5)
    assert raw.image_loss.item() == pytest.approx(((predicted - patches)[hidden] ** 2).mean(), rel=1e-5)


def test_type_embeddings_are_added_to_every_token_of_their_modality(pair):
    model, other = twins(type_embedding=False)
    assert torch.equal(model.embed_image(pair["image"]), other.embed_image(pair["image"]) + model.image_type)
    assert torch.equal(model.embed_text(pair["text"]), other.embed_text(pair["text"]) + model.text_type)
    assert not torch.equal(model(**pair).loss, other(**pair).loss)


def test_type_embeddings_of_zero_are_none(pair):
    model, other = twins(type_embedding=False)
    for name, parameter in model.named_parameters():
        if name.endswith("_type"):
            nn.init.zeros_(parameter)
    assert torch.equal(model(**pair).loss, other(**pair).loss)
    assert torch.equal(model.encode(pair["image"]), other.encode(pair["image"]))


def test_cls_has_neither_position_nor_type(pair):
    model = M3AE(SMALL)
    first = model.with_cls([model.embed_image(pair["image"]), model.embed_text(pair["text"])])[:, 0]
    assert torch.equal(first, model.cls_token.expand(3, -1))


@pytest.mark.parametrize(("scope", "several"), [("batch", False), ("sample", True)])
def test_mask_scope_draws_one_mask_for_all_or_one_for_each(scope, several):
    model = M3AE(replace(SMALL, mask_scope=scope))
    out = model(torch.randn(32, 3, 16, 16), torch.randint(1, 50, (32, 8)))
    for hidden in (out.image_hidden, out.text_hidden):
        assert (len({tuple(row) for row in hidden.tolist()}) > 1) == several
        assert len(set(hidden.sum(1).tolist())) == 1


def test_a_mask_for_all_is_drawn_anew_in_every_batch():
    model = M3AE(replace(SMALL, mask_scope="batch"))
    image = torch.randn(2, 3, 16, 16)
    assert len({tuple(model(image).image_hidden[0].tolist()) for _ in range(8)}) > 1


def test_mask_scope_is_nothing_to_masks_that_are_given(pair):
    model, other = twins(mask_scope="batch")
    assert torch.equal(model(**pair).loss, other(**pair).loss)


@pytest.mark.parametrize("side", [8, 16, 32])
def test_images_of_any_whole_number_of_patches_are_read_as_by_a_model_of_their_size(side):
    model, other = twins(image_px=side)
    assert other.architecture.num_patches == (side // 4) ** 2
    image, order = torch.randn(2, 3, side, side), torch.randperm((side // 4) ** 2)
    assert torch.equal(model.encode(image), other.encode(image))
    assert torch.equal(model(image, image_order=order).loss, other(image, image_order=order).loss)


@pytest.mark.parametrize(("patch_px", "tokens"), [(2, 64), (4, 16), (8, 4)])
def test_patch_px_sets_the_number_of_tokens(pair, patch_px, tokens):
    model = M3AE(replace(SMALL, patch_px=patch_px))
    assert model.encode(pair["image"]).shape == (3, 1 + tokens, 32)
    assert model(pair["image"]).image_prediction.shape == (3, tokens, 3 * patch_px**2)


def test_num_heads_changes_the_encoder(pair):
    model, other = twins(num_heads=4)
    assert not torch.allclose(model.encode(pair["image"]), other.encode(pair["image"]), atol=1e-3)


def test_decoder_num_heads_changes_what_is_decoded_alone(pair):
    model, other = twins(decoder_num_heads=4)
    assert torch.equal(model.encode(pair["image"]), other.encode(pair["image"]))
    assert not torch.equal(model(**pair).image_prediction, other(**pair).image_prediction)


@pytest.mark.parametrize("ratio", [1, 2, 4])
def test_mlp_ratio_is_the_hidden_width_over_the_width(ratio):
    model = M3AE(replace(SMALL, mlp_ratio=ratio))
    for stack, width in ((model.encoder, 32), (model.decoder, 16)):
        assert stack.blocks[0].fc1.out_features == stack.blocks[0].fc2.in_features == ratio * width


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.5, 0.75, 0.9])
@pytest.mark.parametrize(("modality", "tokens"), [("image", 16), ("text", 8)])
def test_a_mask_ratio_hides_its_share_of_its_own_modality(pair, modality, tokens, ratio):
    model, other = twins(**{f"{modality}_mask_ratio": ratio})
    usual, out = model(**pair), other(**pair)
    unchanged = "text" if modality == "image" else "image"
    hidden = getattr(out, f"{modality}_hidden")
    assert hidden.sum(1).tolist() == [tokens - int(tokens * (1 - ratio))] * 3
    assert torch.equal(getattr(out, f"{unchanged}_hidden"), getattr(usual, f"{unchanged}_hidden"))
    for_once = model(**pair, **{f"{modality}_mask_ratio": ratio})
    assert torch.equal(for_once.loss, out.loss)


def test_where_nothing_was_hidden_the_losses_are_zero(pair):
    model, _ = twins()
    out = model(**pair, image_mask_ratio=0.0, text_mask_ratio=0.0)
    assert (out.loss.item(), out.image_loss.item(), out.text_loss.item()) == (0, 0, 0)
    half = model(**pair, image_mask_ratio=0.0)
    half.loss.backward()
    assert half.loss.item() == pytest.approx(0.5 * half.text_loss.item())


@pytest.mark.parametrize(("image_weight", "text_weight"), [(1.0, 0.5), (1.0, 0.1), (0.0, 1.0), (3.0, 0.0)])
def test_loss_weights_combine_the_two_losses_and_leave_them_alone(pair, image_weight, text_weight):
    model, other = twins(image_loss_weight=image_weight, text_loss_weight=text_weight)
    usual, out = model(**pair), other(**pair)
    assert torch.equal(usual.image_loss, out.image_loss)
    assert torch.equal(usual.text_loss, out.text_loss)
    expected = image_weight * out.image_loss.item() + text_weight * out.text_loss.item()
    assert out.loss.item() == pytest.approx(expected, rel=1e-6)


def test_max_tokens_bounds_the_text_and_changes_nothing_below(pair):
    model, other = twins(max_tokens=12)
    assert torch.equal(model(**pair).loss, other(**pair).loss)
    longer = torch.randint(1, 50, (3, 12))
    assert other.encode(text=longer).shape == (3, 13, 32)
    with pytest.raises(ValueError, match="expected at most 8 word slots, got 12"):
        model.encode(text=longer)


def test_without_a_vocabulary_images_are_read_as_before(pair):
    model, mae = twins(vocab_size=0)
    image = {"image": pair["image"], "image_order": pair["image_order"]}
    assert torch.equal(model.encode(pair["image"]), mae.encode(pair["image"]))
    assert torch.equal(model(**image).loss, mae(**image).loss)
    with pytest.raises(ValueError, match="expected no text: this model is an MAE"):
        mae(**pair)


def test_without_a_decoder_there_is_a_representation_and_no_loss(pair):
    model, encoder = twins(decoder_width=0)
    inputs = [pair[name] for name in ("image", "text", "padding")]
    assert torch.equal(model.encode(*inputs), encoder.encode(*inputs))
    with pytest.raises(ValueError, match="expected a model with its decoder"):
        encoder(**pair)


# ---- what has no switch ----------------------------------------------------------------------------------


def test_every_layer_norm_has_an_epsilon_of_a_millionth():
    """On values of variance 1e-6 the epsilon halves the square of the result."""
    norms = [module for module in M3AE(SMALL).modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) == 2 * (SMALL.depth + SMALL.decoder_depth) + 2
    for norm in norms:
        x = 1e-3 * torch.randn(4, norm.weight.shape[0], dtype=torch.float64)
        expected = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()
        assert torch.allclose(norm.double()(x), expected, rtol=1e-9, atol=1e-12)


LARGE = replace(SMALL, width=256, num_heads=4, decoder_width=128, vocab_size=500)


def test_linear_layers_start_xavier_uniform_with_zero_biases():
    linear = {name: m for name, m in M3AE(LARGE).named_modules() if isinstance(m, nn.Linear)}
    assert len(linear) == 4 * (LARGE.depth + LARGE.decoder_depth) + 4
    for name, module in linear.items():
        bound = math.sqrt(6 / (module.in_features + module.out_features))
        weight = module.weight.detach()
        assert 0.98 * bound < weight.abs().max() <= bound, name
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03), name
        assert not module.bias.any(), name


def test_tokens_and_types_start_normal_with_a_deviation_of_0_02():
    values = {name: p.detach() for name, p in M3AE(LARGE).named_parameters(recurse=False)}
    tokens = {"cls_token", "image_mask_token", "text_mask_token"}
    types = {"image_type", "text_type", "decoder_image_type", "decoder_text_type"}
    assert values.keys() == tokens | types
    is_normal(torch.cat(list(values.values())), 0.02, tolerance=0.08)


def test_the_word_embedding_starts_standard_normal():
    is_normal(M3AE(LARGE).word_embedding.weight.detach().flatten(), 1.0, tolerance=0.02)


def is_normal(x, deviation, tolerance):
    """About 0, of this deviation, and with the shares of a normal distribution within one and two of it."""
    assert x.mean().abs() < tolerance * deviation
    assert x.std().item() == pytest.approx(deviation, rel=tolerance)
    for times, share in ((1, 0.683), (2, 0.954)):
        assert (x.abs() < times * deviation).float().mean().item() == pytest.approx(share, abs=tolerance / 2)


def test_layer_norms_start_as_the_identity():
    for module in M3AE(LARGE).modules():
        if isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all()
            assert not module.bias.any()


def test_one_projection_feeds_the_decoder_and_each_modality_has_its_mask_token(pair):
    """Visible tokens of both pass through the same matrix; what was hidden is the modality's own token."""
    model = M3AE(SMALL)
    called = []
    model.decoder_embedding.register_forward_hook(lambda module, inputs, _: called.append(inputs[0].shape[1]))
    model(**pair)
    assert called == [1, 4, 2]  # CLS, patches, words
    assert [name for name, _ in model.named_parameters() if "mask_token" in name] == [
        "image_mask_token",
        "text_mask_token",
    ]


def test_the_text_head_is_not_tied_to_the_word_embedding():
    model = M3AE(replace(SMALL, decoder_width=32))
    assert model.text_head.weight.shape == model.word_embedding.weight.shape
    assert model.text_head.weight.data_ptr() != model.word_embedding.weight.data_ptr()
    assert isinstance(model.text_head, nn.Linear)
    assert isinstance(model.image_head, nn.Linear)
