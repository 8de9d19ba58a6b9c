"""The reasons behind img2dataset's error messages: a closed vocabulary, because messages quote hosts."""

import re

# What img2dataset's error messages say -> the reason's name. The first match counts.
DOWNLOAD_REASONS = (
    ("timed out", "timeout"),
    ("certificate", "tls"),
    ("ssl", "tls"),
    ("name or service not known", "dns"),
    ("name resolution", "dns"),
    ("no address associated", "dns"),
    ("connection refused", "connection_refused"),
    ("connection reset", "connection_reset"),
    ("closed connection", "connection_reset"),
    ("disallowed", "opted_out"),
)


def download_reason(message: str) -> str:
    """The reason behind an error message of img2dataset: `download_http_404`, `download_timeout`.

    A closed vocabulary, because messages quote hosts; the full message is kept as the detail.
    """
    if http := re.search(r"HTTP Error (\d{3})", message):
        return f"download_http_{http[1]}"
    lowered = message.lower()
    return "download_" + next((name for part, name in DOWNLOAD_REASONS if part in lowered), "other")
