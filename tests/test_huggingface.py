"""M3AE within transformers: what is saved comes back, and the wrapper adds nothing to the numbers."""

import ast
import subprocess
import sys

import pytest
import torch

from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE, fixed_positions
from small_project import CHECKOUT

SMALL = Architecture(
    width=32, depth=2, num_heads=2, decoder_width=16, decoder_depth=1, decoder_num_heads=2,
    image_px=16, patch_px=4, vocab_size=50, max_tokens=8,
)  # fmt: skip
ENCODER = Architecture(**{**SMALL.plain(), "decoder_width": 0, "decoder_depth": 0, "decoder_num_heads": 0})
MAE = Architecture(**{**SMALL.plain(), "vocab_size": 0, "type_embedding": False, "gelu": "exact"})


def library():
    """Our classes for transformers; its import takes seconds, not wherever tests are collected."""
    from m3ae.pretrained import huggingface

    return huggingface


@pytest.fixture
def pair():
    padding = torch.zeros(3, 8, dtype=torch.bool)
    padding[:, 5:] = True
    return {
        "image": torch.randn(3, 3, 16, 16),
        "text": torch.randint(1, 50, (3, 8)),
        "padding": padding,
    }


def fresh(architecture=SMALL, **more):
    return library().M3AEForPreTraining(library().M3AEConfig.of(architecture, **more)).eval()


def same_tensors(first, second):
    pairs = zip(first.items(), second.items(), strict=True)
    return all(name == other and torch.equal(a, b) for (name, a), (other, b) in pairs)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("architecture", [SMALL, ENCODER, MAE])
def test_what_is_saved_comes_back_bit_for_bit_and_byte_for_byte(tmp_path, architecture):
    model = fresh(
        architecture, image_mean=[0.1, 0.2, 0.3], origin={"kind": "ours", "source": "a.safetensors"}
    )
    model.save_pretrained(tmp_path / "a")
    loaded = library().M3AEForPreTraining.from_pretrained(tmp_path / "a")
    assert loaded.config.architecture == architecture
    assert loaded.config.image_mean == [0.1, 0.2, 0.3]
    assert loaded.config.origin == model.config.origin
    assert not loaded.training
    assert same_tensors(model.state_dict(), loaded.state_dict())
    loaded.save_pretrained(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert set(contents(tmp_path / "a")) == {"README.md", "config.json", "model.safetensors"}


@pytest.mark.parametrize("architecture", [SMALL, ENCODER, MAE])
def test_positions_are_not_in_the_file_and_right_after_loading(tmp_path, architecture):
    fresh(architecture).save_pretrained(tmp_path)
    loaded = library().M3AEForPreTraining.from_pretrained(tmp_path)
    assert not [name for name in loaded.state_dict() if "positions" in name]
    assert same_tensors(dict(M3AE(architecture).named_buffers()), dict(loaded.m3ae.named_buffers()))


def test_a_model_loaded_in_bf16_works_and_has_its_positions_in_bf16(tmp_path, pair):
    fresh().save_pretrained(tmp_path)
    loaded = library().M3AEForPreTraining.from_pretrained(tmp_path, dtype=torch.bfloat16)
    for name, positions in fixed_positions(SMALL).items():
        assert torch.equal(loaded.m3ae.get_buffer(name), positions.bfloat16())
    pair["image"] = pair["image"].bfloat16()
    assert loaded.encode(**pair).dtype == torch.bfloat16
    assert loaded(**pair).loss.isfinite()


def test_a_fresh_model_has_the_authors_initialisation():
    """flax's xavier_uniform for linear layers, N(0, 0.02) for tokens and types, N(0, 1) for words."""
    wide = Architecture(**{**SMALL.plain(), "width": 256, "decoder_width": 128, "vocab_size": 500})
    core = library().M3AEForPreTraining(library().M3AEConfig.of(wide)).m3ae
    for module in core.modules():
        if isinstance(module, torch.nn.Linear):
            bound = (6 / sum(module.weight.shape)) ** 0.5
            assert 0.95 * bound < module.weight.abs().max() <= bound
            assert not module.bias.any()
        if isinstance(module, torch.nn.LayerNorm):
            assert (module.weight == 1).all()
            assert not module.bias.any()
    assert core.word_embedding.weight.std().item() == pytest.approx(1, abs=0.02)
    tokens = dict(core.named_parameters(recurse=False))
    assert set(tokens) == {
        "cls_token", "image_mask_token", "text_mask_token",
        "image_type", "text_type", "decoder_image_type", "decoder_text_type",
    }  # fmt: skip
    assert torch.cat(list(tokens.values())).std().item() == pytest.approx(0.02, abs=0.002)


def test_a_missing_tensor_is_initialised_and_the_others_are_left_alone(tmp_path):
    from safetensors.torch import load_file, save_file

    fresh().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["m3ae.cls_token"], tensors["m3ae.encoder.blocks.0.fc1.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    state = library().M3AEForPreTraining.from_pretrained(tmp_path).state_dict()
    assert state["m3ae.cls_token"].std().item() == pytest.approx(0.02, rel=0.5)
    assert all(torch.equal(state[name], tensor) for name, tensor in tensors.items())


def test_the_auto_classes_know_the_model(tmp_path):
    from transformers import AutoConfig, AutoModel, AutoModelForPreTraining

    fresh().save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), library().M3AEConfig)
    for auto in (AutoModel, AutoModelForPreTraining):
        assert isinstance(auto.from_pretrained(tmp_path), library().M3AEForPreTraining)


