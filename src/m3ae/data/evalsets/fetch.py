"""One large file from the web: resumed after any interruption, in bounded time, its checksum verified."""

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from tqdm import tqdm

from m3ae.config.origins import Archive
from m3ae.errors import UserError

TIMEOUT_S = 30
ATTEMPTS = 5  # in a row without a new byte
REQUESTS = 200  # in all
PAUSE_S = 2.0
CHUNK_BYTES = 1 << 20
SLOWEST_BYTES_PER_S = 1024  # a server that only drips counts as one that does not answer
WINDOW_S = 60
REFUSED_RANGE = http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
HTTP = re.compile("https?://", re.IGNORECASE)
PASSING = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)


def fetch_archive(origin: Archive, path: Path) -> None:
    """Download to ``path``, through ``path.partial``. Raises UserError, one line, where that fails."""
    if not HTTP.match(origin.url):
        raise UserError(f"{origin.url}: expected http:// or https://; mend the registry's entry")
    partial = path.with_name(f"{path.name}.partial")
    if not path.exists():
        partial.parent.mkdir(parents=True, exist_ok=True)
        fetch_all(origin, partial)
        partial.rename(path)
        partial.with_name(f"{partial.name}.version").unlink(missing_ok=True)
    try:
        verify(origin, path)
    except UserError:
        path.unlink()  # the next call starts anew instead of going on from wrong bytes
        raise


def fetch_all(origin: Archive, partial: Path) -> None:
    """Ask for what is missing until nothing is."""
    failures, cause = 0, ""
    for _ in range(REQUESTS):
        before = size_of(partial)
        try:
            if fetch_rest(origin, partial):
                return
            cause = "the connection was lost"
        except urllib.error.HTTPError as error:
            if is_all_here(error, origin, partial):
                return
            cause = str(error)
        except PASSING as error:
            cause = str(error)
        failures = 0 if size_of(partial) > before else failures + 1
        if failures == ATTEMPTS:
            break
        time.sleep(PAUSE_S)
    raise UserError(
        f"{origin.url}: cannot be fetched ({cause}); {size_of(partial)} bytes are kept: "
        "run the command again to go on"
    )


def is_all_here(error: urllib.error.HTTPError, origin: Archive, partial: Path) -> bool:
    """Whether the server refused because nothing is missing. Raises UserError for a refusal that stays."""
    if error.code == REFUSED_RANGE:
        if error.headers.get("Content-Range") == f"bytes */{size_of(partial)}":
            return True
        partial.unlink(missing_ok=True)  # more than all of it: no part of that file
    elif error.code < 500 and error.code not in (408, 429):
        raise UserError(
            f"{origin.url}: the server answers {error.code} {error.reason}; bring the file yourself"
        ) from None
    return False


def fetch_rest(origin: Archive, partial: Path) -> bool:
    """One request: append what follows the bytes that are there. Returns whether the file is whole."""
    have, tag = size_of(partial), partial.with_name(f"{partial.name}.version")
    request = urllib.request.Request(origin.url)
    if have and tag.is_file():
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", tag.read_text(encoding="utf-8"))  # the whole, if it has changed
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        goes_on = response.status == http.HTTPStatus.PARTIAL_CONTENT
        if goes_on and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise http.client.HTTPException("the server sent another part than the one asked for")
        length = response.length  # None where the server does not say
        total = None if length is None else length + (have if goes_on else 0)
        remember(tag, response)
        with partial.open("ab" if goes_on else "wb") as file:
            copy(response, file, total, origin.size_bytes)
    return total is None or size_of(partial) == total


def remember(tag: Path, response: http.client.HTTPResponse) -> None:
    """Note which version of the file comes, so that parts of two are never put together."""
    version = response.headers.get("ETag", "")
    if not version or version.startswith("W/"):  # a weak one says nothing about bytes
        version = response.headers.get("Last-Modified", "")
    if version:
        tag.write_text(version, encoding="utf-8")
    else:
        tag.unlink(missing_ok=True)


def copy(
    response: http.client.HTTPResponse, file: IO[bytes], total: int | None, expected: int | None
) -> None:
    """Write what comes; give up on a server that drips, and beyond the size that is expected."""
    since, arrived = time.monotonic(), 0
    with tqdm(total=total, initial=file.tell(), unit="B", unit_scale=True, disable=None) as bar:
        while chunk := response.read1(CHUNK_BYTES):
            file.write(chunk)
            bar.update(len(chunk))
            if expected is not None and file.tell() > expected:
                raise UserError(
                    f"{response.url}: expected {expected} bytes, got more; bring the file yourself"
                )
            arrived += len(chunk)
            seconds = time.monotonic() - since
            if seconds > WINDOW_S:
                if arrived < SLOWEST_BYTES_PER_S * seconds:
                    raise TimeoutError(f"{arrived} bytes in {seconds:.0f} s")
                since, arrived = time.monotonic(), 0


def verify(origin: Archive, path: Path) -> None:
    """Raise UserError unless the file has the size and the checksums that the registry states."""
    if origin.size_bytes not in (None, path.stat().st_size):
        raise UserError(
            f"{path}: expected {origin.size_bytes} bytes, got {path.stat().st_size} from {origin.url}; "
            "it is removed: run the command again, or bring the file yourself"
        )
    for kind, expected in (("sha256", origin.sha256), ("md5", origin.md5)):
        if expected is None:
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(file, kind).hexdigest()
        if found != expected:
            raise UserError(
                f"{path}: expected {kind} {expected}, got {found} from {origin.url}; "
                "it is removed: run the command again, or bring the file yourself"
            )


def size_of(path: Path) -> int:
    """Bytes that are there."""
    return path.stat().st_size if path.is_file() else 0
