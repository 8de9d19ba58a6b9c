"""One contender of step.py in a process of its own: it takes a step whenever it is told to.

    python benchmarks/step_worker.py NAME

Prints "ready FLOPS" after two steps to warm up; then, for each line it reads, the seconds of one step; at the
end of its input the most memory it ever used (GiB).
"""

import resource
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

import m3ae_reference
import torch

from m3ae.model.architecture import Architecture
from m3ae.model.cost import TextTokens, training_flops
from m3ae.model.m3ae import M3AE
from m3ae.model.words import Words, plan_words
from m3ae.train.processor import prepare_processor

BATCH, THREADS = 16, 2
MAE = Architecture(
    width=768, depth=12, num_heads=12, image_px=224, vocab_size=0, type_embedding=False, gelu="exact"
)  # as timm's blocks compute
PAIRS = Architecture(width=768, depth=12, num_heads=12, image_px=256, vocab_size=30522, max_tokens=64)
RECIPE = {"lr": 1e-4, "betas": (0.9, 0.95), "weight_decay": 0.05}
Loss = Callable[[], torch.Tensor]


class Batch:
    """Random images, and captions of 6 to 30 words in 64 slots."""

    def __init__(self, a: Architecture) -> None:
        self.image = torch.randn(BATCH, 3, a.image_px, a.image_px)
        self.image_order = torch.rand(BATCH, a.num_patches).argsort(dim=1)
        lengths = torch.randint(6, 31, (BATCH, 1))
        self.padding = torch.arange(a.max_tokens) >= lengths
        self.text = torch.randint(1, 30522, (BATCH, a.max_tokens)).masked_fill(self.padding, 0)
        self.text_order = torch.rand(BATCH, a.max_tokens).argsort(dim=1)


def loss_of(name: str) -> tuple[torch.nn.Module, Loss, float]:
    """The model of a contender, its loss, and the FLOPs of its step where they are ours (else 0)."""
    torch.manual_seed(0)
    if name == "mae-plain":
        import mae_reference

        plain, batch = mae_reference.PlainMAE(MAE), Batch(MAE)
        assert mae_reference.same_loss(plain, batch.image, batch.image_order)
        return plain, lambda: plain(batch.image), 0.0
    a = MAE if name.startswith("mae") else PAIRS
    model, batch = M3AE(a), Batch(a)
    if name == "m3ae-plain":
        given = batch.image, batch.text, batch.padding, (batch.image_order, batch.text_order)
        assert m3ae_reference.same_loss(model, *given)
        whole = m3ae_reference.as_plain(model)
        return whole, lambda: whole.whole_loss(*given), 0.0

    def plan() -> Words | None:
        order = batch.text_order
        return plan_words(batch.text, batch.padding, order, a.text_mask_ratio) if a.has_text else None

    return model, lambda: model.losses(batch.image, batch.image_order, plan()).loss, flops(a, plan())


def flops(a: Architecture, words: Words | None) -> float:
    """Of our step: what is computed, without the gradient of pixels, which is not."""
    tokens = None
    if words is not None:
        per_text = len(words.hidden_rows) / BATCH
        tokens = TextTokens(words.text.shape[1], words.visible.shape[1], words.hidden.shape[1], per_text)
    cost = training_flops(a, tokens)
    return BATCH * (cost.training - cost.embedding)


def main(name: str) -> None:
    """Prepare, warm up, obey."""
    ours = not name.endswith("plain")
    if ours:
        prepare_processor()
    torch.set_num_threads(THREADS)
    model, loss, count = loss_of(name)
    optimizer = torch.optim.AdamW(model.parameters(), **RECIPE, **({"fused": True} if ours else {}))

    def step() -> float:
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16) if name.endswith("bf16") else nullcontext():
            value = loss()
        value.backward()
        optimizer.step()
        return time.perf_counter() - began

    step(), step()
    print("ready", count, flush=True)
    for _ in sys.stdin:
        print(step(), flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
