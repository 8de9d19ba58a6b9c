"""Lists of pairs: reading, refusing, splitting, and where they come from."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from m3ae.config import load_run
from m3ae.data.download.server import serve_folder
from m3ae.data.source import sources
from m3ae.data.source.lists import read_list
from m3ae.data.source.sources import make_source
from m3ae.data.source.weblist import fetch_list, split_list
from m3ae.errors import UserError

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
        (b"http://a/2\t  ", "a caption", "'  '"),
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


def test_missing_and_empty_lists_are_refused(tmp_path):
    with pytest.raises(UserError, match="m3ae data source"):
        read_list(tmp_path / "none.tsv")
    (tmp_path / "empty.tsv").touch()
    with pytest.raises(UserError, match="empty file"):
        read_list(tmp_path / "empty.tsv")


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


def test_a_list_that_cannot_be_fetched_is_one_line_and_leaves_nothing(tmp_path):
    with serve_folder(tmp_path) as port, pytest.raises(UserError, match=r"404.*put the list at"):
        fetch_list(f"http://127.0.0.1:{port}/none.tsv", tmp_path / "list.tsv")
    with pytest.raises(UserError, match="expected http:// or https://"):
        fetch_list("file:///etc/hosts", tmp_path / "list.tsv")
    assert list(tmp_path.iterdir()) == []


def test_a_list_whose_transfer_breaks_off_is_refused(tmp_path):
    class Short(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"http://a/1\tone\n")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Short) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(UserError, match="expected 100 bytes, got 15"):
            fetch_list(f"http://127.0.0.1:{server.server_port}/list.tsv", tmp_path / "list.tsv")
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
