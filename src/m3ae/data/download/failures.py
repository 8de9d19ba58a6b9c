"""Why a fetch failed: the name of the reason, from the exception that ended it."""

import errno
import http.client
import re
import socket
import ssl

UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}
# This machine's own shortage says nothing about the URL: files, ports, buffers, memory, threads, disk.
SHORT = {
    *(errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN),
    *(errno.ENOSPC, errno.EDQUOT),
}
NO_THREAD = "can't start new thread"  # a RuntimeError of Python's
DNS_MAY_PASS = {socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_MEMORY}
TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")  # http.client, for a proxy's answer

# The first that an exception is an instance of counts: most of them are OSErrors.
KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "timeout"),
    (ssl.SSLError, "tls"),
    (ssl.CertificateError, "tls"),
    (ConnectionRefusedError, "connection_refused"),
    (ConnectionError, "connection_reset"),
    (http.client.IncompleteRead, "incomplete"),
    (http.client.InvalidURL, "bad_url"),
    (http.client.HTTPException, "bad_response"),
)


class FetchError(Exception):
    """One fetch failed; ``reason`` is the name under which it is counted (`timeout`, `http_404`)."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"[{self.reason}] {self.detail}"


def failure_of(error: Exception) -> FetchError:
    """The failure that an exception of the network stands for."""
    if isinstance(error, FetchError):
        return error
    detail = " ".join(str(error).split())[:200] or type(error).__name__
    return FetchError(reason_of(error), detail)


def reason_of(error: Exception) -> str:
    """The name of the reason."""
    if isinstance(error, socket.gaierror):
        return "dns_temporary" if error.errno in DNS_MAY_PASS else "dns"
    if isinstance(error, OSError) and error.errno in UNREACHABLE:
        return "unreachable"
    if is_shortage(error):
        return "shortage"
    if tunnel := TUNNEL.search(str(error)):
        return f"http_{tunnel[1]}"
    return next((reason for kind, reason in KINDS if isinstance(error, kind)), "other")


def is_shortage(error: Exception) -> bool:
    """Whether this machine had too little of something, so that the URL was never really asked for."""
    if isinstance(error, OSError):
        return error.errno in SHORT
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and NO_THREAD in str(error))
