"""One fetch, and its bounds: against a server that misbehaves, in this process."""

import errno
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from hostile_server import BAD, FOUND_BY_CLEANING, MAX_BYTES, REASONS, hostile_server
from m3ae.data.download import connect
from m3ae.data.download.addresses import may_reach, parse_networks
from m3ae.data.download.deadline import Deadline
from m3ae.data.download.failures import FetchError, failure_of
from m3ae.data.download.guard import Guard, parse_proxy
from m3ae.data.download.request import fetch_bytes
from m3ae.data.download.server import serve_folder
from m3ae.data.download.slots import slot_of
from m3ae.data.download.target import parse_target
from m3ae.data.raw.reasons import download_reason, may_pass
from m3ae.errors import UserError

IMAGE = b"\xff\xd8 not a picture, but bytes \xff\xd9" * 100
LOOPBACK = "127.0.0.1/32"
SECOND = "127.0.0.2"  # the loopback network has many addresses; this one no test allows
ANY_S = 45  # a bound that a busy machine keeps, and an unbounded fetch does not

needs_second = pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers on all of 127.0.0.0/8")


@pytest.fixture(autouse=True)
def own_slots(tmp_path, monkeypatch):
    """Slots of this test alone, whatever else downloads on this machine."""
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")  # img2dataset imports it
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(scope="module")
def server():
    with hostile_server(lambda _: IMAGE) as server:
        yield server


def guard(**changes):
    settings = {
        "timeout_s": 3, "total_timeout_s": 5, "max_bytes": MAX_BYTES, "per_host": 8, "user_agent": "testbot",
        "opt_out": ["noai", "noindex"], "allow_networks": [LOOPBACK],
    }  # fmt: skip
    return Guard(**{**settings, **changes})


def reason(url, **changes):
    """Why a fetch failed, as it is counted; None if the image came."""
    try:
        assert fetch_bytes(url, guard(**changes)) == IMAGE
    except Exception as error:
        return download_reason(str(failure_of(error)))
    return None


# What cleaning finds, or what a further pass cures, is no failure of this kind here.
ONE_FETCH = {"503-once": "download_http_503", "429-once": "download_http_429"}


@pytest.mark.parametrize("kind", [kind for kind in REASONS if REASONS[kind] not in FOUND_BY_CLEANING])
def test_each_misbehaviour_has_its_reason_and_ends_in_time(server, kind):
    began = time.monotonic()
    assert reason(f"{server.url}/{kind}/1.jpg") == ONE_FETCH.get(kind, REASONS[kind])
    assert time.monotonic() - began < ANY_S
    assert server.requests[f"/{kind}/1.jpg"] == (11 if kind == "loop" else 1)


def test_no_more_is_read_than_the_bound_and_what_was_on_its_way(server):
    for kind in ("large", "large-unsaid"):
        assert reason(f"{server.url}/{kind}/2.jpg") == "download_too_large"
        deadline = time.monotonic() + ANY_S
        while not server.sent[f"/{kind}/2.jpg"] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.sent[f"/{kind}/2.jpg"] < 50 * MAX_BYTES  # of 100: the system's buffers take some


def test_only_what_may_pass_is_asked_again():
    passing = {kind for kind in BAD if may_pass(REASONS[kind])}
    assert passing == {"500", "drip-body", "drip-head", "hang", "cut", "cut-chunks", "reset", "nothing"}
    for status, expected in ((408, True), (425, True), (429, True), (502, True), (404, False), (451, False)):
        assert may_pass(f"download_http_{status}") is expected
    for name in ("dns_temporary", "connection_refused", "unreachable", "shortage"):
        assert may_pass(f"download_{name}")
    for name in ("dns", "tls", "other", "opted_out", "bad_url", "forbidden_address", "lost", "http_5000"):
        assert not may_pass(f"download_{name}")


