"""Fetch one URL within bounds: time, bytes, redirects, connections per host, addresses."""

import http.client
from http import HTTPStatus

from m3ae.data.download.connect import connection_to
from m3ae.data.download.deadline import Deadline
from m3ae.data.download.failures import FetchError
from m3ae.data.download.guard import Guard
from m3ae.data.download.slots import slot_of
from m3ae.data.download.target import Target, parse_target, redirected

MAX_REDIRECTS = 10  # as urllib
REDIRECTS = {301, 302, 303, 307, 308}
CHUNK_BYTES = 1 << 16


def fetch_bytes(url: str, guard: Guard) -> bytes:
    """The body of the response. Raises FetchError, or what the network raises (see `failure_of`)."""
    deadline = Deadline(guard.timeout_s, guard.total_timeout_s)
    target = parse_target(url)
    for _ in range(MAX_REDIRECTS + 1):
        # Never two slots at a time: two fetches could wait for each other.
        with slot_of(target.host, guard.per_host, deadline):
            answer = ask(target, guard, deadline)
        if isinstance(answer, bytes):
            return answer
        target = answer
    raise FetchError("redirects", f"more than {MAX_REDIRECTS}")


def ask(target: Target, guard: Guard, deadline: Deadline) -> bytes | Target:
    """One request: the body, or where the server sends us to."""
    connection = connection_to(target, guard, deadline)
    try:
        with connection.get(guard.agent) as response:
            location = response.getheader("Location")
            if response.status in REDIRECTS and location is not None:
                return redirected(target, location)
            return body_of(response, guard)
    finally:
        connection.close()


def body_of(response: http.client.HTTPResponse, guard: Guard) -> bytes:
    """The body of a response that is a success, may be used, and is neither too long nor cut short."""
    if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
        raise FetchError(f"http_{response.status}", " ".join(response.reason.split())[:80])
    if guard.opt_out and is_opted_out(response, guard):
        raise FetchError("opted_out", "use disallowed by an X-Robots-Tag header")
    if response.length is not None and response.length > guard.max_bytes:
        raise FetchError("too_large", f"{response.length} bytes announced")
    body = bytearray()
    while chunk := response.read(CHUNK_BYTES):
        body += chunk
        if len(body) > guard.max_bytes:
            raise FetchError("too_large", f"more than {guard.max_bytes} bytes")
    if response.length:  # what is still missing; http.client does not mind
        raise FetchError("incomplete", f"{response.length} bytes are missing")
    return bytes(body)


def is_opted_out(response: http.client.HTTPResponse, guard: Guard) -> bool:
    """Whether img2dataset's own reading of the headers forbids the use."""
    if "X-Robots-Tag" not in response.headers:
        return False
    from img2dataset.downloader import is_disallowed

    directives = {directive.strip().lower() for directive in guard.opt_out}
    return is_disallowed(response.headers, guard.user_agent.strip().lower(), directives)
