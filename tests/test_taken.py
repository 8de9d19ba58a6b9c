"""Weights of a timm model in place of a training: the same numbers as timm's, or a refusal in one line."""

import copy
import json
from functools import partial

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from m3ae.config import load_run
from m3ae.errors import UserError
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import load_encoder
from m3ae.model.whole import load_whole
from m3ae.records import read_record
from m3ae.torchvision_ops import make_importable
from m3ae.train.architecture import architecture_of
from m3ae.train.loop import pretrain
from m3ae.train.taken import check, converted, load_timm, origin_of, plain, stated
from small_project import CHECKOUT, make_config

NAME, DEIT = "supervised-b", "deit_base_patch16_224.fb_in1k"
SIZE = {"width": 32, "depth": 2, "heads": 4}
CLASSES = 8  # of the first task of `tiny`


def library():
    """timm, whose import takes seconds: not wherever tests are collected."""
    make_importable()
    import timm

    return timm


def shaken(vit, size=0.3):
    """Every parameter random: no position, bias or scale of a LayerNorm is where it begins."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in vit.named_parameters():
            noise = size * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + noise if "norm" in name and name.endswith("weight") else noise)
    return vit.eval()


def small_vit(**changes):
    settings = {"img_size": 48, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4}
    return shaken(library().models.VisionTransformer(**{**settings, "num_classes": CLASSES, **changes}))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A supervised row that names weights; no image can be read, and there is no state to train."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("m3ae.train.loop.open_stream", lambda *_: pytest.fail("opened the training data"))
    make_config(
        tmp_path,
        rows=[NAME],
        models={NAME: {"epochs": 6.0}},
        architecture={"sizes": {"b": SIZE}, "patch_px": 8},
        supervised={"weights": "a_vit.of_timm"},
        pretrain={"store": "fp32"},  # features are compared with timm's
    )
    run = load_run("micro")
    listing = run.paths.evalset(run.settings.probe.tasks[0].dataset)
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text("{}")
    return run


@pytest.fixture
def give(monkeypatch):
    """timm gives this model from now on."""

    def create(vit, name, pretrained):
        assert (name, pretrained) == ("a_vit.of_timm", True)
        return copy.deepcopy(vit)

    return lambda vit: monkeypatch.setattr(library(), "create_model", partial(create, vit))


@pytest.fixture
def taken(run, give):
    """timm's model, and the files of the row that took it."""
    vit = small_vit()
    give(vit)
    pretrain(run, NAME)
    return vit, run.paths.encoder(NAME)


@torch.no_grad()
def test_features_and_logits_are_timms(taken):
    vit, path = taken
    image = torch.randn(3, 3, 48, 48)
    tokens, classifier = vit.forward_features(image), load_whole(path)
    for encoder in (load_encoder(path), classifier.image_tower):
        torch.testing.assert_close(encoder.encode(image), tokens, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(classifier(image), vit(image), atol=1e-5, rtol=1e-5)


def test_the_record_says_what_was_taken_and_that_nothing_was_trained(taken, run):
    record = read_record(run.paths.record(NAME, "pretrain"))
    details, origin = record.details, record.provenance["taken"]
    assert details["taken"] == origin["source"] == "a_vit.of_timm"
    assert (details["steps"], details["samples"], details["final"], details["head"]) == (0, 0, {}, "kept")
    assert origin["timm"] == library().__version__
    assert record.seeds == []
    assert run.paths.step_log(NAME).read_bytes() == b""
    assert not run.paths.state(NAME).exists()
    # timm counts the table of positions as parameters; ours are a buffer, as fixed ones are
    vit = taken[0]
    counted = sum(parameter.numel() for parameter in vit.parameters()) - vit.pos_embed.numel()
    assert details["parameters"] == counted


def test_a_head_of_other_classes_is_left_out(run, give):
    vit = small_vit(num_classes=5)
    give(vit)
    pretrain(run, NAME)
    path, image = run.paths.encoder(NAME), torch.randn(2, 3, 48, 48)
    assert "5 classes" in read_record(run.paths.record(NAME, "pretrain")).details["head"]
    with torch.no_grad():
        torch.testing.assert_close(
            load_encoder(path).encode(image), vit.forward_features(image), atol=1e-5, rtol=1e-5
        )
    with pytest.raises(UserError, match="expected a baseline"):
        load_whole(path)


def without_parameters():
    """A step that no name of a weight shows."""
    vit = small_vit()
    vit.norm_pre = nn.ReLU()
    return vit


def other_view():
    vit = small_vit()
    vit.pretrained_cfg = {"mean": (0.4, 0.4, 0.4), "std": (0.25, 0.25, 0.25)}
    return vit


def distilled():
    settings = {"img_size": 48, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4}
    return shaken(library().models.deit.VisionTransformerDistilled(**settings))


REFUSED = {
    "width: expected 32 .* got 48": partial(small_vit, embed_dim=48),
    "depth: expected 2 .* got 3": partial(small_vit, depth=3),
    "heads: expected 4 .* got 8": partial(small_vit, num_heads=8),
    "mlp_ratio: expected 4 .* got 2": partial(small_vit, mlp_ratio=2),
    "patch_px: expected 8 .* got 16": partial(small_vit, patch_size=16),
    "size_px: expected 48 .* got 64": partial(small_vit, img_size=64),
    r"mean: expected \[.*got \[0\.4, 0\.4, 0\.4\]": other_view,
    "eps of LayerNorm: expected .*1e-06.* got .*1e-05": lambda: small_vit(
        norm_layer=partial(library().layers.LayerNorm, eps=1e-5)
    ),
    "activation: expected .*none.* got .*tanh": partial(
        small_vit, act_layer=partial(nn.GELU, approximate="tanh")
    ),
    "pooling: expected token": partial(small_vit, global_pool="avg", fc_norm=False),
    r"positions: expected \(1, 37, 32\).* got \(1, 36, 32\)": partial(small_vit, no_embed_class=True),
    r"positions: expected .* got \(\)": partial(small_vit, pos_embed="none"),
    "positions: expected": distilled,
    "a_vit.of_timm: .*holds .*ls1": partial(small_vit, init_values=0.1),
    "a_vit.of_timm: .*lacks .*qkv.bias": partial(small_vit, qkv_bias=False),
    "apart: it has something": without_parameters,
    "expected a ViT, got a_vit.of_timm, a Linear": partial(nn.Linear, 2, 2),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_another_model_is_refused_in_one_line_and_nothing_is_written(reason, run, give):
    give(REFUSED[reason]())
    with pytest.raises(UserError, match=reason) as raised:
        pretrain(run, NAME)
    assert "\n" not in str(raised.value)
    assert "a_vit.of_timm" in str(raised.value)
    assert not run.paths.results(NAME).exists()


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (
            "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
            "we cannot find the requested files",
        ),
        ("no_such_model", "Unknown model"),
        ("deit_base_patch16_224.no_such_tag", "Invalid pretrained tag"),
        ("test_vit4", "No pretrained weights exist"),
    ],
)
def test_weights_that_cannot_be_had_are_one_line(weights, reason, tmp_path, monkeypatch):
    import huggingface_hub.constants

    # as HF_HUB_OFFLINE=1 and an empty HF_HOME set them when the library is imported
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=rf"got none for '{weights}' \(.*{reason}.*weights: null") as raised:
        load_timm(weights)
    assert "\n" not in str(raised.value)
    assert f"huggingface.co/timm/{weights}" in str(raised.value)


