"""Baselines keep their name: CLIP, a supervised ViT and timm's DeiT are no masked autoencoders."""

import json
from dataclasses import replace

import pytest
import yaml
from click.testing import CliRunner

from m3ae.cli.main import main
from m3ae.model.architecture import Architecture, TextArchitecture
from m3ae.model.classifier import Classifier
from m3ae.model.clip import CLIP
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import save_encoder
from m3ae.model.whole import write_model
from m3ae.pretrained.load import load_pretrained

TOWER = Architecture(
    width=32, depth=1, num_heads=2, decoder_width=0, decoder_depth=0, decoder_num_heads=0,
    image_px=16, patch_px=4, vocab_size=0, max_tokens=8, type_embedding=False,
)  # fmt: skip
WORDS = TextArchitecture(width=16, depth=1, num_heads=2, vocab_size=50, max_tokens=8, embedding_dim=8)


def run(*arguments):
    return CliRunner().invoke(main, ["weights", *map(str, arguments)], catch_exceptions=False)


def written(kind, path):
    """A file of weights as training, or as taking them from timm, writes it."""
    if kind == "timm":
        save_encoder(M3AE(TOWER), path, {"kind": "timm", "source": "deit_base_patch16_224.fb_in1k"})
    elif kind == "recorded":  # its head was left out, its record tells
        save_encoder(M3AE(TOWER), path)
        path.with_name("pretrain.json").write_text(json.dumps({"settings": {"method": "supervised"}}))
    else:
        model = CLIP(TOWER, WORDS) if kind == "clip" else Classifier(TOWER, 10)
        write_model(model, dict(model.state_dict()), path)
    return path


@pytest.mark.parametrize(
    ("kind", "method", "name", "tag", "left_out"),
    [
        ("clip", "clip", "CLIP", "clip", "its text tower and the projections"),
        ("supervised", "supervised", "supervised ViT", "supervised", "its head"),
        ("recorded", "supervised", "supervised ViT", "supervised", "its head"),
        ("timm", "supervised", "supervised ViT", "supervised", "its head"),
    ],
)
def test_a_baseline_is_called_what_it_is(tmp_path, monkeypatch, kind, method, name, tag, left_out):
    path = written(kind, tmp_path / "encoder.safetensors")
    monkeypatch.setattr("m3ae.pretrained.facts.facts_from_records", lambda _: None)
    for src, dst in [(path, "folder"), (path, "file.safetensors"), ("file.safetensors", "again")]:
        assert run("convert", tmp_path / src, tmp_path / dst).exit_code == 0
    for place in ("encoder.safetensors", "folder", "file.safetensors", "again"):
        assert load_pretrained(tmp_path / place).config.origin["method"] == method
        shown = run("show", tmp_path / place).output
        assert f"{name}, encoder alone" in shown
        assert left_out in shown
        assert "MAE" not in shown
    for folder in ("folder", "again"):
        card = (tmp_path / folder / "README.md").read_text()
        assert yaml.safe_load(card.split("---\n")[1])["tags"] == [tag, "vision"]
        assert f"# {name}\n" in card
        assert f"Not converted: {left_out}" in card
        assert "masked-autoencoder" not in card


def test_masked_autoencoders_are_called_what_they_were(tmp_path):
    for vocab_size, name in ((50, "M3AE"), (0, "MAE")):
        model = M3AE(replace(TOWER, vocab_size=vocab_size))
        save_encoder(model, tmp_path / "encoder.safetensors")
        shown = run("show", tmp_path / "encoder.safetensors").output
        assert f"{name}, encoder alone" in shown
        assert "not converted" not in shown
        assert "method" not in load_pretrained(tmp_path / "encoder.safetensors").config.origin
