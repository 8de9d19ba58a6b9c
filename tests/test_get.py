"""``m3ae data get``: terms before bytes, downloads that go on, archives that cannot reach outside."""

import hashlib
import io
import json
import os
import re
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from m3ae.cli.main import main
from m3ae.config.datasets import load_dataset
from m3ae.config.origins import Archive
from m3ae.data.evalsets import fetch
from m3ae.data.evalsets.get import Offer, check_room, make_offer, take
from m3ae.data.evalsets.unpack import unpack
from m3ae.errors import UserError
from raw_shards import encoded, picture, project

CLASSES = ["cat", "dog"]


class Web:
    """A server on this machine: files by path, requests as they came, and the ways in which it misbehaves."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.cut_after: int | None = None  # bytes of a body, before the connection is closed
        self.status: dict[str, tuple[int, dict[str, str]]] = {}
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def answer(self, body):
                path = self.path.partition("?")[0]
                web.requests.append((path, self.headers.get("Range")))
                if path in web.status or path not in web.files:
                    code, headers = web.status.get(path, (404, {}))
                    return self.head(code, {**headers, "Content-Length": "0"})
                data = web.files[path]
                etag = f'"{hashlib.sha256(data).hexdigest()}"'
                start = self.start(etag)
                headers = {"ETag": etag, "X-Repo-Commit": "c" * 40}
                if start > len(data) - 1 and start:
                    return self.head(416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"})
                if start:
                    headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
                self.head(206 if start else 200, {**headers, "Content-Length": str(len(data) - start)})
                if body:
                    self.send(data[start:])

            def start(self, etag):
                asked = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
                if not asked or self.headers.get("If-Range", etag) != etag:
                    return 0
                return int(asked[1])

            def head(self, code, headers):
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def send(self, data):
                self.wfile.write(data[: web.cut_after])
                if web.cut_after is not None and web.cut_after < len(data):
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web(tmp_path, monkeypatch):
    """The server, in a project folder whose originals lie in `originals`; no pause between attempts."""
    project(tmp_path, monkeypatch)
    monkeypatch.setenv("M3AE_DATA_ROOT", "originals")
    monkeypatch.setattr(fetch, "PAUSE_S", 0.0)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Web()
    yield server
    server.close()


def images() -> dict[str, bytes]:
    """An archive's members: two classes of one image each, and a note beside them."""
    members = {f"pets/{name}/1.png": encoded(picture(300, 300, i), "PNG") for i, name in enumerate(CLASSES)}
    return {**members, "pets/README.txt": b"hello", "beside/1.png": b"no"}


def tar_of(members: dict[str, bytes], *others: tarfile.TarInfo, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for other in others:
            tar.addfile(other)
    return buffer.getvalue()


def zip_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


ARCHIVES = {
    "pets.tar": lambda: tar_of(images()),
    "pets.tar.gz": lambda: tar_of(images(), mode="w:gz"),
    "pets.zip": lambda: zip_of(images()),
}


def register(web: Web, name: str, data: bytes, count: int = 2, **get) -> None:
    """Publish an archive, and write the registry's entry for it."""
    web.files[f"/{name}"] = data
    origin = {"kind": "archive", "to": "pets", "url": f"{web.url}/{name}", "inside": "pets"}
    origin |= {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), **get}
    entry = {"title": "Pets (Doe 2001)", "source": "a friend", "licence": "for friends only"}
    entry |= {"form": "folder", "folders": "name", "labels": {"kind": CLASSES}, "get": origin}
    entry["splits"] = {"test": {"path": "pets", "count": count}}
    Path("config/datasets.yaml").write_text(yaml.safe_dump({"pets": entry}))