def test_an_image_of_another_size_is_refused(taken):
    encoder = load_encoder(taken[1])
    with pytest.raises(ValueError, match=r"expected images of 48 px \(36 patches\).* got 64 patches"):
        encoder.encode(torch.randn(1, 3, 64, 64))


@torch.no_grad()
def test_it_goes_to_timm_and_to_hugging_face_and_back(taken, tmp_path):
    from m3ae.pretrained.convert import convert
    from m3ae.pretrained.load import load_pretrained
    from m3ae.pretrained.timm_export import export_timm

    vit, path = taken
    image = torch.randn(2, 3, 48, 48)
    convert(str(path), tmp_path / "folder", {})
    again = load_pretrained(tmp_path / "folder")
    torch.testing.assert_close(again.encode(image), vit.forward_features(image), atol=1e-5, rtol=1e-5)
    assert again.config.origin["source"] == "a_vit.of_timm"
    export_timm(load_encoder(path), tmp_path / "state.safetensors", {"image_mean": [], "image_std": []})
    back = small_vit(num_classes=0)
    library().models.load_checkpoint(back, str(tmp_path / "state.safetensors"))
    torch.testing.assert_close(
        back.forward_features(image), vit.forward_features(image), atol=1e-5, rtol=1e-5
    )


def test_a_file_without_the_field_loads_as_it_did(tmp_path):
    facts = {"width": 16, "depth": 1, "num_heads": 2, "decoder_width": 0, "image_px": 16, "patch_px": 4}
    facts |= {"vocab_size": 0, "type_embedding": False}
    model = M3AE(Architecture(**facts))
    metadata = {"architecture": json.dumps(facts)}
    save_file(model.state_dict(), tmp_path / "old.safetensors", metadata)
    image = torch.randn(1, 3, 32, 32)  # no other size is refused
    assert torch.equal(load_encoder(tmp_path / "old.safetensors").encode(image), model.encode(image))
    assert "image_positions" not in model.state_dict()


def test_a_learned_table_is_in_the_file(taken):
    vit, path = taken
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["architecture"])["positions"] == "learned"
        assert torch.equal(file.get_tensor("image_positions"), vit.pos_embed[0, 1:])


def test_only_a_supervised_row_with_epochs_takes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = {NAME: {"epochs": 0.0}, "mae-b100": {"epochs": 1.0}}
    make_config(tmp_path, rows=[NAME, "mae-b100"], models=models, supervised={"weights": "a_vit.of_timm"})
    run = load_run("micro")
    assert {architecture_of(run, name, 0).positions for name in run.models} == {"sincos"}


@torch.no_grad()
def test_deits_own_architecture_is_the_papers_row_and_gives_its_features(monkeypatch):
    monkeypatch.chdir(CHECKOUT)
    paper = load_run("paper")
    assert paper.settings.supervised.weights == DEIT
    with torch.device("meta"):  # its own first values are of no use
        empty = library().create_model(DEIT, pretrained=False)
    vit = shaken(empty.to_empty(device="cpu"), size=0.05)
    check(plain(vit), "DeiT has it", DEIT)
    check(stated(paper, NAME, vit), "config/paper.yaml has it", DEIT)
    origin = origin_of(vit, DEIT)
    assert (origin["hf_hub_id"], origin["normalisation"]) == (f"timm/{DEIT}", "imagenet")
    model, head = converted(vit, architecture_of(paper, NAME, 0), 1000, DEIT)
    image = torch.randn(1, 3, 224, 224)
    assert head == "kept"
    torch.testing.assert_close(
        model.image_tower.encode(image), vit.forward_features(image), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(model(image), vit(image), atol=1e-4, rtol=1e-4)
