"""`load_pretrained` and `m3ae weights`: every kind of file in, folders and files out, errors in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from m3ae.cli.main import main
from m3ae.errors import UserError
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import load_encoder, save_encoder
from m3ae.pretrained.facebook import architecture_of
from m3ae.pretrained.load import load_pretrained, read_source
from release_files import authors_params, write_release

SMALL = Architecture(
    width=32, depth=2, num_heads=2, decoder_width=16, decoder_depth=1, decoder_num_heads=2,
    image_px=16, patch_px=4, vocab_size=50, max_tokens=8,
)  # fmt: skip
VARIANT = {"m3ae.model_type": None, "m3ae.num_heads": 2, "m3ae.dec_num_heads": 2, "data.image_size": 16}


def run(*arguments):
    return CliRunner().invoke(main, ["weights", *map(str, arguments)], catch_exceptions=False)


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def same(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def pickled(tmp_path):
    path = tmp_path / "model.pkl"
    write_release(path, authors_params(SMALL, seed=0), VARIANT)
    return path


def facebook_state(model):
    """Facebook's names for an MAE of ours, written out by hand."""
    a = model.architecture
    state = {}
    for name, tensor in model.state_dict().items():
        name = name.replace(".fc1.", ".mlp.fc1.").replace(".fc2.", ".mlp.fc2.")
        for ours, theirs in [
            ("encoder.blocks.", "blocks."), ("encoder.norm.", "norm."),
            ("decoder.blocks.", "decoder_blocks."), ("decoder.norm.", "decoder_norm."),
            ("decoder_embedding.", "decoder_embed."),
            ("image_head.", "decoder_pred."), ("patch_embedding.", "patch_embed.proj."),
            ("image_mask_token", "mask_token"),
        ]:  # fmt: skip
            if name.startswith(ours):
                name = theirs + name.removeprefix(ours)
                break
        state[name] = tensor.view(1, 1, -1) if "token" in name else tensor
    weight = state["patch_embed.proj.weight"]
    state["patch_embed.proj.weight"] = weight.view(a.width, a.patch_px, a.patch_px, 3).permute(0, 3, 1, 2)
    for prefix in ("", "decoder_"):
        positions = model.get_buffer(f"{prefix}image_positions")
        cls = torch.zeros(1, positions.shape[1])
        state[f"{prefix}pos_embed"] = torch.cat([cls, positions])[None]
    return state


MAE = Architecture(**{**SMALL.plain(), "vocab_size": 0, "type_embedding": False, "gelu": "exact"})


def test_every_kind_of_file_gives_a_model_in_eval_mode(tmp_path, pickled):
    encoder = tmp_path / "encoder.safetensors"
    save_encoder(M3AE(SMALL), encoder)
    torch.save({"model": facebook_state(M3AE(MAE))}, tmp_path / "mae.pth")
    folder = tmp_path / "folder"
    load_pretrained(pickled).save_pretrained(folder)
    for path, settings in [(pickled, {}), (encoder, {}), (folder, {}),
                           (tmp_path / "mae.pth", {"num_heads": 2, "decoder_num_heads": 2})]:  # fmt: skip
        model = load_pretrained(str(path), **settings)
        assert not model.training
        assert model.encode(torch.zeros(1, 3, 16, 16)).shape == (1, 17, 32)
        assert model(image=torch.zeros(1, 3, 16, 16)).loss.isfinite()


def test_the_authors_kernels_are_transposed_and_their_tokens_flat(pickled):
    tree = authors_params(SMALL, seed=0)
    tensors = read_source(pickled).tensors
    kernel = torch.from_numpy(tree["encoder"]["Block_1"]["TransformerMLP_0"]["fc1"]["kernel"])
    assert torch.equal(tensors["encoder.blocks.1.fc1.weight"], kernel.t())
    assert torch.equal(tensors["cls_token"], torch.from_numpy(tree["cls_token"])[0, 0])