def test_errors_of_the_network_have_their_reasons():
    errors = {
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"): "dns_temporary",
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"): "dns",
        ssl.SSLCertVerificationError("certificate verify failed"): "tls",
        ConnectionRefusedError(): "connection_refused",
        OSError(113, "No route to host"): "unreachable",
        OSError("Tunnel connection failed: 503 Service Unavailable"): "http_503",
        TimeoutError("timed out"): "timeout",
        OSError(errno.EMFILE, "Too many open files"): "shortage",
        OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"): "shortage",
        OSError(errno.ENOBUFS, "No buffer space available"): "shortage",
        OSError(errno.ENOMEM, "Cannot allocate memory"): "shortage",
        OSError(errno.ENOSPC, "No space left on device"): "shortage",
        MemoryError(): "shortage",
        RuntimeError("can't start new thread"): "shortage",
        RuntimeError("what is this"): "other",
        ValueError("what is this"): "other",
    }
    for error, name in errors.items():
        assert download_reason(str(failure_of(error))) == f"download_{name}"


def test_a_machine_without_threads_or_files_says_so_and_not_that_the_url_is_bad(server, monkeypatch):
    def no_thread(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(connect.Thread, "start", no_thread)
        assert reason(f"{server.url}/good/8.jpg") == "download_shortage"
    with monkeypatch.context() as patch:
        patch.setattr(connect, "BoundedSocket", lambda *_: open_too_many())
        assert reason(f"{server.url}/good/8.jpg") == "download_shortage"
    assert reason(f"{server.url}/good/8.jpg") is None


def open_too_many():
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:4700::6810:84e5", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),  # the metadata service of clouds
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fe80::1%1", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("::7f00:1", False),  # IPv4-compatible, deprecated
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.215.14", True),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b::93.184.215.14", True),
        ("64:ff9b:1::1", False),  # for use inside a network
        ("2002:7f00:1::1", False),  # 6to4 of 127.0.0.1
        ("2002:5db8:d70e::1", True),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),  # Teredo; its client is 192.0.2.45
        ("2001:0:4136:e378:8000:63bf:a247:28f1", True),  # ... 93.184.215.14
        ("2001:db8::1", False),
    ],
)
def test_only_public_addresses_are_in_reach(address, public):
    assert may_reach(address, []) is public


def test_allowed_networks_are_exceptions_for_translated_addresses_too():
    allowed = parse_networks(["10.0.0.0/8", "fd00::/8"])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd00::1"):
        assert may_reach(address, allowed)
    for address in ("192.168.0.1", "127.0.0.1", "fc00::1"):
        assert not may_reach(address, allowed)


@needs_second
def test_forbidden_addresses_never_get_a_connection():
    with (
        hostile_server(lambda _: IMAGE, SECOND) as private,
        hostile_server(lambda _: IMAGE, private=private.url) as server,
    ):
        port = private.server_address[1]
        spellings = [
            SECOND, "2130706434", "0x7f000002", "0177.0.0.2", "127.2", "[::ffff:127.0.0.2]",
            f"127.0.0.1@{SECOND}", f"user:word@{SECOND}",
        ]  # fmt: skip
        for host in spellings:
            assert reason(f"http://{host}:{port}/good/1.jpg") == "download_forbidden_address", host
        assert reason(f"{server.url}/to-private/good/1.jpg") == "download_forbidden_address"
        assert reason(f"https://{SECOND}:{port}/good/1.jpg") == "download_forbidden_address"
        assert private.connections == 0
        assert reason(f"{private.url}/good/1.jpg", allow_networks=["127.0.0.0/8"]) is None


