"""An encoder as torch's graphs and functions: traced and exported it takes any batch, from any tensors."""

import warnings

import jaxtyping
import pytest
import torch
from torch import nn
from torch.func import functional_call

from m3ae.model.architecture import Architecture
from m3ae.model.linear import LEAST
from m3ae.model.m3ae import M3AE

SMALL = Architecture(
    width=256, depth=2, num_heads=4, decoder_width=32, decoder_depth=1, decoder_num_heads=2,
    image_px=32, patch_px=8, vocab_size=50, max_tokens=8,
)  # fmt: skip
TRACED = 24  # rows; of so many, products are large enough for oneDNN, and of one row too small


class Encoder(nn.Module):
    """`M3AE.encode` as a module."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *inputs):
        return self.model.encode(*inputs)


@pytest.fixture
def model():
    return M3AE(SMALL).eval().requires_grad_(False)


@pytest.fixture
def unchecked():
    """Without jaxtyping's checks: a size that a graph leaves open is no int."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def pair(rows):
    padding = torch.arange(8).expand(rows, 8) >= 5
    return torch.randn(rows, 3, 32, 32), torch.randint(1, 50, (rows, 8)), padding


def same_for_every_batch(graph, encoder, count):
    for rows in (1, 3, TRACED, 40):
        inputs = pair(rows)[:count]
        torch.testing.assert_close(graph(*inputs), encoder(*inputs), rtol=0, atol=1e-5)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("count", [1, 3], ids=["images", "pairs"])
def test_a_traced_encoder_takes_any_batch(model, count):
    assert 25 * TRACED * 256 * 256 >= LEAST > 25 * 256 * 256
    encoder = Encoder(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the checks of sizes become constants; and that trace is old
        graph = torch.jit.trace(encoder, pair(TRACED)[:count], check_trace=False)
    same_for_every_batch(graph, encoder, count)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("count", [1, 3], ids=["images", "pairs"])
def test_an_exported_encoder_takes_any_batch(model, count):
    encoder = Encoder(model)
    dynamic = (({0: torch.export.Dim("rows", min=1, max=64)},) * count,)  # of *inputs
    program = torch.export.export(encoder, pair(TRACED)[:count], dynamic_shapes=dynamic)
    same_for_every_batch(program.module(), encoder, count)


def losses_as_functions(model, **inputs):
    """The loss as a function of the parameters, and its gradients by a backward pass."""
    plain = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    expected = model(**inputs).loss
    expected.backward()
    gradients = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in model.named_parameters()
    }
    return lambda parameters: functional_call(model, parameters, (), inputs).loss, plain, expected, gradients


@pytest.mark.parametrize("predictions", [True, False])
def test_parameters_may_be_any_tensors(predictions):
    image, text, padding = pair(TRACED)
    inputs = {"image": image, "text": text, "padding": padding, "predictions": predictions}
    inputs |= {"image_order": torch.randperm(16), "text_order": torch.randperm(8)}
    loss, plain, expected, gradients = losses_as_functions(M3AE(SMALL), **inputs)
    assert loss(plain) == expected.detach()
    if predictions:  # the loss in parts is a function of its own, without torch.func's
        for name, gradient in torch.func.grad(loss)(plain).items():
            torch.testing.assert_close(gradient, gradients[name], rtol=1e-4, atol=1e-6, msg=name)
