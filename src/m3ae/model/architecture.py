"""The facts that fix a model: its widths, its tokens, its masking and its losses."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Architecture:
    """Everything that an M3AE needs to be built.

    ``vocab_size=0`` makes it an MAE, which reads images alone; ``decoder_width=0`` an encoder alone, which
    represents and has no loss.
    """

    width: int
    depth: int
    num_heads: int
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_num_heads: int = 16
    mlp_ratio: int = 4
    image_px: int = 256
    """Side of the images it was trained on; any other square of whole patches works too."""
    patch_px: int = 16
    vocab_size: int = 30522
    max_tokens: int = 64
    type_embedding: bool = True
    gelu: Literal["tanh", "exact"] = "tanh"
    image_mask_ratio: float = 0.75
    text_mask_ratio: float = 0.75
    mask_scope: Literal["sample", "batch"] = "sample"
    norm_pix_loss: bool = False
    image_loss_weight: float = 1.0
    text_loss_weight: float = 0.5
    positions: Literal["sincos", "learned"] = "sincos"
    """Of an image's patches in the encoder: a formula, or a table that is among the weights."""

    @property
    def num_patches(self) -> int:
        """Patches of an image (tokens)."""
        return (self.image_px // self.patch_px) ** 2

    @property
    def patch_values(self) -> int:
        """Values of a patch: rows x columns x 3 channels."""
        return self.patch_px**2 * 3

    @property
    def has_text(self) -> bool:
        """Whether the model reads words at all."""
        return self.vocab_size > 0

    @property
    def has_decoder(self) -> bool:
        """Whether the model can rebuild what was hidden; without, it is an encoder alone."""
        return self.decoder_width > 0

    def plain(self) -> dict[str, Any]:
        """As a dict of JSON types; without `positions` where they are a formula, as files always were."""
        facts = asdict(self)
        if self.positions == "sincos":
            del facts["positions"]
        return facts


@dataclass(frozen=True)
class TextArchitecture:
    """The facts that fix what CLIP has beside its image tower."""

    width: int
    depth: int
    num_heads: int
    vocab_size: int
    max_tokens: int
    embedding_dim: int
    temperature: float = 0.07
    max_scale: float = 100.0

    def plain(self) -> dict[str, Any]:
        """As a dict of JSON types."""
        return asdict(self)