def test_the_authors_mae_has_no_text_and_no_types(tmp_path):
    write_release(
        tmp_path / "mae.pkl",
        authors_params(MAE, seed=0, text=False),
        {"mae.num_heads": 2, "mae.dec_num_heads": 2},
    )
    source = read_source(tmp_path / "mae.pkl")
    assert not source.architecture.has_text
    assert not source.architecture.type_embedding
    assert source.core("x")(torch.zeros(1, 3, 16, 16)).text_loss is None


def test_a_named_model_type_takes_its_heads_from_the_table_of_widths(tmp_path):
    """Its own entries are the defaults of ViT-L, whatever the model is."""
    wide = Architecture(
        **{**SMALL.plain(), "width": 384, "num_heads": 6, "decoder_width": 512, "decoder_num_heads": 16}
    )
    variant = {"m3ae.model_type": "small", "m3ae.num_heads": 8, "m3ae.dec_num_heads": 8, "m3ae.emb_dim": 1024}
    write_release(tmp_path / "s.pkl", authors_params(wide, seed=0), variant)
    architecture = read_source(tmp_path / "s.pkl").architecture
    assert (architecture.width, architecture.num_heads, architecture.decoder_num_heads) == (384, 6, 16)
    assert read_source(tmp_path / "s.pkl", {"num_heads": 12}).architecture.num_heads == 12


def test_the_table_of_widths_is_the_configurations(in_project):
    from m3ae.config import load_run
    from m3ae.pretrained.source import HEADS

    shared = load_run("paper").settings.architecture
    sizes = [*shared.sizes.values(), shared.decoder]
    assert {size.width: size.heads for size in sizes} == HEADS


def test_settings_of_the_call_replace_those_of_the_file(pickled):
    model = load_pretrained(pickled, image_mask_ratio=0.5, norm_pix_loss=True, num_attention_heads=4)
    assert model.config.image_mask_ratio == 0.5
    assert model.config.norm_pix_loss is True
    assert model.m3ae.architecture.num_heads == 4
    assert model(image=torch.zeros(1, 3, 16, 16)).image_hidden.sum() == 8
    assert model(image=torch.zeros(1, 3, 16, 16), image_mask_ratio=0.75).image_hidden.sum() == 12


def test_an_encoder_alone_represents_and_has_no_loss(tmp_path):
    state = facebook_state(M3AE(MAE))
    only = {name: x for name, x in state.items() if "decoder" not in name and name != "mask_token"}
    torch.save({"model": only}, tmp_path / "encoder.pth")
    model = load_pretrained(tmp_path / "encoder.pth", num_heads=2)
    full_path = tmp_path / "full.pth"
    torch.save({"model": state}, full_path)
    image = torch.randn(2, 3, 16, 16)
    full = load_pretrained(full_path, num_heads=2, decoder_num_heads=2)
    assert torch.equal(model.encode(image), full.encode(image))
    with pytest.raises(ValueError, match="an encoder alone"):
        model(image)
    model.save_pretrained(tmp_path / "folder")
    assert torch.equal(load_pretrained(tmp_path / "folder").encode(image), full.encode(image))


@pytest.mark.parametrize(
    ("changes", "setting", "message"),
    [
        (
            {"width": 768, "depth": 12, "num_heads": 12},
            "num_heads",
            r"expected 12, as Facebook's ViT-B .* got 4",
        ),
        (
            {"decoder_width": 512, "decoder_depth": 8, "decoder_num_heads": 16},
            "decoder_num_heads",
            r"expected 16, as Facebook's decoder .* \(512 wide, 8 blocks\), got 4",
        ),
    ],
)
def test_heads_that_facebooks_model_has_not_are_refused(changes, setting, message):
    """Any divisor of the width would load, and compute wrong features."""
    right, given = changes[setting], {"num_heads": 2, "decoder_num_heads": 2}
    with torch.device("meta"):  # shapes tell all
        state = facebook_state(M3AE(Architecture(**{**MAE.plain(), **changes})))
    del given[setting]
    for overrides in (given, {**given, setting: right}):
        assert getattr(architecture_of(state, overrides, Path("mae.pth")), setting) == right
    with pytest.raises(UserError, match=rf"mae\.pth: {setting}: {message}"):
        architecture_of(state, {**given, setting: 4}, Path("mae.pth"))


