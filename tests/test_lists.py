"""Lists of pairs: reading, refusing, splitting, and where they come from."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from m3ae.config import load_run
from m3ae.data.download.server import serve_folder
from m3ae.data.raw.broken import with_broken_rows
from m3ae.data.raw.samples import Rejected
from m3ae.data.source import remote, sources
from m3ae.data.source.broken import broken_beside, read_broken
from m3ae.data.source.lists import read_rows
from m3ae.data.source.remote import fetch_file
from m3ae.data.source.sources import make_source
from m3ae.data.source.weblist import check_list, split_list
from m3ae.errors import UserError
from whole_list import read_list

CONFIG = Path(__file__).parents[1] / "config"
SHARED = Path(__file__).parents[1].parent / "shared"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder; `write_run(text)` makes a run `small` in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("M3AE_CONFIG_PATH", str(CONFIG))
    (tmp_path / "config").mkdir()

    def write_run(text):
        (tmp_path / "config/small.yaml").write_text(text)
        return load_run("small")

    return write_run


def test_rows_of_a_url_are_grouped_in_first_seen_order(tmp_path):
    path = tmp_path / "list.tsv"
    path.write_bytes(
        "\ufeffhttp://a/1\tone\r\nhttps://b/2\ttwo\r\nhttp://a/1\tué\n".encode()
    )  # a byte order mark, both line ends
    pairs = read_list(path)
    assert pairs.to_dict("list") == {
        "url": ["http://a/1", "https://b/2"],
        "captions": [["one", "ué"], ["two"]],
    }


@pytest.mark.parametrize(
    ("line", "expected", "got"),
    [
        (b"http://a/2", "two fields", "1"),
        (b"http://a/2\ttwo\tthree", "two fields", "3"),
        (b"", "two fields", "1"),
        (b"file:///etc/passwd\ttwo", "http:// or https://", "file:///etc/passwd"),
        (b"ftp://a/2\ttwo", "http:// or https://", "ftp://a/2"),
        (b"http://\ttwo", "http:// or https://", "'http://'"),
        (b"http://a/2\t\xff\xfe", "UTF-8", "0xff"),
    ],
)
def test_a_broken_row_is_one_line_with_file_number_expected_and_got(tmp_path, line, expected, got):
    path = tmp_path / "list.tsv"
    path.write_bytes(b"http://a/1\tone\n" + line + b"\nhttp://a/3\tthree\n")
    with pytest.raises(UserError) as error:
        read_list(path)
    message = str(error.value)
    assert message.startswith(f"{path}: line 2: expected ")
    assert expected in message
    assert got in message
    assert "mend or remove" in message
    assert "\n" not in message


def test_what_the_web_puts_into_captions_and_urls_is_no_end_of_a_row(tmp_path):
    captions = [
        "",
        "  ",
        '"',
        "a\u2028b\u2029c\x85d",
        "nul\x00",
        "form\x0c feed\x0b",
        "a\rb",
        "''\"\"",
        "\ufeff",
        "é\u200d",
    ]
    urls = [f"http://höst.test/ä b/{i}?q=\u2028&x={{}}" for i in range(len(captions))]
    path = tmp_path / "list.tsv"
    path.write_bytes("".join(f" {u} \t{c}\n" for u, c in zip(urls, captions, strict=True)).encode())
    check_list(path, tmp_path / "train.tsv")  # written and read again
    for checked in (path, tmp_path / "train.tsv"):
        pairs = read_list(checked)
        assert list(pairs["url"]) == urls
        assert list(pairs["captions"]) == [[caption] for caption in captions]
    assert not broken_beside(tmp_path / "train.tsv").exists()


def test_a_broken_row_among_many_is_left_out_counted_and_listed(tmp_path):
    rows = [f"http://host/{i}\tcaption {i}\n".encode() for i in range(400)]
    broken = [b"url\tcaption\n", b"http://host/x\n", b"http://host/y\t\xff\n", b"\n"]
    whole, train, heldout = (tmp_path / f"{name}.tsv" for name in ("whole", "train", "heldout"))
    whole.write_bytes(b"".join([broken[0], *rows[:200], *broken[1:], *rows[200:]]))
    split_list(whole, train, heldout, 50)
    assert (len(read_list(train)), len(read_list(heldout))) == (350, 50)
    assert [row.number for row in read_broken(train)] == [1, 202, 203, 204]
    assert not broken_beside(heldout).exists()
    whole.write_bytes(b"".join(rows))
    split_list(whole, train, heldout, 50)
    assert not broken_beside(train).exists()
    whole.write_bytes(b"".join([*broken, broken[0], *rows]))
    with pytest.raises(UserError, match=rf"{whole}: line 1: expected a URL .*5 or more of 405 .* at most 1%"):
        split_list(whole, train, heldout, 50)


class OneImage:
    """A source of one image."""

    name, total, origin, num_rows, num_images = "made", 1, {"kind": "tsv"}, 0, 0

    def outcomes(self):
        yield Rejected("http://a", "download_http_404", "")
        self.num_rows, self.num_images = 2, 1

    def samples(self, keys):
        return iter(())


def test_broken_rows_of_a_list_reach_the_rejections(project):
    run = project("extends: paper\ndata: {source: {train: pairs.tsv, heldout: 3}}\n")
    assert isinstance(with_broken_rows(OneImage(), run, "train"), OneImage)
    path = run.paths.list("train")
    path.parent.mkdir(parents=True)
    broken_beside(path).write_text("7\texpected two fields\n12\texpected UTF-8 text\n")
    raw = with_broken_rows(OneImage(), run, "train")
    outcomes = list(raw.outcomes())
    assert [o.reason for o in outcomes] == ["download_http_404", "list_broken", "list_broken"]
    assert outcomes[-1].detail == "line 12: expected UTF-8 text"
    assert (raw.num_rows, raw.num_images, raw.total) == (4, 3, 3)
    assert raw.origin == {"kind": "tsv", "broken_rows": 2}


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the local copy of real rows")
def test_all_real_rows_of_conceptual_captions_are_read_and_split_without_a_loss(tmp_path):
    path = SHARED / "data/text/cc3m_val_urls.tsv"
    rows = list(read_rows(path))
    assert len(rows) == 15_833
    assert [f"{url}\t{caption}".encode() for url, caption in rows] == path.read_bytes().split(b"\n")[:-1]
    split_list(path, tmp_path / "train.tsv", tmp_path / "heldout.tsv", 1000)
    train, heldout = (list(read_rows(tmp_path / f"{split}.tsv")) for split in ("train", "heldout"))
    assert sorted(train + heldout) == sorted(rows)
    assert len({row.url for row in heldout}) == 1000
    assert not {row.url for row in heldout} & {row.url for row in train}
    assert not broken_beside(tmp_path / "train.tsv").exists()


def test_a_missing_list_is_refused(tmp_path):
    with pytest.raises(UserError, match="m3ae data source"):
        list(read_rows(tmp_path / "none.tsv"))


def test_split_holds_out_the_urls_with_the_smallest_hashes_whatever_the_order(tmp_path):
    rows = [f"http://host/{i % 90}\tcaption {i}" for i in range(100)]  # ten URLs come twice
    urls = sorted(
        {row.split("\t")[0] for row in rows},
        key=lambda u: hashlib.blake2b(u.encode(), digest_size=16).digest(),
    )
    expected = set(urls[:7])
    for order in (rows, rows[::-1]):
        (tmp_path / "list.tsv").write_text("".join(row + "\n" for row in order))
        split_list(tmp_path / "list.tsv", tmp_path / "train.tsv", tmp_path / "heldout.tsv", 7)
        train, heldout = ((tmp_path / f"{s}.tsv").read_text().splitlines() for s in ("train", "heldout"))
        assert train == [row for row in order if row.split("\t")[0] not in expected]
        assert heldout == [row for row in order if row.split("\t")[0] in expected]


def test_split_refuses_to_hold_everything_out_and_leaves_the_old_lists(tmp_path):
    (tmp_path / "list.tsv").write_text("http://a/1\tone\nhttp://a/2\ttwo\n")
    (tmp_path / "train.tsv").write_text("old")
    with pytest.raises(UserError, match="heldout: expected fewer than the 2 URLs"):
        split_list(tmp_path / "list.tsv", tmp_path / "train.tsv", tmp_path / "heldout.tsv", 2)
    assert (tmp_path / "train.tsv").read_text() == "old"


def test_the_list_of_the_web_is_fetched_once(project, tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "web/pairs.tsv").write_text("".join(f"http://host/{i}.jpg\tcaption {i}\n" for i in range(20)))
    with serve_folder(tmp_path / "web") as port:
        run = project(
            f"extends: paper\ndata: {{source: {{train: http://127.0.0.1:{port}/pairs.tsv, heldout: 3}}}}\n"
        )
        make_source(run)
    assert len(read_list(run.paths.list("train"))) == 17
    assert len(read_list(run.paths.list("heldout"))) == 3
    make_source(run)  # the server is gone: the list lies there


def test_another_address_is_another_list(project, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "web").mkdir(exist_ok=True)
        (tmp_path / f"web/{name}.tsv").write_text("".join(f"http://{name}/{i}\tx\n" for i in range(9)))
    with serve_folder(tmp_path / "web") as port:
        for name in ("a", "b"):
            address = f"http://127.0.0.1:{port}/{name}.tsv"
            run = project(f"extends: paper\ndata: {{source: {{train: '{address}', heldout: 3}}}}\n")
            make_source(run)
            assert all(url.startswith(f"http://{name}/") for url in read_list(run.paths.list("train"))["url"])


def test_lists_may_be_files_and_held_out_pairs_a_list_of_their_own(project, tmp_path, monkeypatch):
    monkeypatch.setenv("M3AE_DATA_ROOT", str(tmp_path / "root"))
    (tmp_path / "root").mkdir()
    (tmp_path / "root/pairs.tsv").write_text("".join(f"http://a/{i}\tcaption {i}\n" for i in range(20)))
    (tmp_path / "root/other.tsv").write_text("http://b/1\tanother\n")
    run = project("extends: paper\ndata: {source: {train: pairs.tsv, heldout: other.tsv}}\n")
    make_source(run)
    for split, name in (("train", "pairs"), ("heldout", "other")):
        assert run.paths.list(split).read_text() == (tmp_path / f"root/{name}.tsv").read_text()
    run = project("extends: paper\ndata: {source: {train: none.tsv, heldout: 3}}\n")
    with pytest.raises(UserError, match=r"data.source.train: expected a file at .*none.tsv, found nothing"):
        make_source(run)


def test_a_list_that_cannot_be_fetched_is_one_line_and_leaves_nothing(tmp_path):
    with serve_folder(tmp_path) as port, pytest.raises(UserError, match=r"404.*bring the file here"):
        fetch_file(f"http://127.0.0.1:{port}/none.tsv", tmp_path / "list.tsv")
    assert list(tmp_path.iterdir()) == []


class Unsteady(BaseHTTPRequestHandler):
    """Sends 100 bytes at most, whatever it promised; knows ranges unless it is told not to."""

    content, knows_ranges, tag = b"", True, "1"
    asked: list[str | None]

    def do_GET(self):
        asked = self.headers["Range"]
        self.asked.append(asked)
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.knows_ranges else 0
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(self.content) - first))
        self.send_header("ETag", self.tag)
        self.end_headers()
        self.wfile.write(self.content[first : first + 100])

    def log_message(self, *_):
        pass


@pytest.fixture
def unsteady(monkeypatch):
    """A server that breaks off; its handler."""
    monkeypatch.setattr(remote, "RETRY_S", 0)
    handler = type("Handler", (Unsteady,), {"asked": [], "content": bytes(range(250))})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        handler.address = f"http://127.0.0.1:{server.server_port}/list.tsv"
        yield handler
        server.shutdown()


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(unsteady, tmp_path):
    fetch_file(unsteady.address, tmp_path / "list.tsv")
    assert (tmp_path / "list.tsv").read_bytes() == unsteady.content
    assert unsteady.asked == [None, "bytes=100-", "bytes=200-"]


def test_a_transfer_that_never_ends_is_refused(unsteady, tmp_path):
    unsteady.knows_ranges = False  # every answer begins again, and breaks off at the same byte
    with pytest.raises(UserError, match=r"cannot be fetched \(.*expected 250 bytes, got 100"):
        fetch_file(unsteady.address, tmp_path / "list.tsv")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changes_meanwhile_is_refused(unsteady, tmp_path, monkeypatch):
    do_get = unsteady.do_GET

    def change(self):
        do_get(self)
        unsteady.tag += "1"

    monkeypatch.setattr(unsteady, "do_GET", change)
    with pytest.raises(UserError, match="changed while it was fetched; run again"):
        fetch_file(unsteady.address, tmp_path / "list.tsv")
    assert list(tmp_path.iterdir()) == []


def make_flickr8k(root):
    folder = root / "flickr8k"
    (folder / "images").mkdir(parents=True)
    for name in ("a.jpg", "b c.jpg", "d.jpg"):
        (folder / "images" / name).touch()
    (folder / "captions.tsv").write_text("a.jpg\tA dog .\nb.jpg\tunused\na.jpg\tA cat .\nd.jpg\tSnow .\n")
    for split, name in (("train", "a.jpg"), ("dev", "d.jpg"), ("test", "d.jpg")):
        (folder / f"split_{split}.txt").write_text(name + "\n")
    return folder


def test_flickr8k_lists_follow_the_official_splits(project, tmp_path, monkeypatch):
    make_flickr8k(tmp_path)
    monkeypatch.setenv("M3AE_DATA_ROOT", str(tmp_path))
    run = project("extends: photos\n")
    make_source(run)
    train, heldout = (read_list(run.paths.list(split)) for split in ("train", "heldout"))
    assert train.to_dict("list") == {
        "url": [f"{sources.HOST}/images/a.jpg"],
        "captions": [["A dog .", "A cat ."]],
    }
    assert list(heldout["url"]) == [f"{sources.HOST}/images/d.jpg"]


@pytest.mark.parametrize("name", ["captions.tsv", "split_train.txt", "split_test.txt", "images/a.jpg"])
def test_a_missing_piece_of_flickr8k_is_named_with_the_place_to_get_it(project, tmp_path, monkeypatch, name):
    (make_flickr8k(tmp_path) / name).unlink()
    monkeypatch.setenv("M3AE_DATA_ROOT", str(tmp_path))
    with pytest.raises(UserError, match=f"{name}: no such file; get Flickr8k from https://"):
        make_source(project("extends: photos\n"))


@pytest.mark.parametrize("content", [b"a.jpg\tA d\xffg .\n", b"a.jpg A dog .\n", b"a.jpg\t\n"])
def test_broken_flickr8k_captions_are_one_line(project, tmp_path, monkeypatch, content):
    (make_flickr8k(tmp_path) / "captions.tsv").write_bytes(content)
    monkeypatch.setenv("M3AE_DATA_ROOT", str(tmp_path))
    with pytest.raises(UserError, match=r"captions.tsv: .*expected .*get Flickr8k"):
        make_source(project("extends: photos\n"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the local copy of Flickr8k")
def test_the_real_flickr8k_gives_five_captions_of_6000_and_1000_photographs(project, monkeypatch):
    monkeypatch.setenv("M3AE_DATA_ROOT", str(SHARED / "data"))
    run = project("extends: photos\n")
    make_source(run)
    for split, count in (("train", 6000), ("heldout", 1000)):
        pairs = read_list(run.paths.list(split))
        assert len(pairs) == count
        assert set(pairs["captions"].str.len()) == {5}


def test_a_failure_leaves_the_old_toy_source(project, tmp_path, monkeypatch):
    run = project("extends: tiny\ndata: {source: {heldout_digits: [0, 1, 2, 3, 4, 5, 6, 7, 8]}}\n")
    run.paths.source.mkdir(parents=True)
    (run.paths.source / "train.tsv").write_text("old")
    with pytest.raises(UserError, match="heldout_digits"):
        make_source(run)
    assert [p.name for p in run.paths.data.rglob("*")] == ["source", "train.tsv"]