def m3ae(*arguments: str, answer: str | None = None, terminal: bool = False):
    """Call the command line in this process."""
    runner = CliRunner()
    with pytest.MonkeyPatch.context() as patch:
        if terminal:
            patch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False)
        return runner.invoke(main, ["data", *arguments], input=answer)


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_brought_verified_and_unpacked_once(web, name):
    register(web, name, ARCHIVES[name]())
    result = m3ae("get", "pets", "--yes")
    assert result.exit_code == 0, result.output
    assert "pets: 2 images in test" in result.output
    folder = Path("originals/pets")
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}
    assert files == {
        key.removeprefix("pets/"): data for key, data in images().items() if key.startswith("pets/")
    }
    assert not list(Path("originals/.downloads").iterdir())

    asked = len(web.requests)
    again = m3ae("get", "pets")
    assert again.exit_code == 0
    assert "is here already" in again.output
    assert len(web.requests) == asked


def test_terms_size_and_origin_are_printed_before_anything_is_downloaded(web):
    register(web, "pets.tar", ARCHIVES["pets.tar"]())
    result = m3ae("get", "pets")
    assert result.exit_code == 1
    size = len(web.files["/pets.tar"])
    for expected in ("Pets (Doe 2001)", "for friends only", web.url, f"{size / 1e3:.1f} kB", "sha256"):
        assert expected in result.stdout
    assert result.stderr.count("\n") == 1
    assert (
        "expected your consent to the terms above, and there is no terminal to ask; add --yes"
        in result.stderr
    )
    assert web.requests == []
    assert not Path("originals").exists()


@pytest.mark.parametrize(("answer", "downloads"), [("n\n", False), ("\n", False), ("y\n", True)])
def test_on_a_terminal_it_asks_and_no_is_the_default(web, answer, downloads):
    register(web, "pets.tar", ARCHIVES["pets.tar"]())
    result = m3ae("get", "pets", answer=answer, terminal=True)
    assert "Download it under these terms? [y/N]" in result.stdout
    assert (result.exit_code == 0) == downloads == Path("originals/pets").exists() == bool(web.requests)


def test_another_folder_can_be_the_data_root(web, monkeypatch):
    register(web, "pets.tar", ARCHIVES["pets.tar"]())
    result = m3ae("get", "pets", "--yes", "--to", "elsewhere")
    assert result.exit_code == 0, result.output
    assert Path("elsewhere/pets/cat/1.png").is_file()
    assert "export M3AE_DATA_ROOT=elsewhere" in result.output


def test_a_download_goes_on_from_where_the_connection_was_lost(web):
    data = ARCHIVES["pets.tar"]()
    register(web, "pets.tar", data)
    web.cut_after = len(data) // 4
    offer = make_offer("pets", load_dataset("pets"))
    assert take(offer) == {"test": 2}
    starts = [int(asked[6:-1]) if asked else 0 for _, asked in web.requests]
    assert starts == [i * web.cut_after for i in range(len(starts))]
    assert len(starts) in (4, 5)


def test_a_second_call_takes_only_what_the_first_left(web):
    data = ARCHIVES["pets.tar"]()
    register(web, "pets.tar", data)
    offer = make_offer("pets", load_dataset("pets"))
    path = Path("originals/.downloads/pets-pets.tar")
    path.parent.mkdir(parents=True)
    partial = path.with_name("pets-pets.tar.partial")
    partial.write_bytes(data[:1000])
    path.with_name("pets-pets.tar.partial.version").write_text(f'"{hashlib.sha256(data).hexdigest()}"')
    fetch.fetch_archive(offer.origin, path)
    assert web.requests == [("/pets.tar", "bytes=1000-")]
    assert path.read_bytes() == data


@pytest.mark.parametrize("known", ["another version", "no version", "all of it", "more than all"])
def test_parts_of_two_versions_are_never_put_together(web, known):
    data = ARCHIVES["pets.tar"]()
    register(web, "pets.tar", data)
    origin = make_offer("pets", load_dataset("pets")).origin
    path = Path("originals/.downloads/x.tar")
    path.parent.mkdir(parents=True)
    start = {"all of it": data, "more than all": data + b"x"}.get(known, b"of an older version")
    path.with_name("x.tar.partial").write_bytes(start)
    version = '"old"' if known == "another version" else f'"{hashlib.sha256(data).hexdigest()}"'
    if known != "no version":
        path.with_name("x.tar.partial.version").write_text(version)
    fetch.fetch_archive(origin, path)
    assert path.read_bytes() == data
    assert sorted(file.name for file in path.parent.iterdir()) == ["x.tar"]


