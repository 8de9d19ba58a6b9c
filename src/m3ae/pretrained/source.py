"""What every kind of file is turned into: an architecture, our tensors, and where they came from."""

import difflib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from m3ae.errors import UserError
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import assemble
from m3ae.pretrained.settings import check_settings

CC12M = {
    "image_mean": [0.5762, 0.5503, 0.5213],
    "image_std": [0.3207, 0.3169, 0.3307],
}  # the authors' data.py
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}  # Facebook's MAE

# Heads by width, where a file does not name them: the authors' get_transformer_by_config and Facebook's
# models (the decoder of both is 512 wide with 16 heads).
HEADS = {384: 6, 512: 16, 768: 12, 1024: 16, 1280: 16}

# The field's names for settings of ours.
ALIASES = {
    "hidden_size": "width",
    "num_hidden_layers": "depth",
    "num_attention_heads": "num_heads",
    "image_size": "image_px",
    "patch_size": "patch_px",
}
SETTINGS = [setting.name for setting in fields(Architecture)]


@dataclass(frozen=True)
class Source:
    """A file's weights as ours."""

    architecture: Architecture
    tensors: dict[str, Tensor]
    origin: dict[str, Any]
    """`kind` (authors, facebook, ours), the file's name, and what else it says about itself."""
    view: dict[str, list[float]] = field(default_factory=lambda: CC12M)
    """Mean and standard deviation that images were normalised with."""

    def core(self, path: Path | str) -> M3AE:
        """The model, in eval mode; errors name ``path``."""
        return assemble(self.architecture, self.tensors, path).eval()


def known_settings(overrides: dict[str, Any]) -> dict[str, Any]:
    """Overrides under our names. Raises UserError for one that is no setting of a model."""
    known = {}
    for name, value in overrides.items():
        setting = ALIASES.get(name, name)
        if setting not in SETTINGS:
            close = difflib.get_close_matches(name, SETTINGS + list(ALIASES), n=1)
            hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(SETTINGS)}"
            raise UserError(f"{name}: no setting of a model; {hint}")
        known[setting] = value
    return known


def heads_of(width: int, setting: str, overrides: dict[str, Any], path: Path | str) -> int:
    """Attention heads that a file does not name: as overridden, else by the table of widths."""
    heads = overrides.get(setting, HEADS.get(width))
    if heads is None:
        raise UserError(
            f"{path}: expected {setting}, which the file does not name and no known model of width {width} "
            f"tells; give it: load_pretrained(..., {setting}=...) or --set {setting}=..."
        )
    if type(heads) is not int or heads < 1 or width % heads:
        raise UserError(f"{path}: {setting}: expected a divisor of the width {width}, got {heads!r}")
    return heads


def with_overrides(architecture: Architecture, overrides: dict[str, Any], path: Path | str) -> Architecture:
    """The architecture with the settings that a user gave in place of the file's.

    Raises UserError, one line that names ``path``, if no model can have them.
    """
    try:
        check_settings(asdict(architecture) | overrides)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return replace(architecture, **overrides)
