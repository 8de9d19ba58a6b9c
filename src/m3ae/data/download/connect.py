"""Connections to checked addresses alone: the address that was judged is the one that is connected to."""

import http.client
import socket
import ssl
from functools import cache
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from m3ae.data.download.addresses import may_reach
from m3ae.data.download.deadline import BoundedSocket, BoundedTlsSocket, Deadline
from m3ae.data.download.failures import FetchError
from m3ae.data.download.guard import Guard, Proxy
from m3ae.data.download.target import Target

Candidates = list[tuple[int, tuple[Any, ...]]]
"""Address family and socket address, as `getaddrinfo` gives them."""


class Connection(http.client.HTTPConnection):
    """An HTTP(S) connection whose TCP connection is opened by us, and whose reads keep to a deadline."""

    def __init__(
        self, target: Target, candidates: Candidates, deadline: Deadline, proxy: Proxy | None = None
    ) -> None:
        super().__init__(target.host, target.port)
        self.target, self.deadline, self.proxy = target, deadline, proxy
        self.default_port = target.default_port  # named in the Host header only if it is another one
        # http.client's own hook; `connect` calls it, then asks the proxy for a tunnel if there is one.
        self._create_connection = lambda *_: open_first(candidates, deadline)

    def connect(self) -> None:
        """Open the connection, with TLS under the host's name for https."""
        super().connect()
        if self.target.scheme == "https":
            self.sock.settimeout(self.deadline.wait_s())  # bounds the whole handshake
            secured = tls_context().wrap_socket(self.sock, server_hostname=self.target.host)
            assert isinstance(secured, BoundedTlsSocket)
            secured.deadline = self.deadline
            self.sock = secured

    def get(self, agent: str) -> http.client.HTTPResponse:
        """Ask for the target; http.client adds Host, and that nothing compressed is wanted."""
        path, headers = self.target.path, {"User-Agent": agent, "Connection": "close"}
        if self.proxy is not None and self.target.scheme == "http":
            path, headers = self.target.url, {**headers, **self.proxy.headers}
        self.request("GET", path, headers=headers)
        return self.getresponse()


def connection_to(target: Target, guard: Guard, deadline: Deadline) -> Connection:
    """A connection to the target, or to the user's proxy for it; not opened yet.

    Raises FetchError if the target's address is forbidden, OSError if its name has none.
    """
    proxy = guard.proxy_for(target.scheme, target.host)
    if proxy is None:
        return Connection(target, permitted(target, guard, deadline), deadline)
    check_behind_proxy(target, guard, deadline)
    return proxied(target, proxy, deadline)


def permitted(target: Target, guard: Guard, deadline: Deadline) -> Candidates:
    """The addresses of the target that may be reached."""
    found = resolve(target.host, target.port, deadline.wait_s())
    reachable = [one for one in found if may_reach(one[1][0], guard.networks)]
    if not reachable:
        raise FetchError("forbidden_address", f"not a public address: {found[0][1][0]}")
    return reachable


def check_behind_proxy(target: Target, guard: Guard, deadline: Deadline) -> None:
    """Refuse a target of which any address is forbidden: the proxy chooses among them.

    A name that is unknown here may be known to the proxy, which then has to judge it.
    """
    try:
        found = resolve(target.host, target.port, deadline.wait_s())
    except socket.gaierror:
        return
    for _, address in found:
        if not may_reach(address[0], guard.networks):
            raise FetchError("forbidden_address", f"not a public address: {address[0]}")


def proxied(target: Target, proxy: Proxy, deadline: Deadline) -> Connection:
    """A connection through the proxy: a tunnel for https, else the proxy is asked for the whole URL."""
    candidates = resolve(proxy.host, proxy.port, deadline.wait_s())
    connection = Connection(target, candidates, deadline, proxy)
    if target.scheme == "https":
        connection.set_tunnel(target.host, target.port, proxy.headers)
    return connection


def open_first(candidates: Candidates, deadline: Deadline) -> BoundedSocket:
    """A TCP connection to the first address that answers."""
    failure: OSError | None = None
    for family, address in candidates:
        sock = BoundedSocket(family, socket.SOCK_STREAM)
        sock.deadline = deadline
        try:
            sock.settimeout(deadline.wait_s())
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    assert failure is not None
    raise failure


def resolve(host: str, port: int, wait_s: float) -> Candidates:
    """The addresses of a name. Raises TimeoutError if the system's resolver, which knows no bound, is slow.

    Also reads decimal, octal and hexadecimal spellings of IPv4 addresses, as the system does.
    """
    answers: SimpleQueue[Candidates | OSError | UnicodeError] = SimpleQueue()
    Thread(target=lambda: answers.put(look_up(host, port)), daemon=True).start()
    try:
        answer = answers.get(timeout=wait_s)
    except Empty:
        raise TimeoutError(f"no address of the host after {wait_s:.0f} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def look_up(host: str, port: int) -> Candidates | OSError | UnicodeError:
    """Ask the system; an error is an answer, too."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return error
    return [(family, address) for family, _, _, _, address in found]


@cache
def tls_context() -> ssl.SSLContext:
    """The system's certificates, names checked; one for all threads, because reading them takes long."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = BoundedTlsSocket
    return context
