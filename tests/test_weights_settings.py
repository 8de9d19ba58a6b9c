"""Settings that no model can have are refused in one line: by --set, by a call, and in a file."""

import json

import pytest
import torch
from click.testing import CliRunner

from m3ae.cli.main import main
from m3ae.errors import UserError
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import save_encoder
from m3ae.pretrained.load import load_pretrained

SMALL = Architecture(
    width=32, depth=2, num_heads=2, decoder_width=16, decoder_depth=1, decoder_num_heads=2,
    image_px=16, patch_px=4, vocab_size=50, max_tokens=8,
)  # fmt: skip


def run(*arguments):
    return CliRunner().invoke(main, ["weights", *map(str, arguments)])


@pytest.fixture
def encoder(tmp_path):
    save_encoder(M3AE(SMALL), tmp_path / "encoder.safetensors")
    return tmp_path / "encoder.safetensors"


@pytest.fixture
def folder(tmp_path, encoder):
    load_pretrained(encoder).save_pretrained(tmp_path / "folder")
    return tmp_path / "folder"


SAID = {
    "num_heads=5": "num_heads: expected a divisor of width = 32, itself a multiple of 4, got 5",
    "num_heads=true": "num_heads: expected a whole number from 1 on, got True",
    "gelu=foo": "gelu: expected tanh or exact, got 'foo'",
    "gelu=[tanh]": "gelu: expected tanh or exact, got ['tanh']",
    "image_mask_ratio=75": "image_mask_ratio: expected a share from 0 to 1, got 75",
    "text_mask_ratio=.nan": "text_mask_ratio: expected a share from 0 to 1, got nan",
    "width=a": "width: expected a whole number from 1 on, got 'a'",
    "num_heads=[1": "--set: num_heads: expected a number, a word or a list, got '[1'",
    "norm_pix_loss='no'": "norm_pix_loss: expected true or false, got 'no'",
    "type_embedding='false'": "type_embedding: expected true or false, got 'false'",
    "mlp_ratio=4.0": "mlp_ratio: expected a whole number from 1 on, got 4.0",
    "patch_px=3": "patch_px: expected a divisor of image_px = 16, got 3",
    "image_loss_weight=-1": "image_loss_weight: expected a number from 0 on, got -1",
    "text_loss_weight=.inf": "text_loss_weight: expected a number from 0 on, got inf",
    "decoder_depth=0": "decoder_depth: expected a whole number from 1 on, got 0",
}


@pytest.mark.parametrize("setting", SAID)
@pytest.mark.parametrize("source", ["encoder", "folder"])
def test_a_setting_that_no_model_can_have_is_refused_in_one_line(tmp_path, request, source, setting):
    src, out = request.getfixturevalue(source), tmp_path / "out"
    for arguments in (["convert", src, out], ["show", src], ["export", src, out, "--format", "timm"]):
        result = run(*arguments, "--set", setting)
        assert (result.exit_code, isinstance(result.exception, SystemExit)) == (1, True)
        assert SAID[setting] in result.output
        assert len(result.output.strip().splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize("setting", [{"num_heads": 5}, {"norm_pix_loss": "no"}, {"mlp_ratio": 4.0}])
def test_a_call_with_such_a_setting_is_refused(encoder, setting):
    with pytest.raises(UserError, match=next(iter(setting))):
        load_pretrained(encoder, **setting)


def test_settings_that_a_model_can_have_replace_the_files(encoder):
    given = {"num_heads": 4, "image_mask_ratio": 1.0, "text_mask_ratio": 0.0, "norm_pix_loss": True}
    model = load_pretrained(encoder, **given)
    assert {name: getattr(model.config, name) for name in given} == given
    assert model.encode(torch.zeros(1, 3, 16, 16)).isfinite().all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"origin": "me"}, "origin: expected facts by name, got 'me'"),
        ({"image_mean": "abc"}, "image_mean: expected three numbers, one for each of R, G and B, got 'abc'"),
        ({"image_std": ["1", "2", "3"]}, "image_std: expected three numbers"),
        ({"image_std": [1, 2, float("inf")]}, "image_std: expected three numbers"),
        ({"decoder_depth": 0}, "decoder_depth: expected a whole number from 1 on, got 0"),
        ({"type_embedding": 1}, "type_embedding: expected true or false, got 1"),
        ({"id2label": "cat"}, ""),
    ],
)
def test_a_folder_with_odd_settings_is_named_in_one_line(folder, change, said):
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(UserError) as caught:
        load_pretrained(folder)
    assert str(caught.value).startswith(f"{config}: {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("weight_map", [["a.safetensors"], {}, "a.safetensors"])
def test_an_index_that_names_no_files_is_named_in_one_line(folder, weight_map):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(UserError, match=r"index\.json: expected weight_map, the file of each tensor"):
        load_pretrained(folder)


def test_a_single_file_keeps_how_images_were_normalised(tmp_path, encoder):
    """Through folder, file, folder and timm's description; an older file says nothing and is CC12M's."""
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    model = load_pretrained(encoder)
    assert model.config.image_mean == [0.5762, 0.5503, 0.5213]
    model.config.image_mean, model.config.image_std = mean, std
    model.save_pretrained(tmp_path / "a")
    for src, dst in [
        ("a", "file.safetensors"),
        ("file.safetensors", "b"),
        ("file.safetensors", "c.safetensors"),
    ]:
        assert run("convert", tmp_path / src, tmp_path / dst).exit_code == 0
    for name in ("file.safetensors", "b", "c.safetensors"):
        config = load_pretrained(tmp_path / name).config
        assert (config.image_mean, config.image_std) == (mean, std)
        assert not {"image_mean", "image_std"} & config.origin.keys()
    assert run("export", tmp_path / "file.safetensors", tmp_path / "vit", "--format", "timm").exit_code == 0
    described = json.loads((tmp_path / "vit/config.json").read_text())["pretrained_cfg"]
    assert (described["mean"], described["std"]) == (mean, std)


def test_a_file_with_an_odd_normalisation_is_named_in_one_line(tmp_path):
    save_encoder(M3AE(SMALL), tmp_path / "a.safetensors", {"image_mean": "abc", "image_std": [1, 1, 1]})
    with pytest.raises(UserError, match=r"a\.safetensors: image_mean: expected three numbers"):
        load_pretrained(tmp_path / "a.safetensors")
