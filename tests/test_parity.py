"""Our model is the authors' and Facebook's: same weights, same inputs, same outputs, losses and gradients.

Golden: what their own code computed once (tests/golden/README.md). The same numbers again from the files in
the formats that they release, where a local copy lies.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from m3ae.pretrained.load import read_source
from m3ae.pretrained.source import Source
from release_files import write_release

GOLDEN = Path(__file__).parent / "golden"
RELEASED = Path(os.environ.get("M3AE_PARITY", Path(__file__).parents[2] / "shared" / "parity"))
FACEBOOK = {"num_heads": 4, "decoder_num_heads": 4, "norm_pix_loss": True}


def golden(name):
    with np.load(GOLDEN / f"{name}_tiny.npz") as file:
        arrays = {key: file[key] for key in file}
    return {key: torch.from_numpy(np.asarray(array)) for key, array in arrays.items()}


def nested(arrays):
    """The authors' tree of parameters from flat names."""
    tree = {}
    for name, tensor in arrays.items():
        *parents, leaf = name.removeprefix("params/").split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = tensor.numpy()
    return tree


def released(name):
    path = RELEASED / name
    if not path.is_file():
        pytest.skip(f"no released file {name}; set M3AE_PARITY to the folder that holds it")
    return path


@pytest.fixture(scope="module")
def authors():
    return golden("m3ae")


@pytest.fixture(scope="module", params=["written here", "as released"])
def authors_file(request, tmp_path_factory, authors):
    if request.param == "as released":
        return released("m3ae_jax_tiny.pkl")
    path = tmp_path_factory.mktemp("authors") / "model.pkl"
    variant = {"m3ae.model_type": None, "m3ae.num_heads": 4, "m3ae.dec_num_heads": 4, "text_loss_weight": 0.5}
    params = nested({name: value for name, value in authors.items() if name.startswith("params/")})
    write_release(path, params, variant)
    return path


@pytest.fixture(scope="module")
def facebook():
    return golden("fbmae")


@pytest.fixture(scope="module", params=["written here", "as released"])
def facebook_file(request, tmp_path_factory, facebook):
    if request.param == "as released":
        return released("fbmae_tiny.pth")
    path = tmp_path_factory.mktemp("facebook") / "mae.pth"
    state = {name.removeprefix("params/"): x for name, x in facebook.items() if name.startswith("params/")}
    torch.save({"model": state}, path)
    return path


def close(got, expected, tolerance=1e-5):
    """Within ``tolerance`` of the largest magnitude."""
    expected = expected.double()
    worst = (got.detach().double() - expected).abs().max() / expected.abs().max()
    assert worst <= tolerance, f"expected within {tolerance}, got {worst.item():.1e}"


def inputs(g):
    """Image, text, padding and the two shuffles of the authors' golden file, as our model takes them."""
    orders = {f"{m}_order": g[f"{m}_ids_restore"].long().argsort() for m in ("image", "text")}
    return (g["image"].permute(0, 3, 1, 2), g["text"].long(), g["text_padding_mask"] > 0), orders


def grad_norm(model):
    return torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])


def test_the_authors_outputs_losses_and_gradient(authors_file, authors):
    model = read_source(authors_file).core(authors_file)
    (image, text, padding), orders = inputs(authors)
    out = model(image, text, padding, **orders)
    close(out.image_prediction, authors["image_output"])
    words = ~padding[..., None]
    close(out.text_logits * words, authors["text_output"] * words)
    close(out.image_loss, authors["image_loss"])
    close(out.text_loss, authors["text_loss"])
    close(out.loss, authors["total_loss_text_weight_half"])
    assert torch.equal(out.image_hidden, authors["image_mask"] > 0)
    assert torch.equal(out.text_hidden, authors["text_mask"] > 0)
    out.loss.backward()
    close(grad_norm(model), authors["grad_global_norm"])


