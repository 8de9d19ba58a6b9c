"""What a model was trained as, and what of it is not converted: a masked autoencoder is not the only kind."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Method:
    """How a model's card and `m3ae weights show` speak of it."""

    name: str
    tags: tuple[str, ...]
    """On the hub."""
    paper: str
    left_out: str = ""
    """What its file holds beside the encoder, and nothing here reads."""


M3AE_PAPER = "Geng et al. 2022, arXiv 2205.14204"
M3AE = Method("M3AE", ("masked-autoencoder", "vision-language"), M3AE_PAPER)
MAE = Method("MAE", ("masked-autoencoder", "vision"), M3AE_PAPER)
BASELINES = {
    "clip": Method(
        "CLIP",
        ("clip", "vision"),
        "Radford et al. 2021, arXiv 2103.00020, after SLIP (Mu et al. 2021, arXiv 2112.12750)",
        "its text tower and the projections of both towers: this is the image tower alone, and reads no text",
    ),
    "supervised": Method(
        "supervised ViT",
        ("supervised", "vision"),
        "Touvron et al. 2021, arXiv 2012.12877 (DeiT)",
        "its head: this is the encoder alone, and names no class",
    ),
}


def baseline_of(origin: dict[str, Any], *stated: Any) -> dict[str, str]:
    """`method` for an origin, of the first statement that names a baseline; timm's models are supervised."""
    for method in (origin.get("method"), *stated, "supervised" if origin.get("kind") == "timm" else None):
        if isinstance(method, str) and method in BASELINES:
            return {"method": method}
    return {}


def method_of(origin: dict[str, Any], has_text: bool) -> Method:
    """The method that a model's origin names; a masked autoencoder where it names none."""
    baseline = baseline_of(origin).get("method")
    return BASELINES[baseline] if baseline else M3AE if has_text else MAE
