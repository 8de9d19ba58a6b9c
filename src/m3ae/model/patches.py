"""Images to patches and back."""

from jaxtyping import Float
from torch import Tensor


def to_patches(
    image: Float[Tensor, "batch 3 height width"], patch_px: int
) -> Float[Tensor, "batch n values"]:
    """Cut an image into square patches, each a vector in the order (row, column, channel).

    Patches run row by row. Raises ValueError unless both sides are multiples of ``patch_px``.
    Follows ``extract_patches`` of the authors' model.py.
    """
    batch, channels, height, width = image.shape
    if height % patch_px or width % patch_px:
        raise ValueError(f"expected sides that are multiples of {patch_px} px, got {height} x {width}")
    rows, columns = height // patch_px, width // patch_px
    grid = image.reshape(batch, channels, rows, patch_px, columns, patch_px)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, patch_px * patch_px * channels)


def to_image(patches: Float[Tensor, "batch n values"], patch_px: int) -> Float[Tensor, "batch 3 side side"]:
    """Put the patches of a square image together again: the inverse of ``to_patches``."""
    batch, count, _ = patches.shape
    side = round(count**0.5)
    if side * side != count:
        raise ValueError(f"expected the patches of a square image, got {count}")
    grid = patches.reshape(batch, side, side, patch_px, patch_px, 3)
    return grid.permute(0, 5, 1, 3, 2, 4).reshape(batch, 3, side * patch_px, side * patch_px)
