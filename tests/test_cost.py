"""Parameters and FLOPs by arithmetic: against the real model, torch's counter, and earlier counts."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from m3ae.cli.main import main
from m3ae.config import load_run
from m3ae.model.architecture import Architecture
from m3ae.model.cost import (
    TextTokens,
    authors_flops,
    num_encoder_parameters,
    num_parameters,
    training_flops,
    visible,
)
from m3ae.model.linear import HAS_ONEDNN
from m3ae.model.m3ae import M3AE
from m3ae.model.masking import num_visible
from m3ae.model.words import plan_words
from m3ae.train.architecture import architecture_of_size
from m3ae.train.build import count_parameters

SMALL = Architecture(
    width=48, depth=3, num_heads=4, decoder_width=24, decoder_depth=2, decoder_num_heads=2,
    mlp_ratio=3, image_px=32, patch_px=8, vocab_size=70, max_tokens=9,
    image_mask_ratio=0.6, text_mask_ratio=0.3,
)  # fmt: skip
VARIANTS = {
    "m3ae": {},
    "m3ae without types": {"type_embedding": False},
    "mae": {"vocab_size": 0, "type_embedding": False},
    "mae with type": {"vocab_size": 0},
    "encoder alone": {"decoder_width": 0},
    "everything visible": {"image_mask_ratio": 0.0, "text_mask_ratio": 0.0},
}
# size -> parameters and those of the encoder (M), TFLOP per training sample: counted from the authors'
# model.py before this code was written
COUNTED = {
    "s": (74.8, 21.6, 0.071),
    "b": (150.8, 85.6, 0.103),
    "l": (376.2, 303.1, 0.210),
    "h": (711.7, 630.7, 0.371),
}


def product_flops(x_shape, weight_shape, *_, **__):
    """Of oneDNN's linear layer, which torch's counter does not know."""
    return 2 * math.prod(x_shape) * weight_shape[0]


ONEDNN = {torch.ops.mkldnn._linear_pointwise: product_flops} if HAS_ONEDNN else {}


def size_of(run, size, reads_text):
    """A size of a run, as `m3ae sizes` counts it."""
    vocab_size = run.settings.data.tokens.vocab_size if reads_text else 0
    return architecture_of_size(run.settings, size, vocab_size)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_parameters_are_those_of_the_model_exactly(changes):
    a = replace(SMALL, **changes)
    with torch.device("meta"):
        counts = count_parameters(M3AE(a))
    assert counts == {"parameters": num_parameters(a), "encoder_parameters": num_encoder_parameters(a)}


@pytest.mark.parametrize("size", COUNTED)
@pytest.mark.parametrize("reads_text", [True, False])
def test_parameters_of_the_papers_sizes_are_those_of_the_model_exactly(in_project, size, reads_text):
    a = size_of(load_run("paper"), size, reads_text)
    with torch.device("meta"):
        counts = count_parameters(M3AE(a))
    assert counts == {"parameters": num_parameters(a), "encoder_parameters": num_encoder_parameters(a)}


@pytest.mark.parametrize(("size", "counted"), COUNTED.items())
def test_the_papers_sizes_cost_what_was_counted_from_the_authors_code(in_project, size, counted):
    a = size_of(load_run("paper"), size, True)
    flops = authors_flops(a)
    got = num_parameters(a) / 1e6, num_encoder_parameters(a) / 1e6, flops.training / 1e12
    assert got == pytest.approx(counted, rel=0.01)


@pytest.mark.parametrize(("size", "blocks", "all_parts"), [("s", 0.75, 0.84), ("b", 0.52, 0.58)])
def test_the_decoders_share_is_what_was_counted(in_project, size, blocks, all_parts):
    flops = authors_flops(size_of(load_run("paper"), size, True))
    assert flops.decoder_share == pytest.approx(blocks, abs=0.005)
    assert flops.decoding_share == pytest.approx(all_parts, abs=0.005)


def counted_by_torch(a, predictions):
    """FLOPs of one training sample as torch counts them: the mean over a batch of two.

    It does not see the gradient of the text head's weight, which is added in place.
    """
    model, text = M3AE(a), {}
    if a.has_text:
        text = {"text": torch.randint(a.vocab_size, (2, a.max_tokens))}
    counter = FlopCounterMode(display=False, custom_mapping=ONEDNN)
    with counter, sdpa_kernel(SDPBackend.MATH):  # the fused kernels of a processor are not counted
        model(torch.randn(2, 3, a.image_px, a.image_px), **text, predictions=predictions).loss.backward()
    hidden = a.max_tokens - num_visible(a.max_tokens, a.text_mask_ratio) if a.has_text else 0
    unseen = 0 if predictions else unseen_flops(a, hidden)
    return counter.get_total_flops() / 2 + unseen


def unseen_flops(a, hidden_words):
    """Of the gradient of the text head's weight."""
    return 2 * hidden_words * a.decoder_width * a.vocab_size


