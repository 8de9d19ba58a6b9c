"""A small web server on 127.0.0.1 for images of this machine, so that small runs go the way of the big one.

Lists name such images as `http://127.0.0.1:8765/...`, although no port is known beforehand. The
downloader is told to use the server as its HTTP *proxy*: it then asks for the whole URL, whatever
host and port that names, and all metadata keep the list's URL.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit


class Handler(SimpleHTTPRequestHandler):
    """Sends files below one folder, read-only; neither lists folders nor writes a log.

    The parent class drops `..` from paths. Links that lie in the folder are followed: data sets
    often lie behind one.
    """

    def translate_path(self, path: str) -> str:
        """The file of a request, which names a path or (to a proxy) a whole URL."""
        return super().translate_path(urlsplit(path).path)

    def send_head(self) -> Any:
        """Refuse everything but files."""
        if not Path(self.translate_path(self.path)).is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the downloader counts failures."""


class Server(ThreadingHTTPServer):
    """A thread per connection; dozens may wait, and none outlives the program."""

    request_queue_size = 256
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


@contextmanager
def serve_folder(root: Path) -> Iterator[int]:
    """Serve the files below ``root`` on a free port of 127.0.0.1, as long as the block runs."""
    with Server(("127.0.0.1", 0), partial(Handler, directory=str(root))) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
