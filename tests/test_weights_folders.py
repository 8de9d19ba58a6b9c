"""Folders of `save_pretrained` as other tools leave them: half precision, old shards, odd settings."""

import pytest
import torch
from click.testing import CliRunner

from m3ae.cli.main import main
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE
from m3ae.pretrained.load import load_pretrained

SMALL = Architecture(
    width=32, depth=2, num_heads=2, decoder_width=16, decoder_depth=1, decoder_num_heads=2,
    image_px=16, patch_px=4, vocab_size=50, max_tokens=8,
)  # fmt: skip


def run(*arguments):
    return CliRunner().invoke(main, ["weights", *map(str, arguments)], catch_exceptions=False)


def made(seed=0):
    """A model as `save_pretrained` takes it; transformers takes seconds to import."""
    from m3ae.pretrained.huggingface import M3AEForPreTraining

    torch.manual_seed(seed)
    return M3AEForPreTraining.from_core(M3AE(SMALL).eval())


def same(model, other):
    pairs = zip(model.state_dict().items(), other.state_dict().items(), strict=True)
    return all(name == twin and torch.equal(a, b) for (name, a), (twin, b) in pairs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_folder_of_any_precision_is_read_in_fp32(tmp_path, dtype):
    """The values are the folder's own; only their type is ours."""
    model = made()
    model.to(dtype).save_pretrained(tmp_path / "folder")
    loaded = load_pretrained(tmp_path / "folder")
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {torch.float32}
    assert same(model.float(), loaded)
    image, text = torch.randn(1, 3, 16, 16), torch.ones(1, 8, dtype=torch.long)
    assert loaded.encode(image, text).dtype == torch.float32
    assert loaded(image, text).loss.isfinite()
    assert run("convert", tmp_path / "folder", tmp_path / "out").exit_code == 0
    assert same(loaded, load_pretrained(tmp_path / "out"))
    assert '"dtype": "float32"' in (tmp_path / "out/config.json").read_text()


def test_one_file_saved_over_several_is_the_one_that_is_read(tmp_path):
    """An earlier save's index and shards may still lie there; transformers prefers the single file too."""
    from safetensors.torch import save_file

    old, new = made(seed=1), made(seed=2)
    old.save_pretrained(tmp_path, max_shard_size="50KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    assert same(old, load_pretrained(tmp_path))
    save_file(new.state_dict(), tmp_path / "model.safetensors", {"format": "pt"})
    assert same(new, load_pretrained(tmp_path))
    for shard in tmp_path.glob("model-*.safetensors"):
        shard.unlink()
    assert same(new, load_pretrained(tmp_path))
    assert "sha256 of model.safetensors" in run("show", tmp_path).output
