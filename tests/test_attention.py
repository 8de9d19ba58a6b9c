"""Attention: every path gives softmax(q k / sqrt(d)) v over the keys that count."""

import math

import pytest
import torch

from m3ae.model.blocks import SHORT, attend


def naive(query, key, value, counts):
    """One query at a time."""
    out = torch.zeros_like(query)
    for b, h, i in torch.cartesian_prod(*(torch.arange(n) for n in query.shape[:3])).tolist():
        scores = (key[b, h] @ query[b, h, i] / math.sqrt(query.shape[-1]))[counts[b]]
        out[b, h, i] = scores.softmax(0) @ value[b, h][counts[b]]
    return out


@pytest.mark.parametrize("tokens", [7, SHORT + 1])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_attention_is_the_textbooks(tokens, dtype, tolerance):
    tensors = [torch.randn(2, 2, tokens, 8).to(dtype) for _ in range(3)]
    counts = torch.ones(2, tokens, dtype=torch.bool)
    counts[1, tokens // 2 :] = False
    got = attend(*tensors, counts[:, None, None, :])
    assert torch.allclose(got.float(), naive(*(t.float() for t in tensors), counts), atol=tolerance)