@pytest.mark.parametrize("name", ["m3ae", "m3ae without types", "mae"])
def test_flops_are_torchs_but_for_the_gradient_of_the_pixels(name):
    a = replace(SMALL, **VARIANTS[name])
    ours = training_flops(a)
    assert counted_by_torch(a, predictions=False) == ours.training - ours.embedding


@pytest.mark.parametrize("size", ["s", "b"])
def test_flops_of_the_papers_sizes_are_torchs_within_two_percent(in_project, size):
    a = replace(size_of(load_run("paper"), size, True), depth=2, decoder_depth=1)
    assert counted_by_torch(a, predictions=False) == pytest.approx(training_flops(a).training, rel=0.02)


def test_predictions_cost_what_the_authors_pass_costs_and_heads_on_hidden_tokens_for_the_losses():
    """Predictions are no part of the loss: their heads run forward alone."""
    everywhere, a = authors_flops(SMALL), SMALL
    hidden = training_flops(a).heads
    got = counted_by_torch(a, predictions=True)
    assert got == everywhere.training - everywhere.embedding - 2 * everywhere.heads + 3 * hidden


def test_flops_of_ragged_captions_and_of_texts_alone_are_torchs():
    torch.manual_seed(0)
    model, slots = M3AE(SMALL), SMALL.max_tokens
    text, order = torch.randint(1, SMALL.vocab_size, (2, slots)), torch.rand(2, slots).argsort(dim=1)
    words = plan_words(text, torch.arange(slots) >= torch.tensor([[2], [8]]), order, SMALL.text_mask_ratio)
    tokens = TextTokens(8, words.visible.shape[1], words.hidden.shape[1], len(words.hidden_rows) / 2)
    assert tokens.words < tokens.hidden < slots
    image, patches = torch.randn(2, 3, SMALL.image_px, SMALL.image_px), torch.arange(SMALL.num_patches)
    for given in ((image, patches), (None, None)):
        counter = FlopCounterMode(display=False, custom_mapping=ONEDNN)
        with counter, sdpa_kernel(SDPBackend.MATH):
            model.losses(*given, words).loss.backward()
        ours = training_flops(SMALL, tokens, image=given[0] is not None)
        counted = counter.get_total_flops() / 2 + unseen_flops(SMALL, tokens.words)
        assert counted == pytest.approx(ours.training - ours.embedding)


def test_visible_tokens_are_the_models():
    for tokens in (0, 1, 9, 64, 256):
        for percent in range(101):
            assert visible(tokens, percent / 100) == num_visible(tokens, percent / 100)


def test_docs_sizes_holds_what_the_command_prints(in_project):
    result = CliRunner().invoke(main, ["sizes", "--run", "paper"])
    assert result.exit_code == 0
    assert result.output in (in_project / "docs/sizes.md").read_text()


def test_docs_sizes_holds_the_counts_that_were_made_before(in_project):
    text = (in_project / "docs/sizes.md").read_text()
    for size, (parameters, encoder, tflop) in COUNTED.items():
        assert f"| M3AE {size.upper()} | {parameters} | {encoder} | {tflop:.3f} |" in text


def test_small_runs_have_numbers_other_than_zero(in_project):
    output = CliRunner().invoke(main, ["sizes", "--run", "tiny"]).output
    cells = [cell.strip() for line in output.splitlines()[2:] for cell in line.split("|")[3:7]]
    assert cells
    assert all(float(cell) > 0 for cell in cells)


def test_the_command_needs_no_torch(in_project):
    code = (
        "import sys; from m3ae.cli.main import main;"
        "main(['sizes', '--run', 'paper'], standalone_mode=False);"
        "print('torch' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
