"""What must hold of the settings of a row, as its pre-training sees them, and of CLIP's."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from m3ae.config.rows import REBUILDS, taken_weights
from m3ae.config.training import Clip

if TYPE_CHECKING:
    from m3ae.config.models import RunSettings


def check_row(name: str, row: "RunSettings") -> None:
    """Raise ValueError unless the settings of the row ``name`` fit together, and train it."""
    check_mixture(name, row)
    image, patch_px = row.data.image, row.architecture.patch_px
    if image.size_px % patch_px:
        raise ValueError(
            f"architecture.patch_px: expected a divisor of data.image.size_px = {image.size_px}, "
            f"got {patch_px} ({name})"
        )
    check_steps(name, row)
    if row.models[name].method in REBUILDS:
        check_masks(name, row)
    if row.models[name].method == "clip" and row.pretrain.random_drop_text == 1:
        raise ValueError(
            "pretrain.random_drop_text: expected less than 1 for a CLIP, which learns from captions alone, "
            f"got 1.0 ({name}); lower it, or remove the row"
        )


def check_temperature(clip: Clip) -> None:
    """Raise unless CLIP can begin where it is told to: its first step brings the scale between its limits."""
    if not 1 <= 1 / clip.temperature <= clip.max_scale:
        raise ValueError(
            f"clip.temperature: expected 1 / temperature from 1 to clip.max_scale = {clip.max_scale}, "
            f"got temperature {clip.temperature}; change either"
        )


def check_mixture(name: str, row: "RunSettings") -> None:
    """Raise unless each kind of sample has a source and a loss."""
    mixture = row.pretrain.mixture
    for kind in ("images", "texts"):
        if getattr(mixture, kind) > 0 and getattr(row.data, kind) is None:
            raise ValueError(
                f"pretrain.mixture.{kind}: expected 0 without data.{kind}, "
                f"got {getattr(mixture, kind)} ({name}); name a source in data.{kind}"
            )
    if mixture.texts > 0 and not row.pretrain.unpaired_text_loss_weight:
        raise ValueError(
            "pretrain.unpaired_text_loss_weight: expected more than 0 where the mixture has texts "
            f"({name}), got 0.0; set a weight, or pretrain.mixture.texts to 0"
        )


def check_steps(name: str, row: "RunSettings") -> None:
    """Raise if a row that is to be trained takes no step: its untrained encoder would count as trained."""
    model = row.models[name]
    steps = int(model.epochs * (row.samples_per_epoch / row.batch_size))  # as train/schedule.py
    if model.epochs > 0 and steps == 0 and not taken_weights(row, model):
        raise ValueError(
            f"models.{name}.epochs: expected 0 (untrained), or at least one step of batch_size = "
            f"{row.batch_size}, got {model.epochs} epochs of {row.samples_per_epoch} samples; raise it"
        )


def check_masks(name: str, row: "RunSettings") -> None:
    """Raise if a mask ratio hides no token, or no patch would be left to see."""
    for key, of, tokens, ratio, least in masks(name, row):
        seen = int(tokens * (1 - ratio))  # as model/masking.py
        if not least <= seen < tokens:
            raise ValueError(
                f"{key}: expected a ratio that hides some of {tokens} {of}"
                f"{' and leaves some' * least}, got {ratio}, which hides {tokens - seen} ({name})"
            )


def masks(name: str, row: "RunSettings") -> Iterator[tuple[str, str, int, float, int]]:
    """For each modality of a row: its key, what is hidden, of how many, the ratio, and what must be left."""
    recipe, model, side = row.pretrain, row.models[name], row.data.image.size_px // row.architecture.patch_px
    yield "pretrain.image_mask_ratio", "patches", side**2, recipe.image_mask_ratio, 1
    if model.method == "m3ae":
        place = "pretrain" if model.text_mask_ratio is None else f"models.{name}"
        slots = row.data.tokens.max_tokens
        yield f"{place}.text_mask_ratio", "word slots", slots, recipe.text_mask_ratio, 0
