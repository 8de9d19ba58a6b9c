"""Captions: normalised text, and the reasons for which one is rejected."""

import html
import unicodedata
from collections.abc import Sequence

from m3ae.config.data import Clean
from m3ae.data.clean.reasons import RejectionError

UNESCAPE_ROUNDS = 3  # `&amp;amp;#39;` has passed through three web sites
JOINERS = "\u200c\u200d"  # zero-width non-joiner and joiner: spelling in Persian, Hindi, and in emoji

# Unicode's categories of what no reader sees. Cs is a lone half of a surrogate pair, which UTF-8 cannot hold.
SPACES = ("Cc", "Cs", "Co")  # control characters, surrogates, private use: they stood between words
NOTHINGS = ("Cf",)  # soft hyphens, byte order marks, zero-width spaces, direction marks: they stood within


def normalise_caption(text: str) -> str:
    """Unescape HTML entities, drop what cannot be seen, make white space single spaces; Unicode NFC.

    CC12M's `<PERSON>`, which stands for a removed name, stays as it is.
    """
    text = unescape(text)
    if not text.isprintable():  # so most are: a caption of plain letters is done
        text = "".join(map(visible, text))
    # Before the join: a joiner has a place only between two characters that are seen.
    words = (unicodedata.normalize("NFC", word.strip(JOINERS)) for word in text.split())
    return " ".join(word for word in words if word)


def unescape(text: str) -> str:
    """Undo HTML's entities, also of text that was escaped twice or three times."""
    for _ in range(UNESCAPE_ROUNDS):
        if "&" not in text:
            break
        text = html.unescape(text)
    return text


def visible(char: str) -> str:
    """The character, a space in the place of a control character, or nothing."""
    category = unicodedata.category(char)
    if category in SPACES:
        return " "
    return "" if category in NOTHINGS and char not in JOINERS else char


def fit_captions(captions: Sequence[str], settings: Clean) -> list[str]:
    """The captions that may stay, normalised, each text once, in their order.

    Raises RejectionError, with the reason of the first caption, if none may.
    """
    texts = [normalise_caption(caption) for caption in captions] or [""]
    reasons = [caption_reason(text, settings) for text in texts]
    fit = [text for text, reason in zip(texts, reasons, strict=True) if reason is None]
    if not fit:
        assert reasons[0] is not None
        raise RejectionError(reasons[0], f"{len(texts[0])} characters")
    return list(dict.fromkeys(fit))


def caption_reason(text: str, settings: Clean) -> str | None:
    """Why a normalised caption is rejected; None if it is not."""
    if not text:
        return "caption_empty"
    if len(text) < settings.min_caption_chars:
        return "caption_too_short"
    if len(text) > settings.max_caption_chars:
        return "caption_too_long"
    return None