def test_the_authors_losses_without_building_predictions(authors_file, authors):
    model = read_source(authors_file).core(authors_file)
    arguments, orders = inputs(authors)
    out = model(*arguments, **orders, predictions=False)
    assert out.image_prediction is None
    assert out.text_logits is None
    close(out.image_loss, authors["image_loss"])
    close(out.text_loss, authors["text_loss"])
    out.loss.backward()
    close(grad_norm(model), authors["grad_global_norm"])


def test_the_authors_encoder_sees_the_visible_tokens_in_shuffled_order(authors_file, authors):
    model = read_source(authors_file).core(authors_file)
    arguments, orders = inputs(authors)
    encoded = model.encode_visible(
        *arguments, (orders["image_order"], orders["text_order"]), ratios=(0.75, 0.75)
    )
    close(encoded.cls, authors["encoder_cls"])
    close(encoded.image, authors["encoder_image"])
    padding_kept = arguments[2][:, orders["text_order"]][:, : encoded.text.shape[1], None]
    close(encoded.text * ~padding_kept, authors["encoder_text"] * ~padding_kept)


def test_the_authors_representation_of_both_and_of_the_image_alone(authors_file, authors):
    model = read_source(authors_file).core(authors_file)
    (image, text, padding), _ = inputs(authors)
    real = torch.nn.functional.pad(~padding, (1 + authors["patches"].shape[1], 0), value=True)[..., None]
    close(model.encode(image, text, padding) * real, authors["representation"] * real)
    close(model.encode(image), authors["representation_image_only"])


def test_facebooks_latents_predictions_loss_and_gradient(facebook_file, facebook):
    model = read_source(facebook_file, FACEBOOK).core(facebook_file)
    order = facebook["noise"].argsort(dim=1)
    out = model(facebook["image"], image_order=order)
    close(out.image_prediction, facebook["pred"])
    close(out.loss, facebook["loss"])
    assert torch.equal(out.image_hidden, facebook["mask"] > 0)
    encoded = model.encode_visible(facebook["image"], None, None, (order, None), ratios=(0.75, 0.75))
    close(torch.cat([encoded.cls, encoded.image], dim=1), facebook["latent"])
    out.loss.backward()
    close(grad_norm(model), facebook["grad_global_norm"])


def test_both_in_bf16_autocast(authors_file, authors, facebook_file, facebook):
    model = read_source(authors_file).core(authors_file)
    arguments, orders = inputs(authors)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(*arguments, **orders)
        representation = model.encode(arguments[0])
    words = ~arguments[2][..., None]
    close(out.image_prediction, authors["image_output"], 2e-2)
    close(out.text_logits * words, authors["text_output"] * words, 2e-2)
    close(out.loss, authors["total_loss_text_weight_half"], 2e-2)
    close(representation, authors["representation_image_only"], 2e-2)
    model = read_source(facebook_file, FACEBOOK).core(facebook_file)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(facebook["image"], image_order=facebook["noise"].argsort(dim=1))
    close(out.image_prediction, facebook["pred"], 2e-2)
    close(out.loss, facebook["loss"], 2e-2)


def test_the_golden_files_hold_what_the_released_files_do(authors, facebook):
    """The copies in tests/golden are the released weights, bit for bit."""
    from m3ae.pretrained.authors import our_name, tensor_of
    from m3ae.pretrained.facebook import our_layout
    from m3ae.pretrained.facebook import our_name as name_of_facebook

    source: Source = read_source(released("m3ae_jax_tiny.pkl"))
    for name, tensor in authors.items():
        if name.startswith("params/"):
            name = name.removeprefix("params/")
            assert torch.equal(
                source.tensors[our_name(name, Path("golden"))], tensor_of(tensor.numpy(), name)
            )
    source = read_source(released("fbmae_tiny.pth"), FACEBOOK)
    for name, tensor in facebook.items():
        if name.startswith("params/") and not name.endswith("pos_embed"):
            name = name.removeprefix("params/")
            assert torch.equal(source.tensors[name_of_facebook(name)], our_layout(name, tensor))
