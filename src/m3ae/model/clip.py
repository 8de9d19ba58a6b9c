"""CLIP: an image tower and a text tower, trained to find each other's captions (Radford et al. 2021).

After SLIP's CLIP (Mu et al., arXiv 2112.12750), whose number the paper prints, on the same blocks as M3AE.
What differs from SLIP is in docs/fidelity.md, item 43.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from m3ae.model.architecture import Architecture, TextArchitecture
from m3ae.model.blocks import Transformer, init_linear, init_normal
from m3ae.model.linear import Linear
from m3ae.model.m3ae import M3AE


class TextTower(nn.Module):
    """Words to one vector: CLS in front, padding never seen.

    Words and positions begin as small as in SLIP's models.py: beside fixed positions, of amplitude 1, words
    of 0.02 are hardly seen, and both towers give the same vector for everything until the words have grown.
    """

    def __init__(self, a: TextArchitecture, mlp_ratio: int, gelu: str) -> None:
        super().__init__()
        self.word_embedding = nn.Embedding(a.vocab_size, a.width)
        self.cls_token = nn.Parameter(torch.empty(a.width))
        self.encoder = Transformer(a.width, a.depth, a.num_heads, mlp_ratio, gelu)
        self.positions = nn.Parameter(torch.empty(a.max_tokens, a.width))
        self.apply(init_linear)
        init_normal(self.cls_token)
        nn.init.normal_(self.word_embedding.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)

    def forward(
        self, text: Int[Tensor, "batch words"], padding: Bool[Tensor, "batch words"]
    ) -> Float[Tensor, "batch width"]:
        """CLS after the last LayerNorm."""
        x = self.word_embedding(text) + self.positions[: text.shape[1]]
        x = torch.cat([self.cls_token.to(x.dtype).expand(len(x), 1, -1), x], dim=1)
        return self.encoder(x, F.pad(padding, (1, 0), value=False))[:, 0]


class CLIP(nn.Module):
    """Both towers, their projections, and the learned factor of the similarities."""

    def __init__(self, image: Architecture, text: TextArchitecture) -> None:
        super().__init__()
        self.architecture, self.text_architecture = image, text
        self.image_tower = M3AE(image)
        self.text_tower = TextTower(text, image.mlp_ratio, image.gelu)
        self.image_projection = Linear(image.width, text.embedding_dim)
        self.text_projection = Linear(text.width, text.embedding_dim)
        self.log_scale = nn.Parameter(torch.tensor([-math.log(text.temperature)]))  # FSDP cuts no scalar
        init_linear(self.image_projection)
        init_linear(self.text_projection)

    def embed_image(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Images, normalised as in training, as unit vectors."""
        return F.normalize(self.image_projection(self.image_tower.encode(image)[:, 0]).float(), dim=-1)

    def embed_text(
        self, text: Int[Tensor, "batch words"], padding: Bool[Tensor, "batch words"]
    ) -> Float[Tensor, "batch dim"]:
        """Captions as unit vectors; ``padding`` is True where a slot is empty."""
        return F.normalize(self.text_projection(self.text_tower(text, padding)).float(), dim=-1)

    def scale(self) -> Float[Tensor, ""]:
        """The factor of the similarities, 1 / temperature, between 1 and the maximum."""
        self.limit_scale()
        return self.log_scale.exp().squeeze(0)

    @torch.no_grad()
    def limit_scale(self) -> None:
        """Bring the factor back between its limits, as SLIP's main.py does after each step."""
        self.log_scale.clamp_(0, math.log(self.text_architecture.max_scale))
