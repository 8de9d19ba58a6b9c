"""Why a download failed: a closed vocabulary, because messages quote hosts."""

import re

# A message of our own fetch begins with the reason's name: m3ae.data.download.failures.
NAMED = re.compile(r"\[([a-z0-9_]+)\] ")

# What img2dataset's own error messages say -> the reason's name. The first match counts.
DOWNLOAD_REASONS = (
    ("timed out", "timeout"),
    ("certificate", "tls"),
    ("ssl", "tls"),
    ("temporary failure in name resolution", "dns_temporary"),
    ("name or service not known", "dns"),
    ("name resolution", "dns"),
    ("no address associated", "dns"),
    ("connection refused", "connection_refused"),
    ("connection reset", "connection_reset"),
    ("closed connection", "connection_reset"),
    ("disallowed", "opted_out"),
)

# Busy, down for a moment, or short of something here. All other reasons are the site's last word, or ours.
MAY_PASS = re.compile(
    r"download_(timeout|dns_temporary|connection_refused|connection_reset|unreachable|incomplete"
    r"|shortage|http_(408|425|429|5\d\d))"
)


def download_reason(message: str) -> str:
    """The reason behind an error message: `download_http_404`, `download_timeout`.

    The full message is kept as the detail.
    """
    if named := NAMED.match(message):
        return f"download_{named[1]}"
    if http := re.search(r"HTTP Error (\d{3})", message):
        return f"download_http_{http[1]}"
    lowered = message.lower()
    return "download_" + next((name for part, name in DOWNLOAD_REASONS if part in lowered), "other")


def may_pass(reason: str) -> bool:
    """Whether the same URL may give an image later."""
    return MAY_PASS.fullmatch(reason) is not None
