"""What a careful person writes first: an MAE of timm's blocks in plain PyTorch, to measure our step against.

He et al. 2021: a mask for each image, an encoder of the visible patches, a decoder of all tokens with its
head on all of them, the error over hidden patches. Eager, nothing fused by hand.
"""

from functools import partial

import torch
from torch import Tensor, nn

from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE
from m3ae.model.patches import to_patches
from m3ae.model.positions import patch_positions
from m3ae.torchvision_ops import make_importable

make_importable()
from timm.models.vision_transformer import Block, PatchEmbed  # noqa: E402

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


class PlainMAE(nn.Module):
    """The MAE of an architecture, its linear layers initialised as timm does."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.a = a
        self.patch_embed = PatchEmbed(a.image_px, a.patch_px, 3, a.width)
        self.cls_token = nn.Parameter(torch.randn(1, 1, a.width) * 0.02)
        self.blocks = blocks(a.width, a.depth, a.num_heads, a.mlp_ratio)
        self.norm = LayerNorm(a.width)
        self.decoder_embed = nn.Linear(a.width, a.decoder_width)
        self.mask_token = nn.Parameter(torch.randn(1, 1, a.decoder_width) * 0.02)
        self.decoder_blocks = blocks(a.decoder_width, a.decoder_depth, a.decoder_num_heads, a.mlp_ratio)
        self.decoder_norm = LayerNorm(a.decoder_width)
        self.head = nn.Linear(a.decoder_width, a.patch_values)
        self.register_buffer("positions", patch_positions(a.width, a.num_patches))
        self.register_buffer("decoder_positions", patch_positions(a.decoder_width, a.num_patches))

    def forward(self, image: Tensor, order: Tensor | None = None) -> Tensor:
        """The loss of a batch; ``order`` replaces the random one of each image's patches."""
        x = self.patch_embed(image) + self.get_buffer("positions")
        batch, patches, _ = x.shape
        order = torch.rand(batch, patches).argsort(dim=1) if order is None else order
        restore = order.argsort(dim=1)
        visible = int(patches * (1 - self.a.image_mask_ratio))
        x = x.gather(1, order[:, :visible, None].expand(-1, -1, x.shape[2]))
        x = self.norm(self.blocks(torch.cat([self.cls_token.expand(batch, -1, -1), x], dim=1)))
        x = self.decoder_embed(x)
        hidden = self.mask_token.expand(batch, patches - visible, -1)
        tokens = torch.cat([x[:, 1:], hidden], dim=1)
        tokens = tokens.gather(1, restore[:, :, None].expand(-1, -1, tokens.shape[2]))
        tokens = tokens + self.get_buffer("decoder_positions")
        x = self.decoder_norm(self.decoder_blocks(torch.cat([x[:, :1], tokens], dim=1)))
        errors = (self.head(x[:, 1:]) - to_patches(image, self.a.patch_px)).square().mean(dim=-1)
        is_hidden = (restore >= visible).float()
        return (errors * is_hidden).sum() / is_hidden.sum()


def blocks(width: int, depth: int, heads: int, mlp_ratio: int) -> nn.Sequential:
    """timm's pre-norm blocks."""
    return nn.Sequential(
        *(Block(width, heads, mlp_ratio, qkv_bias=True, norm_layer=LayerNorm) for _ in range(depth))
    )


RENAMED = {
    "decoder_embed.": "decoder_embedding.",
    "decoder_blocks.": "decoder.blocks.",
    "decoder_norm.": "decoder.norm.",
    "head.": "image_head.",
    "blocks.": "encoder.blocks.",
    "norm.": "encoder.norm.",
}


def as_ours(plain: PlainMAE) -> M3AE:
    """Our model with the weights of ``plain``."""
    state = {
        "cls_token": plain.cls_token.flatten(),
        "image_mask_token": plain.mask_token.flatten(),
        "patch_embedding.weight": plain.patch_embed.proj.weight.permute(0, 2, 3, 1).flatten(1),
        "patch_embedding.bias": plain.patch_embed.proj.bias,
    }
    for name, value in plain.named_parameters():
        for theirs, ours in RENAMED.items():
            if name.startswith(theirs):
                state[ours + name.removeprefix(theirs).replace("mlp.", "")] = value
    model = M3AE(plain.a)
    model.load_state_dict(state)
    return model


def same_loss(plain: PlainMAE, image: Tensor, order: Tensor) -> bool:
    """Whether our training pass gives the loss of ``plain``: the comparison is of equals."""
    with torch.no_grad():
        ours = as_ours(plain).losses(image, order, None).loss
        return bool(torch.isclose(plain(image, order), ours, rtol=1e-5))