@pytest.mark.parametrize(
    ("get", "pattern"),
    [
        ({"sha256": "0" * 64}, r"expected sha256 0{64}, got [0-9a-f]{64} from http.* it is removed"),
        ({"md5": "0" * 32}, r"expected md5 0{32}, got [0-9a-f]{32}"),
        ({"size_bytes": 10**6}, r"expected 1000000 bytes, got \d+ from"),
        ({"size_bytes": 1000}, r"expected 1000 bytes, got more"),
        ({"inside": "dogs"}, r"expected a folder dogs, found none"),
    ],
)
def test_an_archive_that_is_not_the_published_one_is_refused(web, get, pattern):
    register(web, "pets.tar", ARCHIVES["pets.tar"](), **get)
    offer = make_offer("pets", load_dataset("pets"))
    with pytest.raises(UserError, match=pattern):
        take(offer)
    assert not Path("originals/pets").exists()


def test_a_wrong_count_after_the_download_is_said(web):
    register(web, "pets.tar", ARCHIVES["pets.tar"](), count=3)
    result = m3ae("get", "pets", "--yes")
    assert result.exit_code == 1
    assert "expected 3 images, found 2" in result.stderr
    again = m3ae("get", "pets", "--yes")
    assert "is there already, but is not the whole set; move it away" in again.stderr


def test_a_server_that_fails_is_tried_again_and_one_that_refuses_is_not(web):
    register(web, "pets.tar", ARCHIVES["pets.tar"]())
    offer = make_offer("pets", load_dataset("pets"))
    web.status["/pets.tar"] = (503, {})
    with pytest.raises(UserError, match=r"cannot be fetched \(HTTP Error 503.*run the command again"):
        take(offer)
    assert len(web.requests) == fetch.ATTEMPTS
    web.status["/pets.tar"] = (403, {})
    with pytest.raises(UserError, match=r"the server answers 403 Forbidden; bring the file yourself"):
        take(offer)
    assert len(web.requests) == fetch.ATTEMPTS + 1


def test_other_schemes_and_a_full_disk_are_refused(web, monkeypatch):
    register(web, "pets.tar", ARCHIVES["pets.tar"](), url="file:///etc/passwd")
    offer = make_offer("pets", load_dataset("pets"))
    with pytest.raises(UserError, match=r"file:///etc/passwd: expected http:// or https://"):
        take(offer)
    origin = Archive(kind="archive", to="pets", url=web.url, inside="pets")
    huge = Offer("pets", load_dataset("pets"), origin, Path("originals"), 10**18)
    with pytest.raises(UserError, match=r"expected 2000000000.0 GB of free disk, found .*; make room, or"):
        check_room(huge)


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def zip_with_link() -> bytes:
    member = zipfile.ZipInfo("pets/link")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(member, "/etc/passwd")
    return buffer.getvalue()


