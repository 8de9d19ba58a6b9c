"""Linear layers through oneDNN: the products of fp64, their gradients, and the same bits every time."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from m3ae.model import linear as linear_module
from m3ae.model.linear import LEAST, Linear, suits_onednn

ROWS = (3, 70)


@pytest.fixture(params=[(256, 192), (64, 1024)], ids=["narrower", "wider"])
def layer_and_input(request):
    """The gradient of the weight is computed in two ways, by its shape."""
    torch.manual_seed(0)
    width_in, width_out = request.param
    x = torch.randn(*ROWS, width_in, requires_grad=True)
    assert x.numel() * width_out >= LEAST  # else these tests see torch's own
    return Linear(width_in, width_out), x


def gradients(layer, x):
    x.grad = None
    layer.zero_grad()
    y = layer(x)
    y.sin().sum().backward()
    return y.detach(), x.grad, layer.weight.grad, layer.bias.grad


@pytest.mark.skipif(not linear_module.HAS_ONEDNN, reason="this torch has no oneDNN")
def test_large_fp32_products_and_their_gradients_are_those_of_fp64(layer_and_input):
    layer, x = layer_and_input
    assert suits_onednn(x, layer.weight)
    weight, bias, exact = (t.detach().double().requires_grad_() for t in (layer.weight, layer.bias, x))
    y = exact @ weight.T + bias
    y.sin().sum().backward()
    for got, expected in zip(gradients(layer, x), (y, exact.grad, weight.grad, bias.grad), strict=True):
        torch.testing.assert_close(got, expected.float(), rtol=1e-5, atol=2e-5)


def test_the_same_input_gives_the_same_bits(layer_and_input):
    first, second = gradients(*layer_and_input), gradients(*layer_and_input)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_only_the_gradients_that_are_wanted_are_computed(layer_and_input):
    layer, x = layer_and_input
    layer.requires_grad_(False)
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, layer.weight.sum(dim=0).expand_as(x), rtol=1e-5, atol=1e-5)
    assert layer.weight.grad is layer.bias.grad is None
    with torch.no_grad():
        assert not layer(x).requires_grad


def test_bf16_small_and_compiled_products_are_torchs(layer_and_input):
    layer, x = layer_and_input
    assert not suits_onednn(x.bfloat16(), layer.weight.bfloat16())
    assert not suits_onednn(x[:1, :1], layer.weight)
    assert not suits_onednn(x.to("meta"), layer.weight.to("meta"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not suits_onednn(x, layer.weight)
        assert layer(x).dtype == torch.bfloat16


def test_shapes_are_known_without_values():
    with FakeTensorMode():
        layer, x = Linear(64, 1024), torch.randn(*ROWS, 64, requires_grad=True)
        layer(x).sum().backward()
        assert x.grad.shape == x.shape
        assert layer.weight.grad.shape == (1024, 64)
