"""A web server on the loopback network whose paths misbehave on request: ``/{kind}/{rest}``.

What a kind does is in `KINDS`, what becomes of its URLs in `REASONS`. The server counts requests per
path, connections, and how many requests of one Host it was working on at the same time (`slow` alone).
"""

import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread

PATIENCE_S = 60.0  # far beyond the bounds of any test
DRIP_S = 0.05
MAX_BYTES = 200_000  # the bound that tests set
TIMEOUT = "download_timeout"

# kind -> the reason under which its URLs must end, after two passes and cleaning; None: an image comes.
REASONS: dict[str, str | None] = {
    "good": None,
    "slow": None,
    "404": "download_http_404",
    "403": "download_http_403",
    "410": "download_http_410",
    "500": "download_http_500",
    "drip-body": TIMEOUT,
    "drip-head": TIMEOUT,
    "hang": TIMEOUT,
    "cut": "download_incomplete",
    "cut-chunks": "download_incomplete",
    "large": "download_too_large",
    "large-unsaid": "download_too_large",
    "page": "image_broken",
    "empty": "image_broken",
    "half": "image_truncated",
    "to-file": "download_forbidden_scheme",
    "to-ftp": "download_forbidden_scheme",
    "to-private": "download_forbidden_address",
    "loop": "download_redirects",
    "to-good": None,
    "no-ai": "download_opted_out",
    "no-ai-for-others": None,
    "reset": "download_connection_reset",
    "nothing": "download_connection_reset",
    "garbage": "download_bad_response",
    "503-once": None,
    "429-once": None,
}
FOUND_BY_CLEANING = ("image_broken", "image_truncated")
BAD = [kind for kind, reason in REASONS.items() if reason is not None]
ONCE = {"503-once": 503, "429-once": 429}


class Handler(BaseHTTPRequestHandler):
    """Answers one request as its kind says."""

    server: "HostileServer"

    def do_GET(self) -> None:
        """Count the request, and misbehave."""
        kind, _, rest = self.path.lstrip("/").partition("/")
        self.server.requests[self.path] += 1
        with suppress(OSError):
            if kind.isdigit():
                self.send_error(int(kind))
            elif kind in ONCE and self.server.requests[self.path] == 1:
                self.send_error(ONCE[kind])
            else:
                KINDS.get(kind, image)(self, rest)

    def begin(self, status: int = 200, **headers: str) -> None:
        """Send the head; underscores in names of headers stand for hyphens."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def image(handler: Handler, rest: str) -> None:
    body = handler.server.image(rest)
    handler.begin(Content_Type="image/jpeg", Content_Length=str(len(body)))
    handler.wfile.write(body)


def slow(handler: Handler, rest: str) -> None:
    with handler.server.at_work(handler.headers.get("Host", "")):
        time.sleep(0.1)
    image(handler, rest)


def drip_body(handler: Handler, rest: str) -> None:
    body = handler.server.image(rest)
    handler.begin(Content_Length=str(len(body)))
    drip(handler, body * 1000)


def drip_head(handler: Handler, rest: str) -> None:
    drip(handler, b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 60_000)


def drip(handler: Handler, data: bytes) -> None:
    """A byte now and then, for as long as the client, or our patience, lasts."""
    end = time.monotonic() + PATIENCE_S
    for byte in data:
        if time.monotonic() > end or handler.server.is_over.wait(DRIP_S):
            return
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()


def hang(handler: Handler, rest: str) -> None:
    handler.server.is_over.wait(PATIENCE_S)


def cut(handler: Handler, rest: str) -> None:
    body = handler.server.image(rest)
    handler.begin(Content_Length=str(len(body)))
    handler.wfile.write(body[: len(body) // 2])


def cut_chunks(handler: Handler, rest: str) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.begin(Transfer_Encoding="chunked")
    handler.wfile.write(b"400\r\n" + bytes(100))


def large(handler: Handler, rest: str) -> None:
    handler.begin(Content_Length=str(100 * MAX_BYTES))
    handler.server.sent[handler.path] += send_until_closed(handler)


def large_unsaid(handler: Handler, rest: str) -> None:
    handler.begin()
    handler.server.sent[handler.path] += send_until_closed(handler)


def send_until_closed(handler: Handler) -> int:
    """How many bytes the client let us send; there are 100 times more than it should take."""
    sent = 0
    with suppress(OSError):
        for _ in range(100):
            sent += handler.wfile.write(bytes(MAX_BYTES))
    return sent


def page(handler: Handler, rest: str) -> None:
    body = b"<!DOCTYPE html><title>Gone</title>" + rest.encode()
    handler.begin(Content_Type="image/jpeg", Content_Length=str(len(body)))
    handler.wfile.write(body)


def half(handler: Handler, rest: str) -> None:
    body = handler.server.image(rest)
    handler.begin(Content_Length=str(len(body) // 2))
    handler.wfile.write(body[: len(body) // 2])


def empty(handler: Handler, rest: str) -> None:
    handler.begin(Content_Length="0")


def redirect(to: Callable[[Handler, str], str]) -> Callable[[Handler, str], None]:
    def answer(handler: Handler, rest: str) -> None:
        handler.begin(302, Location=to(handler, rest), Content_Length="0")

    return answer


def no_ai(handler: Handler, rest: str) -> None:
    opted_out(handler, rest, "noai, noimageai")


def no_ai_for_others(handler: Handler, rest: str) -> None:
    opted_out(handler, rest, "otherbot: noai")


def opted_out(handler: Handler, rest: str, directive: str) -> None:
    body = handler.server.image(rest)
    handler.begin(X_Robots_Tag=directive, Content_Length=str(len(body)))
    handler.wfile.write(body)


def reset(handler: Handler, rest: str) -> None:
    """Close with a reset: an unfinished linger sends RST."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def nothing(handler: Handler, rest: str) -> None:
    """Close without a word."""


