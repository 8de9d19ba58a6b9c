"""Why cleaning rejects a sample: a closed vocabulary, so that rejections can be counted."""

# Every reason that cleaning itself gives. A source adds those of what never came (data/raw/reasons.py).
REASONS = {
    "image_format": "not a picture of the web that we read: JPEG, PNG, WebP, GIF, BMP, TIFF",
    "image_broken": "no image at all, or bytes that no decoder accepts",
    "image_truncated": "begins like an image and ends too early",
    "image_too_large": "more pixels than clean.max_pixels, by its header: never decoded",
    "image_too_small": "a side below clean.min_side_px",
    "image_aspect": "long side more than clean.max_aspect times the short one",
    "image_duplicate": "the same bytes as an image that is kept",
    "caption_empty": "nothing left of any caption, or none given",
    "caption_too_short": "below clean.min_caption_chars",
    "caption_too_long": "above clean.max_caption_chars",
}
DETAIL_CHARS = 200  # decoders quote the bytes that they stumble over


class RejectionError(Exception):
    """A sample does not satisfy the settings; ``reason`` is the name under which it is counted."""

    def __init__(self, reason: str, detail: str) -> None:
        assert reason in REASONS, reason
        detail = " ".join(detail.split())[:DETAIL_CHARS]
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail
