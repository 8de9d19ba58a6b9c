"""What every worker must keep to, wherever it runs: bounds, politeness, and which addresses are in reach."""

import base64
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from m3ae.config.data import Download
from m3ae.data.download.addresses import Network, parse_networks
from m3ae.errors import UserError

# img2dataset's own, so that sites recognise it; the token in it is the run's.
BROWSER = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:72.0) Gecko/20100101 Firefox/72.0"
ABOUT = "https://github.com/rom1504/img2dataset"


class Proxy(NamedTuple):
    """An HTTP proxy that the user's environment names."""

    host: str
    port: int
    headers: dict[str, str]


@dataclass(frozen=True)
class Guard:
    """The settings of a fetch; plain values, so that they travel to any worker."""

    timeout_s: float
    total_timeout_s: float
    max_bytes: int
    per_host: int
    user_agent: str
    opt_out: list[str]
    allow_networks: list[str]
    proxies: dict[str, str] = field(default_factory=dict)
    """As `urllib.request.getproxies` gives them: by scheme, and `no` for hosts that need none."""

    @cached_property
    def networks(self) -> list[Network]:
        """The networks that a list may name although they are not public."""
        return parse_networks(self.allow_networks)

    @property
    def agent(self) -> str:
        """The User-Agent header."""
        return f"{BROWSER} (compatible; {self.user_agent}; +{ABOUT})" if self.user_agent else BROWSER

    def proxy_for(self, scheme: str, host: str) -> Proxy | None:
        """The proxy for a URL; None where it is to be fetched directly."""
        address = self.proxies.get(scheme)
        if not address or proxy_bypass_environment(host, self.proxies):
            return None
        return parse_proxy(scheme, address)


def guard_of(settings: Download, proxies: dict[str, str]) -> Guard:
    """The guard of a run. Raises UserError, before anything is fetched, for settings that cannot work."""
    guard = Guard(
        timeout_s=settings.timeout_s,
        total_timeout_s=settings.total_timeout_s,
        max_bytes=settings.max_bytes,
        per_host=settings.per_host,
        user_agent=settings.user_agent,
        opt_out=settings.opt_out,
        allow_networks=settings.allow_networks,
        proxies=proxies,
    )
    assert guard.networks is not None
    for scheme in {"http", "https"} & proxies.keys():
        parse_proxy(scheme, proxies[scheme])
    return guard


def parse_proxy(scheme: str, address: str) -> Proxy:
    """Host, port and login of a proxy. Raises UserError if it is not an HTTP proxy."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host = None
    if not host or parts.scheme != "http":
        raise UserError(
            f"{scheme}_proxy: expected http://HOST:PORT, got {address!r}; set it anew, or unset it"
        )
    return Proxy(host, port, login_headers(parts.username, parts.password))


def login_headers(user: str | None, password: str | None) -> dict[str, Any]:
    """The header with which a proxy lets a user through."""
    if user is None:
        return {}
    login = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(login).decode()}"}