def garbage(handler: Handler, rest: str) -> None:
    handler.wfile.write(b"220 mail.example ESMTP ready\r\n\r\n")


KINDS: dict[str, Callable[[Handler, str], None]] = {
    "slow": slow,
    "drip-body": drip_body,
    "drip-head": drip_head,
    "hang": hang,
    "cut": cut,
    "cut-chunks": cut_chunks,
    "large": large,
    "large-unsaid": large_unsaid,
    "page": page,
    "empty": empty,
    "half": half,
    "to-file": redirect(lambda handler, rest: "file:///etc/hostname"),
    "to-ftp": redirect(lambda handler, rest: f"ftp://127.0.0.1/{rest}"),
    "to-private": redirect(lambda handler, rest: f"{handler.server.private}/{rest}"),
    "loop": redirect(lambda handler, rest: handler.path),
    "to-good": redirect(lambda handler, rest: f"/good/{rest}"),
    "no-ai": no_ai,
    "no-ai-for-others": no_ai_for_others,
    "reset": reset,
    "nothing": nothing,
    "garbage": garbage,
}


class HostileServer(ThreadingHTTPServer):
    """A thread per connection; `image` gives the bytes of the images by the rest of the path."""

    request_queue_size = 256
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: str, image: Callable[[str], bytes], private: str) -> None:
        super().__init__((address, 0), Handler)
        self.image, self.private = image, private
        self.requests: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.connections = 0
        self.headers: dict[str, str] = {}
        self.is_over = Event()
        self._now: Counter[str] = Counter()
        self._lock = Lock()

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host}:{port}"

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept, and count."""
        self.connections += 1
        return super().get_request()

    @contextmanager
    def at_work(self, host: str) -> Iterator[None]:
        """Count simultaneous answers; ends before the last byte, when the client still is connected."""
        with self._lock:
            self._now[host] += 1
            self.most[host] = max(self.most[host], self._now[host])
        yield
        with self._lock:
            self._now[host] -= 1

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


@contextmanager
def hostile_server(
    image: Callable[[str], bytes], address: str = "127.0.0.1", private: str = "http://10.0.0.1"
) -> Iterator[HostileServer]:
    """A server on a free port; `to-private` leads to ``private``."""
    with HostileServer(address, image, private) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.is_over.set()
            server.shutdown()
            thread.join()
