"""An open, end-to-end reproduction of M3AE (arXiv 2205.14204)."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["M3AEConfig", "M3AEForPreTraining", "M3AEProcessor", "load_pretrained"]

if TYPE_CHECKING:
    from m3ae.pretrained.huggingface import M3AEConfig, M3AEForPreTraining
    from m3ae.pretrained.load import load_pretrained
    from m3ae.pretrained.processor import M3AEProcessor

PUBLIC = {
    "M3AEConfig": "huggingface",
    "M3AEForPreTraining": "huggingface",
    "M3AEProcessor": "processor",
    "load_pretrained": "load",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: torch and transformers take seconds to import."""
    if name not in PUBLIC:
        raise AttributeError(f"module 'm3ae' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"m3ae.pretrained.{PUBLIC[name]}"), name)