def test_numbers_are_the_cores(pair):
    model = fresh()
    orders = {"image_order": torch.randperm(16).repeat(3, 1), "text_order": torch.randperm(8).repeat(3, 1)}
    assert torch.equal(model.encode(**pair), model.m3ae.encode(**pair))
    out, core = model(**pair, **orders), model.m3ae(**pair, **orders)
    assert isinstance(out, library().M3AEOutput)
    for name, value in core._asdict().items():
        assert torch.equal(out[name], value)
    short = model(**pair, **orders, predictions=False, image_mask_ratio=0.5, text_mask_ratio=0.25)
    assert short.text_logits is None
    assert short.image_hidden.sum(dim=1).tolist() == [8, 8, 8]
    assert short.text_hidden.sum(dim=1).tolist() == [2, 2, 2]


def test_an_encoder_alone_represents_and_has_no_loss(pair):
    model = fresh(ENCODER)
    assert model.encode(**pair).shape == (3, 25, 32)
    with pytest.raises(ValueError, match="expected a model with its decoder"):
        model(**pair)


@pytest.mark.parametrize("training", [True, False])
def test_a_core_is_wrapped_and_not_copied(pair, training):
    core = M3AE(SMALL).train(training)
    before = {name: tensor.clone() for name, tensor in core.state_dict().items()}
    model = library().M3AEForPreTraining.from_core(core, image_std=[1.0, 2.0, 3.0])
    assert model.m3ae is core
    assert same_tensors(before, core.state_dict())
    assert [p.data_ptr() for p in model.parameters()] == [p.data_ptr() for p in core.parameters()]
    assert not any(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
    assert (model.training, core.training) == (training, training)
    assert model.config.architecture == SMALL
    assert model.config.image_std == [1.0, 2.0, 3.0]
    assert model.encode(**pair).shape == (3, 25, 32)


def test_the_configuration_is_the_papers_and_answers_to_the_usual_names():
    config = library().M3AEConfig()
    assert config.architecture == Architecture(width=768, depth=12, num_heads=12)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (768, 12, 12)
    assert (config.image_size, config.patch_size) == (256, 16)
    assert config.image_mean == [0.5762, 0.5503, 0.5213]
    assert config.image_std == [0.3207, 0.3169, 0.3307]
    assert library().M3AEConfig(hidden_size=64, num_attention_heads=4).width == 64
    assert library().M3AEConfig.of(SMALL).architecture == SMALL


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gelu": "quick"}, "gelu: expected tanh or exact, got 'quick'"),
        ({"mask_scope": "row"}, "mask_scope: expected sample or batch, got 'row'"),
        ({"num_heads": 5}, "num_heads: expected a divisor of width = 768"),
        ({"decoder_num_heads": 3}, "decoder_num_heads: expected a divisor of decoder_width = 512"),
        ({"num_heads": 0}, "num_heads: expected a whole number from 1 on, got 0"),
        ({"width": "768"}, "width: expected a whole number from 1 on, got '768'"),
        ({"patch_px": 7}, "patch_px: expected a divisor of image_px = 256, got 7"),
        ({"text_mask_ratio": 1.5}, "text_mask_ratio: expected a share from 0 to 1, got 1.5"),
        ({"image_mean": [0.5]}, "image_mean: expected three numbers"),
        ({"image_std": [1.0, 0.0, 1.0]}, "image_std: expected numbers above 0"),
    ],
)
def test_a_model_that_cannot_be_is_refused_in_one_line(settings, said):
    with pytest.raises(ValueError, match=said) as caught:
        library().M3AEConfig(**settings)
    assert "\n" not in str(caught.value)