def test_round_trips_are_bit_identical(tmp_path, pickled):
    """Pickle to folder to file to folder: the same tensors, and from folder to folder the same bytes."""
    assert run("convert", pickled, tmp_path / "a").exit_code == 0
    assert run("convert", tmp_path / "a", tmp_path / "encoder.safetensors").exit_code == 0
    assert run("convert", tmp_path / "encoder.safetensors", tmp_path / "b").exit_code == 0
    assert run("convert", tmp_path / "a", tmp_path / "c").exit_code == 0
    same(read_source(pickled).tensors, read_source(tmp_path / "a").tensors)
    same(read_source(pickled).tensors, load_encoder(tmp_path / "encoder.safetensors").state_dict())
    assert files(tmp_path / "a") == files(tmp_path / "b") == files(tmp_path / "c")


def test_show_tells_sizes_parameters_hash_and_origin(tmp_path, pickled):
    import hashlib

    shown = run("show", pickled).output
    model = read_source(pickled).core("x")
    assert f"{sum(p.numel() for p in model.parameters()):,}" in shown
    assert "32 x 2 x 2" in shown
    assert hashlib.sha256(pickled.read_bytes()).hexdigest() in shown
    assert "young-geng/m3ae_public" in shown
    run("convert", pickled, tmp_path / "folder")
    assert hashlib.sha256(pickled.read_bytes()).hexdigest() in run("show", tmp_path / "folder").output


@pytest.mark.parametrize("gelu", ["tanh", "exact"])
@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("dst", ["folder", "vit.safetensors", "vit.pth"])
def test_a_timm_vit_gives_the_same_features(tmp_path, gelu, typed, dst):
    from m3ae.torchvision_ops import make_importable

    make_importable()
    timm = pytest.importorskip("timm")
    model = M3AE(Architecture(**{**SMALL.plain(), "gelu": gelu, "type_embedding": typed})).eval()
    save_encoder(model, tmp_path / "encoder.safetensors")
    result = run("export", tmp_path / "encoder.safetensors", tmp_path / dst, "--format", "timm")
    assert result.exit_code == 0, result.output
    assert f"the {gelu} form of GELU" in result.output
    if dst == "folder":
        vit = timm.create_model(f"local-dir:{tmp_path / dst}", pretrained=True)
    else:
        from m3ae.pretrained.timm_export import timm_config

        view = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        vit = timm.create_model("vit_base_patch16_224", **timm_config(model.architecture, view)["model_args"])
        timm.models.load_checkpoint(vit, str(tmp_path / dst))
    image = torch.randn(4, 3, 16, 16)
    with torch.inference_mode():
        expected, got = model.encode(image), vit.eval().forward_features(image)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


