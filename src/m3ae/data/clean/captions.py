"""Captions: normalised text, and the reasons for which one is rejected."""

import html
import unicodedata
from collections.abc import Sequence

from m3ae.config.data import Clean
from m3ae.data.clean.rejects import RejectionError


def normalise_caption(text: str) -> str:
    """HTML entities unescaped, Unicode NFC, control characters and white space to single spaces.

    CC12M's `<PERSON>`, which stands for a removed name, stays as it is.
    """
    text = unicodedata.normalize("NFC", html.unescape(text))
    # Cc: control characters; Cs: lone halves of surrogate pairs, which UTF-8 cannot hold.
    spaced = (" " if unicodedata.category(char) in ("Cc", "Cs") else char for char in text)
    return " ".join("".join(spaced).split())


def fit_captions(captions: Sequence[str], settings: Clean) -> list[str]:
    """The captions that may stay, normalised, in their order.

    Raises RejectionError, with the reason of the first caption, if none may.
    """
    texts = [normalise_caption(caption) for caption in captions] or [""]
    reasons = [caption_reason(text, settings) for text in texts]
    fit = [text for text, reason in zip(texts, reasons, strict=True) if reason is None]
    if not fit:
        assert reasons[0] is not None
        raise RejectionError(reasons[0], f"{len(texts[0])} characters")
    return fit


def caption_reason(text: str, settings: Clean) -> str | None:
    """Why a normalised caption is rejected; None if it is not."""
    if not text:
        return "caption_empty"
    if len(text) < settings.min_caption_chars:
        return "caption_too_short"
    if len(text) > settings.max_caption_chars:
        return "caption_too_long"
    return None