HOSTILE = {
    "a parent folder": ("x.tar", lambda: tar_of({"pets/../../evil.txt": b"!"}), "a place outside"),
    "an absolute path": ("x.tar", lambda: tar_of({"/evil.txt": b"!"}), "a place outside"),
    "a parent folder in a zip": ("x.zip", lambda: zip_of({"pets/../../evil.txt": b"!"}), "a place outside"),
    "a symbolic link": (
        "x.tar",
        lambda: tar_of({}, link("pets/link", "/etc", tarfile.SYMTYPE)),
        "a link or a device",
    ),
    "a hard link": (
        "x.tar",
        lambda: tar_of({"pets/a": b"1"}, link("pets/b", "pets/a", tarfile.LNKTYPE)),
        "a link or",
    ),
    "a device": ("x.tar", lambda: tar_of({}, link("pets/null", "", tarfile.CHRTYPE)), "a link or a device"),
    "a link in a zip": ("x.zip", zip_with_link, "which is a link"),
    "half a tar": ("x.tar", lambda: tar_of(images())[:5000], "does not unpack"),
    "half a zip": ("x.zip", lambda: zip_of(images())[:5000], "does not unpack"),
    "no archive": ("x.tar", lambda: b"<html>not found</html>" * 99, "does not unpack"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_or_broken_archive_leaves_nothing_behind(tmp_path, kind):
    name, make, pattern = HOSTILE[kind]
    archive = tmp_path / "work" / name
    archive.parent.mkdir()
    archive.write_bytes(make())
    with pytest.raises(UserError, match=pattern) as caught:
        unpack(archive, "pets", archive.parent / "pets")
    assert "\n" not in str(caught.value)
    assert [path.name for path in archive.parent.iterdir()] == [name]
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def test_sets_that_cannot_be_downloaded_say_where_to_get_them(web):
    register(web, "pets.tar", b"")
    registry = Path("config/datasets.yaml")
    entry = yaml.safe_load(registry.read_text())
    del entry["pets"]["get"]
    entry["toys"] = {**entry["pets"], "made_here": True}
    registry.write_text(yaml.safe_dump(entry))
    found = m3ae("get", "pets", "--yes").stderr
    assert "bring it yourself from a friend (for friends only), to originals/pets" in found
    assert "every run makes its own: m3ae data source" in m3ae("get", "toys", "--yes").stderr
    assert "expected an entry of config/datasets.yaml" in m3ae("get", "pest", "--yes").stderr
    assert web.requests == []


# The hub, as far as its client needs one.

REPO = "doe/pets"


def parquet(labels: list[int]) -> bytes:
    pictures = [{"bytes": encoded(picture(9, 9, i), "PNG"), "path": f"{i}.png"} for i in range(len(labels))]
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": pictures, "label": labels}), buffer)
    return buffer.getvalue()


def publish(web: Web, gated: bool = False, **get) -> dict[str, bytes]:
    """A repository with two files of the set and one that is not of it."""
    files = {"data/train-0.parquet": parquet([0, 1, 1]), "data/test-0.parquet": parquet([1, 0])}
    everything = {**files, "data/extra-0.parquet": b"not this one"}
    listed = [
        {
            "type": "file",
            "path": path,
            "rfilename": path,
            "size": len(data),
            "oid": hashlib.sha1(data).hexdigest(),
            "blobId": hashlib.sha1(data).hexdigest(),
            "lfs": {"oid": hashlib.sha256(data).hexdigest(), "sha256": hashlib.sha256(data).hexdigest()}
            | {"size": len(data), "pointerSize": 100},
        }
        for path, data in everything.items()
    ]
    info = {"id": REPO, "sha": "c" * 40, "siblings": listed, "tags": []}
    api = f"/api/datasets/{REPO}"
    for path in (api, f"{api}/revision/main", f"{api}/revision/{'c' * 40}"):
        web.files[path] = json.dumps(info).encode()
    web.files[f"{api}/tree/{'c' * 40}"] = json.dumps(listed).encode()
    for path, data in everything.items():
        where = f"/datasets/{REPO}/resolve/{'c' * 40}/{path}"
        web.files[where] = data
        if gated:
            web.status[where] = (401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "no entry"})
    origin = {"kind": "hub", "to": "pets-full", "repo": REPO, "gated": gated, **get}
    origin["files"] = get.get("files", ["data/train-*.parquet", "data/test-*.parquet"])
    splits = {
        "train": {"path": "pets-full/data/train-*.parquet", "count": 3},
        "test": {"path": "pets-full/data/test-*.parquet", "count": 2},
    }
    entry = {"title": "Pets (Doe 2001)", "source": "the hub", "licence": "for friends only", "image": "image"}
    entry |= {"labels": {"label": CLASSES}, "splits": splits, "get": origin}
    Path("config/datasets.yaml").write_text(yaml.safe_dump({"pets": entry}, sort_keys=False))
    return files


def from_hub(endpoint: str, *arguments: str) -> subprocess.CompletedProcess:
    """Call the command line in a process of its own: the hub's client reads its settings at import."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": os.path.abspath("hf"), "HF_HUB_DISABLE_XET": "1"}
    hidden = ("HF_", "HUGGING")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    command = [sys.executable, "-m", "m3ae.cli", "data", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**environment, **settings}
    )


def test_files_from_the_hub_are_named_sized_brought_and_verified(web):
    files = publish(web)
    result = from_hub(web.url, "get", "pets", "--yes")
    assert result.returncode == 0, result.stderr
    size = sum(map(len, files.values()))
    assert f"{size / 1e3:.1f} kB" in result.stdout
    assert "for friends only" in result.stdout
    assert "pets: 3 images in train, 2 images in test" in result.stdout
    folder = Path("originals/pets-full")
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.glob("data/*")} == files
    assert not [path for path, _ in web.requests if "extra" in path]

    asked = len(web.requests)
    assert "is here already" in from_hub(web.url, "get", "pets").stdout
    assert len(web.requests) == asked


def test_a_gated_set_says_to_accept_the_terms_and_to_log_in(web):
    publish(web, gated=True)
    result = from_hub(web.url, "get", "pets", "--yes")
    page = f"https://huggingface.co/datasets/{REPO}"
    assert f"first:   accept the terms at {page}, and log in: hf auth login" in result.stdout
    assert result.returncode == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("m3ae: ")]
    assert errors == [
        f"m3ae: error: {page}: access is denied; accept the terms there, then log in with: hf auth login"
    ]
    assert "Traceback" not in result.stderr


def test_a_hub_that_is_away_or_has_changed_is_one_line(web):
    publish(web, files=["data/validation-*.parquet"])
    result = from_hub(web.url, "get", "pets", "--yes")
    assert "expected files data/validation-*.parquet, found none; the repository has changed" in result.stderr
    closed = Web()
    closed.close()
    result = from_hub(closed.url, "get", "pets", "--yes")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "cannot be reached (" in result.stderr


def test_a_file_that_differs_from_the_hubs_checksum_is_named(web):
    from m3ae.data.evalsets.hub import HubFile, verify

    path = Path("x.parquet")
    path.write_bytes(b"abc")
    verify(path, HubFile("x.parquet", 3, hashlib.sha256(b"abc").hexdigest()))
    verify(path, HubFile("x.parquet", 3, None))
    with pytest.raises(UserError, match=r"x.parquet: expected sha256 0{64}, found another; delete it"):
        verify(path, HubFile("x.parquet", 3, "0" * 64))
    with pytest.raises(UserError, match=r"x.parquet: expected 4 bytes, found 3; delete it and run again"):
        verify(path, HubFile("x.parquet", 4, None))


# The registry as a table, and a check by hand.


def test_the_table_says_which_sets_are_here(web):
    register(web, "pets.tar", ARCHIVES["pets.tar"]())
    before = m3ae("sets")
    assert before.exit_code == 0, before.output
    assert re.search(r"pets +test 2 +kind 2 +missing +- +for friends only", before.output)
    assert m3ae("get", "pets", "--yes").exit_code == 0
    assert re.search(r"pets +test 2 +kind 2 +found +-", m3ae("sets").output)
    Path("originals/pets/cat/2.png").write_bytes(b"")
    assert "wrong: expected 2 images, found 3" in m3ae("sets").output


def test_a_split_is_checked_by_hand(web):
    register(web, "pets.tar", ARCHIVES["pets.tar"]())
    assert m3ae("get", "pets", "--yes").exit_code == 0
    result = m3ae("evalset", "--dataset", "pets", "--split", "test", "--full")
    assert "pets, test: 2 images, as the registry says" in result.output
    sums = [hashlib.sha256(images()[f"pets/{name}/1.png"]).hexdigest() + "\n" for name in CLASSES]
    assert hashlib.sha256("".join(sums).encode()).hexdigest() in result.output
    assert "expected one of test" in m3ae("evalset", "--dataset", "pets", "--split", "val").stderr
    assert "expected --run RUN" in m3ae("evalset", "--dataset", "pets").stderr
