"""The parts of a URL that a request needs: http and https alone, tidied as a browser does."""

import string
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from m3ae.data.download.failures import FetchError

PORTS = {"http": 80, "https": 443}


class Target(NamedTuple):
    """Where a request goes. A login in the URL is dropped: nobody gave it to us."""

    scheme: str
    host: str
    port: int
    path: str
    """With the query, in ASCII."""

    @property
    def default_port(self) -> int:
        """The port that a URL of this scheme need not name."""
        return PORTS[self.scheme]

    @property
    def url(self) -> str:
        """The whole URL, as a proxy wants it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if self.port == self.default_port else f':{self.port}'}{self.path}"


def parse_target(url: str) -> Target:
    """Read a URL. Raises FetchError if it is none, or of another scheme."""
    try:
        parts = urlsplit(url.strip())
        if parts.scheme not in PORTS:
            raise FetchError("forbidden_scheme", f"not http or https: {parts.scheme[:20] or 'none'}")
        host = ascii_host(parts.hostname or "")
        port = parts.port or PORTS[parts.scheme]
    except ValueError as error:
        raise FetchError("bad_url", " ".join(str(error).split())[:100]) from None
    query = f"?{escaped(parts.query)}" if parts.query else ""
    return Target(parts.scheme, host, port, (escaped(parts.path) or "/") + query)


def ascii_host(host: str) -> str:
    """A host's name in ASCII. Raises ValueError if it cannot be one."""
    if not host or any(char in string.whitespace or not char.isprintable() for char in host):
        raise ValueError(f"no host: {host!r}")
    return host if ":" in host else host.encode("idna").decode("ascii")


def escaped(text: str) -> str:
    """White space and non-ASCII letters as percent escapes; escapes that are there stay."""
    return quote(text, safe=string.punctuation)


def redirected(target: Target, location: str) -> Target:
    """Where a response's Location header leads; http.client reads headers as Latin-1."""
    escaped_location = quote(location, safe=string.punctuation, encoding="iso-8859-1")
    try:
        return parse_target(urljoin(target.url, escaped_location))
    except ValueError as error:
        raise FetchError("bad_url", f"Location: {error}") from None