def test_a_readme_of_somebody_else_stays(tmp_path):
    model = fresh()
    model.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    (tmp_path / "README.md").write_text(card.replace("## Limits", "## Old"))
    model.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == card
    (tmp_path / "README.md").write_text("# My notes\n")
    model.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "# My notes\n"


def test_transformers_is_imported_in_one_file_alone():
    found = []
    for path in (CHECKOUT / "src/m3ae").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [path.name for name in names if name.partition(".")[0] == "transformers"]
    assert set(found) == {"huggingface.py"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("m3ae", "{'torch', 'transformers'}"),
        ("m3ae.pretrained.load, m3ae.pretrained.processor", "{'transformers'}"),
    ],
)
def test_nothing_slow_is_imported_by_others(module, absent):
    code = f"import sys, {module}; assert not {absent} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_torchvision_and_timm_import_beside_this_torch():
    pytest.importorskip("timm")
    code = (
        "from m3ae.torchvision_ops import make_importable; make_importable(); make_importable(); "
        "import timm, torchvision.transforms as t; assert t.Resize(4)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


FAILING = """
import sys
from pathlib import Path
from m3ae.torchvision_ops import kept_alive, make_importable
try:
    make_importable()
except Exception as error:
    print(type(error).__name__, error)
print(len(kept_alive), "torchvision" in sys.modules)
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("raise RuntimeError('out of cheese')", "RuntimeError out of cheese\n0 False"),
        ("pass", "0 True"),
        (
            "import torch\n"
            "if not hasattr(torch.ops.torchvision, 'nms'):\n"
            "    raise RuntimeError('operator torchvision::nms does not exist')",
            "1 True",
        ),
    ],
)
def test_only_missing_operators_are_declared(tmp_path, line, said):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text(line + "\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + FAILING
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == said


def test_activations_can_be_recomputed_to_the_same_gradients(pair):
    """As transformers' trainer asks for it, under the old name and the new one."""
    model = fresh().train()
    orders = {"image_order": torch.randperm(16), "text_order": torch.randperm(8)}

    def gradients():
        model.zero_grad()
        model(**pair, **orders).loss.backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    kept = gradients()
    assert not model.is_activation_checkpointing
    with pytest.warns(FutureWarning, match="activation_checkpointing_enable"):
        model.gradient_checkpointing_enable()
    assert model.is_activation_checkpointing
    assert model.m3ae.encoder.recompute
    assert model.m3ae.decoder.recompute
    assert same_tensors(kept, gradients())
    model.activation_checkpointing_disable()
    assert not model.is_activation_checkpointing
    model.activation_checkpointing_enable({"use_reentrant": False})
    assert same_tensors(kept, gradients())
    for asked in ({"every_n_layers": 2}, {"offload": True}):
        with pytest.raises(ValueError, match="expected every_n_layers=1 and offload=False"):
            model.activation_checkpointing_enable(**asked)