@needs_second
def test_the_address_that_was_judged_is_the_one_that_is_connected_to(server, monkeypatch):
    """DNS rebinding: the second answer to the same question is another one."""
    with hostile_server(lambda _: IMAGE, SECOND) as private:
        answers = iter(["127.0.0.1", *[SECOND] * 9])
        real = socket.getaddrinfo
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda _, *rest, **named: real(next(answers), *rest, **named)
        )
        port = server.server_address[1]
        assert reason(f"http://rebinding.test:{port}/good/3.jpg") is None
        assert next(answers) == SECOND  # one question was asked
        assert reason(f"http://rebinding.test:{port}/good/3.jpg") == "download_forbidden_address"
        assert private.connections == 0


def test_a_slow_resolver_is_bounded(monkeypatch):
    monkeypatch.setattr(connect, "look_up", lambda *_: time.sleep(ANY_S))
    assert reason("http://slow.test/1.jpg", timeout_s=0.2) == "download_timeout"


def test_only_http_and_https_are_fetched(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(IMAGE)
    for url in (
        f"file://{secret}",
        f"file://localhost{secret}",
        "ftp://127.0.0.1/x",
        "data:,x",
        "gopher://x/",
    ):
        assert reason(url) == "download_forbidden_scheme"
    for url in (
        "http://",
        "http:///x",
        "http://a b/x",
        "http://[::1/x",
        "http://127.0.0.1:port/x",
        f"http://{'a' * 70}.b/",
    ):
        assert reason(url) == "download_bad_url", url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a.b/c d?e=f g#h", "http://a.b/c%20d?e=f%20g"),
        ("HTTP://A.b:80", "http://a.b/"),
        ("https://a.b:8443/%7Ec", "https://a.b:8443/%7Ec"),
        ("http://user:word@a.b/c", "http://a.b/c"),
        ("http://büro.example/ä", "http://xn--bro-hoa.example/%C3%A4"),
        ("http://[2606:4700::1]:81/", "http://[2606:4700::1]:81/"),
    ],
)
def test_urls_are_tidied_as_a_browser_does(url, expected):
    assert parse_target(url).url == expected


def test_opt_outs_are_heeded_as_configured(server):
    url = f"{server.url}/no-ai/9.jpg"
    assert reason(url) == "download_opted_out"
    assert reason(url, opt_out=[]) is None
    assert reason(url, opt_out=["noindex"]) is None
    assert reason(f"{server.url}/no-ai-for-others/9.jpg", user_agent="OtherBot") == "download_opted_out"


def test_the_user_agent_is_img2datasets_own_with_the_token(monkeypatch):
    from img2dataset.downloader import download_image

    seen = {}
    monkeypatch.setattr("urllib.request.urlopen", lambda request, **_: seen.update(request.header_items()))
    download_image((0, "http://a.b/"), 1, "lab-bot", None)
    assert guard(user_agent="lab-bot").agent == seen["User-agent"]
    assert "lab-bot" in seen["User-agent"]


def test_a_host_gets_so_many_connections_over_threads_and_processes(tmp_path):
    code = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from m3ae.data.download.guard import Guard\n"
        "from m3ae.data.download.request import fetch_bytes\n"
        f"guard = Guard(60, 60, {MAX_BYTES}, 3, 'testbot', [], ['127.0.0.0/8'])\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    fetch = lambda i: fetch_bytes(f'{sys.argv[2]}/slow/{i}', guard)\n"
        "    assert all(pool.map(fetch, range(10)))\n"
    )
    with hostile_server(lambda _: IMAGE) as server:
        arguments = [sys.executable, "-c", code, str(tmp_path), server.url]
        processes = [subprocess.Popen(arguments) for _ in range(2)]
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
        assert server.requests.total() == 20
        assert 1 <= max(server.most.values()) <= 3  # of 16 threads
    assert not list(next(tmp_path.glob("m3ae-slots-*")).iterdir())


def test_waiting_for_a_slot_does_not_count_as_time_of_the_fetch(server):
    slow = Deadline(60, 60)
    with ThreadPoolExecutor(1) as pool:
        with slot_of("127.0.0.1", 1, slow):
            waiting = pool.submit(reason, f"{server.url}/good/4.jpg", per_host=1, total_timeout_s=2)
            time.sleep(3)
            assert not waiting.done()
        assert waiting.result(timeout=ANY_S) is None