BROKEN = {
    "page.pkl": (b"<!DOCTYPE html><html>", "a web page, not weights"),
    "page.pth": (b"<html>404</html>", "a web page, not weights"),
    "empty.pkl": (b"", "an empty file"),
    "pointer.safetensors": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    "packed.pkl": (b"\x1f\x8b\x08\x00", "gzip"),
    "cut.safetensors": (b"\x10\x00\x00", "expected weights of this project"),
    "cut.pth": (b"PK\x03\x04rest", "damaged archive|cut off"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_weights_is_named_in_one_line(tmp_path, name):
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load_pretrained(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_typo_in_a_setting_names_the_nearest(pickled):
    with pytest.raises(ValueError, match="did you mean num_heads"):
        load_pretrained(pickled, num_head=2)


def test_a_folder_with_missing_surplus_or_other_tensors_is_refused(tmp_path, pickled):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "folder"
    load_pretrained(pickled).save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    for change, message in [
        ({"m3ae.cls_token": None}, "lacks cls_token"),
        ({"m3ae.head": torch.zeros(1)}, "holds head too many"),
        ({"m3ae.cls_token": torch.zeros(3)}, r"cls_token: expected shape \(32,\), got \(3,\)"),
    ]:
        changed = {name: x for name, x in {**tensors, **change}.items() if x is not None}
        save_file(changed, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(UserError, match=message):
            load_pretrained(folder)


def test_fine_tuned_positions_are_refused(tmp_path):
    state = facebook_state(M3AE(MAE))
    state["pos_embed"] = state["pos_embed"] + 0.1
    torch.save({"model": state}, tmp_path / "tuned.pth")
    with pytest.raises(UserError, match="fixed sine-cosine positions"):
        load_pretrained(tmp_path / "tuned.pth", num_heads=2, decoder_num_heads=2)


def test_a_hub_id_that_cannot_be_had_says_so(monkeypatch):
    import huggingface_hub

    def offline(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(UserError, match="owner/name: no such file or folder here, and the Hugging Face hub"):
        load_pretrained("owner/name")


def test_a_hub_id_is_downloaded_and_read_as_a_folder(tmp_path, monkeypatch, pickled):
    import huggingface_hub

    load_pretrained(pickled).save_pretrained(tmp_path / "snapshot")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path / "snapshot"))
    same(load_pretrained("owner/name").m3ae.state_dict(), read_source(pickled).tensors)


def test_a_folder_of_somebody_elses_files_is_never_replaced(tmp_path, pickled):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.tex").write_text("three years of work")
    for arguments in (["convert", pickled, folder], ["export", pickled, folder, "--format", "timm"]):
        result = run(*arguments)
        assert result.exit_code == 1
        assert "holds thesis.tex" in result.output
    assert (folder / "thesis.tex").read_text() == "three years of work"


def test_converting_again_replaces_the_weights_and_keeps_a_card_that_was_edited(tmp_path, pickled):
    folder = tmp_path / "folder"
    assert run("convert", pickled, folder).exit_code == 0
    (folder / "README.md").write_text("my own card")
    assert run("convert", pickled, folder, "--set", "num_heads=4").exit_code == 0
    assert (folder / "README.md").read_text() == "my own card"
    assert load_pretrained(folder).config.num_heads == 4


def test_weights_of_the_workflow_know_their_run_and_their_normalisation(tmp_path):
    record = {
        "run": "tiny",
        "model": "m3ae-b100",
        "settings": {"image": {"mean": [0.5] * 3, "std": [0.25] * 3}},
    }
    folder = tmp_path / "results/tiny/m3ae-b100"
    save_encoder(M3AE(SMALL), folder / "encoder.safetensors")
    (folder / "pretrain.json").write_text(json.dumps(record))
    model = load_pretrained(folder / "encoder.safetensors")
    assert model.config.image_mean == [0.5] * 3
    assert (model.config.origin["run"], model.config.origin["model"]) == ("tiny", "m3ae-b100")


def test_converting_to_a_pickle_is_refused(tmp_path, pickled):
    result = run("convert", pickled, tmp_path / "out.pkl")
    assert result.exit_code == 1
    assert "expected a folder or a .safetensors file" in result.output
    assert not (tmp_path / "out.pkl").exists()


def test_a_converted_folder_says_where_it_came_from(tmp_path, pickled):
    run("convert", pickled, tmp_path / "folder")
    config = json.loads((tmp_path / "folder/config.json").read_text())
    assert config["model_type"] == "m3ae"
    assert config["origin"]["source"] == "model.pkl"
    assert str(tmp_path) not in (tmp_path / "folder/config.json").read_text()
    assert str(tmp_path) not in (tmp_path / "folder/README.md").read_text()


def test_importing_the_package_imports_neither_torch_nor_transformers():
    code = "import sys, m3ae; assert not {'torch', 'transformers'} & set(sys.modules); m3ae.load_pretrained"
    subprocess.run([sys.executable, "-c", code], check=True)
