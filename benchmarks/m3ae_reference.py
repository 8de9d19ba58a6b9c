"""An M3AE step that computes everything, to measure ours against: all slots, all positions, all logits.

The same parameters and the same losses; plain blocks, as our own were before the lean pass
(src/m3ae/model/lean.py).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE
from m3ae.model.patches import to_patches

Orders = tuple[Tensor, Tensor]  # of patches and of slots


class PlainBlock(nn.Module):
    """A pre-norm block on all tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, is_key: Tensor | None) -> Tensor:
        """One block."""
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*qkv.unbind(0), attn_mask=is_key)
        x = x + self.proj(seen.transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate="tanh"))


class PlainTransformer(nn.Module):
    """A stack of blocks and a last LayerNorm."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(PlainBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        """All tokens."""
        is_key = None if padding is None else ~padding[:, None, None, :]
        for block in self.blocks:
            x = block(x, is_key)
        return self.norm(x)


class PlainM3AE(M3AE):
    """The model with plain blocks and plain linear layers."""

    def __init__(self, a: Architecture) -> None:
        super().__init__(a)
        self.encoder = PlainTransformer(a.width, a.depth, a.num_heads)
        self.decoder = PlainTransformer(a.decoder_width, a.decoder_depth, a.decoder_num_heads)
        self.patch_embedding = nn.Linear(a.patch_values, a.width)
        self.decoder_embedding = nn.Linear(a.width, a.decoder_width)
        self.image_head = nn.Linear(a.decoder_width, a.patch_values)

    def whole_loss(self, image: Tensor, text: Tensor, padding: Tensor, orders: Orders) -> Tensor:
        """The loss, from predictions of every patch and every slot."""
        a = self.architecture
        encoded = self.encode_visible(image, text, padding, orders, (a.image_mask_ratio, a.text_mask_ratio))
        decoded = self.decode(encoded, padding)
        errors = (self.image_head(decoded.image) - to_patches(image, a.patch_px)).square().mean(dim=-1)
        image_hidden = encoded.image_shuffle.is_hidden.float()
        image_loss = ((errors * image_hidden).sum(dim=1) / image_hidden.sum(dim=1)).mean()
        logits = self.text_head(decoded.text).float()
        entropy = F.cross_entropy(logits.flatten(0, 1), text.flatten(), reduction="none").view(text.shape)
        counts = (encoded.text_shuffle.is_hidden & ~padding).float()
        text_loss = ((entropy * counts).sum(dim=1) / counts.sum(dim=1).clamp(min=1)).mean()
        return a.image_loss_weight * image_loss + a.text_loss_weight * text_loss


def as_plain(model: M3AE) -> PlainM3AE:
    """The plain model with the weights of ``model``."""
    plain = PlainM3AE(model.architecture)
    names = {".attn.qkv.": ".qkv.", ".attn.proj.": ".proj."}
    state = model.state_dict()
    for long, short in names.items():
        state = {name.replace(long, short): value for name, value in state.items()}
    plain.load_state_dict(state)
    return plain


def same_loss(model: M3AE, image: Tensor, text: Tensor, padding: Tensor, orders: Orders) -> bool:
    """Whether ``as_plain(model)`` gives the loss of ``model.forward``: the comparison is of equals."""
    with torch.no_grad():
        plain = as_plain(model).whole_loss(image, text, padding, orders)
        return bool(torch.isclose(plain, model(image, text, padding, *orders).loss, rtol=1e-5))
