"""Bounds on time: every wait for the network, and one fetch as a whole.

A socket's own timeout starts anew with every byte, so that a server that drips one now and then would
hold a connection for ever. These sockets ask the clock before every read.
"""

import socket
import ssl
import time
from typing import Any


class Deadline:
    """Time left for one fetch: ``step_s`` for each wait, ``total_s`` for all of them."""

    def __init__(self, step_s: float, total_s: float) -> None:
        self.step_s, self.total_s = step_s, total_s
        self.end = time.monotonic() + total_s

    def wait_s(self) -> float:
        """The longest that the next wait may take. Raises TimeoutError if no time is left."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"not finished after {self.total_s:g} s")
        return min(self.step_s, left)

    def extend(self, seconds: float) -> None:
        """Do not count time that the fetch waited for us."""
        self.end += seconds


class BoundedReads:
    """Reads that keep to a deadline; http.client reads with `recv_into` alone."""

    deadline: Deadline | None = None

    def recv_into(self, *args: Any, **options: Any) -> int:
        """Read, as long as the deadline allows."""
        if self.deadline is not None:
            self.settimeout(self.deadline.wait_s())  # type: ignore[attr-defined]  # of the socket
        return super().recv_into(*args, **options)  # type: ignore[misc]


class BoundedSocket(BoundedReads, socket.socket):
    """A socket whose reads are bounded."""


class BoundedTlsSocket(BoundedReads, ssl.SSLSocket):
    """The same with TLS."""