def test_a_killed_holder_frees_its_slot(tmp_path):
    code = (
        "import sys, tempfile, time; tempfile.tempdir = sys.argv[1]\n"
        "from m3ae.data.download.deadline import Deadline\n"
        "from m3ae.data.download.slots import slot_of\n"
        "with slot_of('host', 1, Deadline(1, 1)):\n"
        "    print('held', flush=True); time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(lambda: slot_of("host", 1, Deadline(1, 1)).__enter__())
        time.sleep(0.3)
        assert not taken.done()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        taken.result(timeout=ANY_S)


def test_behind_a_proxy_the_target_is_checked_as_far_as_it_resolves_here(tmp_path, monkeypatch):
    (tmp_path / "1.jpg").write_bytes(IMAGE)
    with serve_folder(tmp_path) as port:
        proxies = {"http": f"http://127.0.0.1:{port}"}
        # The proxy's own address needs no permission: the user named it.
        strict = {"allow_networks": [], "proxies": proxies}
        assert reason("http://10.0.0.1/1.jpg", **strict) == "download_forbidden_address"
        assert reason("http://localhost:9/1.jpg", **strict) == "download_forbidden_address"
        monkeypatch.setattr(connect, "look_up", unknown_but(connect.look_up, "images.test"))
        assert reason("http://images.test/1.jpg", **strict) is None
        assert reason("http://images.test/none.jpg", **strict) == "download_http_404"
        bypass = {"allow_networks": [], "proxies": {**proxies, "no": "images.test"}}
        assert reason("http://images.test/1.jpg", **bypass) == "download_dns"


def unknown_but(look_up, name):
    """The resolver of a network in which only the proxy knows ``name``."""

    def answer(host, port):
        return socket.gaierror(socket.EAI_NONAME, "unknown") if host == name else look_up(host, port)

    return answer


def test_a_proxy_that_cannot_be_used_is_one_line():
    assert parse_proxy("http", "proxy.lab:3128")[:2] == ("proxy.lab", 3128)
    login = parse_proxy("https", "http://me:a%40b@proxy.lab:3128").headers
    assert login == {"Proxy-Authorization": "Basic bWU6YUBi"}
    for address in ("socks5://proxy.lab", "http://", "http://proxy:port"):
        with pytest.raises(UserError, match=r"http_proxy: expected http://HOST:PORT, got"):
            parse_proxy("http", address)


def test_https_is_checked_under_the_hosts_name(server, tmp_path, monkeypatch):
    port = server.server_address[1]
    assert reason(f"https://127.0.0.1:{port}/good/1.jpg") == "download_tls"  # no TLS there at all
    certificate = self_signed(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    connect.tls_context.cache_clear()
    try:
        with hostile_server(lambda _: IMAGE) as secure, tls_around(secure, certificate):
            port = secure.server_address[1]
            assert reason(f"https://localhost:{port}/good/1.jpg") is None
            assert reason(f"https://127.0.0.1:{port}/good/1.jpg") == "download_tls"  # another name
            assert reason(f"https://localhost:{port}/drip-body/1.jpg") == "download_timeout"
    finally:
        connect.tls_context.cache_clear()


@contextmanager
def tls_around(server, certificate):
    """Speak TLS on the server's connections."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    plain = server.socket
    server.socket = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
    try:
        yield
    finally:
        server.socket = plain


def self_signed(folder, name):
    """A certificate for ``name`` with its key, made now."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(private + certificate.public_bytes(pem))
    return path


def test_a_fetch_error_names_its_reason():
    assert str(FetchError("too_large", "9 bytes")) == "[too_large] 9 bytes"
    assert download_reason("[too_large] 9 bytes") == "download_too_large"
