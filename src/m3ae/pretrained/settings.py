"""What a model's settings may be: one check, for configurations and for settings that replace a file's."""

import math
from dataclasses import fields
from typing import Any, get_args

from m3ae.errors import UserError
from m3ae.model.architecture import Architecture

MAY_BE_ZERO = ("decoder_width", "decoder_depth", "decoder_num_heads", "vocab_size", "max_tokens")
SHARES = ("image_mask_ratio", "text_mask_ratio")


def check_settings(settings: dict[str, Any]) -> None:
    """Raise UserError (a ValueError), one line, if no model can have these values of `Architecture`."""
    for field in fields(Architecture):
        check_type(field.name, field.type, settings[field.name])
    for prefix in ("", "decoder_") if settings["decoder_width"] else ("",):
        check_stack(prefix, *(settings[f"{prefix}{name}"] for name in ("width", "depth", "num_heads")))
    image_px, patch_px = settings["image_px"], settings["patch_px"]
    if image_px % patch_px:
        raise UserError(f"patch_px: expected a divisor of image_px = {image_px}, got {patch_px}")


def check_type(name: str, kind: Any, value: Any) -> None:
    """Raise UserError unless ``value`` is of the type that the setting has, exactly: 4.0 and "no" are not."""
    if kind is int:
        check_count(name, value, least=0 if name in MAY_BE_ZERO else 1)
        return
    if kind is bool:
        is_right, expected = type(value) is bool, "true or false"
    elif kind is float:
        most = 1 if name in SHARES else math.inf
        is_right = type(value) in (int, float) and 0 <= value <= most and math.isfinite(value)
        expected = "a share from 0 to 1" if name in SHARES else "a number from 0 on"
    else:
        choices = get_args(kind)
        is_right, expected = value in choices, " or ".join(choices)
    if not is_right:
        raise UserError(f"{name}: expected {expected}, got {shown(value)}")


def check_count(name: str, value: Any, least: int) -> None:
    """Raise UserError unless ``value`` is a whole number of at least ``least``."""
    if type(value) is not int or value < least:
        raise UserError(f"{name}: expected a whole number from {least} on, got {shown(value)}")


def check_stack(prefix: str, width: int, depth: int, num_heads: int) -> None:
    """Raise UserError unless a transformer can be this wide, with so many blocks and heads."""
    if num_heads < 1 or width % num_heads or width % 4:
        raise UserError(
            f"{prefix}num_heads: expected a divisor of {prefix}width = {width}, itself a multiple of 4, "
            f"got {num_heads}"
        )
    if depth < 1:
        raise UserError(f"{prefix}depth: expected a whole number from 1 on, got {depth}")


def check_view(image_mean: Any, image_std: Any) -> None:
    """Raise UserError unless images can be normalised with these."""
    for name, values in {"image_mean": image_mean, "image_std": image_std}.items():
        numbers = isinstance(values, list | tuple) and all(type(value) in (int, float) for value in values)
        if not numbers or len(values) != 3 or not all(map(math.isfinite, values)):
            raise UserError(
                f"{name}: expected three numbers, one for each of R, G and B, got {shown(values)}"
            )
    if not all(value > 0 for value in image_std):
        raise UserError(f"image_std: expected numbers above 0, got {shown(image_std)}")


def shown(value: Any) -> str:
    """A value within a line of an error."""
    return repr(value)[:60]
