"""Downloads through img2dataset from a server on 127.0.0.1: complete, accounted for, able to go on."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from m3ae.cli.main import main
from m3ae.config import load_run
from m3ae.data.download import fetch
from m3ae.data.download.download import download_split
from m3ae.data.download.progress import Progress, count_file
from m3ae.data.download.resume import finished_shards
from m3ae.data.download.server import serve_folder
from m3ae.data.source.sources import make_source
from m3ae.errors import UserError
from whole_list import read_list

CONFIG = Path(__file__).parents[1] / "config"
RUN = """extends: tiny
data:
  source: {num_train: %d, num_heldout: 4, num_probe_train: 8, num_probe_test: 8, bad_share: 0.2}
  download: {shard_samples: %d}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder; `make(num, shard)` makes a run `small` with its source in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("M3AE_CONFIG_PATH", str(CONFIG))
    (tmp_path / "config").mkdir()

    def make(num_train=40, shard_samples=20):
        (tmp_path / "config/small.yaml").write_text(RUN % (num_train, shard_samples))
        run = load_run("small")
        make_source(run)
        return run

    return make


def read_tars(folder):
    """URL -> (image bytes, metadata) of every raw shard."""
    samples = {}
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar}
        for name in (name for name in files if name.endswith(".json")):
            metadata = json.loads(files[name])
            samples[metadata["url"]] = files[name.replace(".json", ".jpg")], metadata
    return samples


def assert_complete(run):
    """Every file of the source came unchanged, under the list's own URL, with all of its captions."""
    pairs = read_list(run.paths.list("train"))
    samples = read_tars(run.paths.raw("train"))
    images = run.paths.source / "images/train"
    assert {Path(url).name for url in samples} == {path.name for path in images.iterdir()}
    for url, captions in zip(pairs["url"], pairs["captions"], strict=True):
        if "dead" not in url:
            image, metadata = samples[url]
            assert image == (images / Path(url).name).read_bytes()
            assert json.loads(metadata["captions"]) == captions
    return pairs, samples


def test_download_brings_every_image_and_accounts_for_every_row(project):
    run = project()
    result = CliRunner().invoke(main, ["data", "download", "--run", "small", "--split", "train"])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "data/small/raw/train: 46 of 48 images downloaded"
    pairs, samples = assert_complete(run)
    report = json.loads(run.paths.download("train").read_text())
    assert report["failed"] == {"download_http_404": 2}
    assert report["urls"] == len(pairs) == report["downloaded"] + 2
    assert report["downloaded"] == len(samples)
    assert report["rows"] == pairs["captions"].str.len().sum()
    assert report["settings"] == run.stage("download")


def test_a_shard_that_is_not_whole_is_made_again(tmp_path):
    for shard in ("00000", "00001", "00002"):
        for ending in (".tar", ".parquet"):
            (tmp_path / (shard + ending)).touch()
        (tmp_path / f"{shard}_stats.json").write_text(f'{{"count": 20, "successes": {int(shard)}}}')
    assert [shard["successes"] for shard in finished_shards(tmp_path)] == [0, 1, 2]
    (tmp_path / "00000_stats.json").write_text('{"count": 2')  # cut short
    (tmp_path / "00001.tar").unlink()
    assert Progress(tmp_path).count() == 20
    assert [shard["successes"] for shard in finished_shards(tmp_path)] == [2]
    assert [path.name for path in tmp_path.glob("*.json")] == ["00002_stats.json"]  # what img2dataset skips


def test_progress_counts_urls_not_whole_shards(tmp_path):
    (tmp_path / "_tmp").mkdir()
    progress = Progress(tmp_path)
    count_file(tmp_path, 0).write_bytes(b"." * 7)
    count_file(tmp_path, 1).write_bytes(b"." * 5)
    assert progress.count() == 12
    for ending in (".tar", ".parquet"):
        (tmp_path / f"00000{ending}").touch()
    (tmp_path / "00000_stats.json").write_text('{"count": 20, "successes": 3}')
    assert progress.count() == 25


@pytest.mark.slow
def test_a_killed_download_leaves_no_process_and_goes_on(project, tmp_path):
    run = project(
        num_train=300, shard_samples=60
    )  # six shards: a worker makes them, beside img2dataset itself
    folder = run.paths.raw("train")
    command = "from m3ae.cli.main import main; main()"
    arguments = ["data", "download", "--run", "small", "--split", "train", "--threads", "1"]
    process = subprocess.Popen([sys.executable, "-c", command, *arguments])
    while not list(folder.glob("*_stats.json")):
        assert process.poll() is None
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not psutil.wait_procs(children, timeout=5)[1]

    finished = {path.name: path.stat().st_mtime_ns for path in folder.glob("*_stats.json")}
    assert len(finished) < 6
    assert len(children) > 1
    assert not run.paths.download("train").exists()
    download_split(run, "train", 1, 16)
    assert_complete(run)
    assert all((folder / name).stat().st_mtime_ns == time_ns for name, time_ns in finished.items())


def finish_without_img2dataset(run):
    """Lay down what a finished download leaves; no image is in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    urls = list(read_list(run.paths.list("train"))["url"])

    def fake(arguments, guard, log, tick):
        raw = Path(arguments["output_folder"])
        facts = {
            "caption": "a",
            "captions": "[]",
            "status": "failed_to_download",
            "error_message": "timed out",
        }
        rows = [
            {"key": f"{i:07d}", "first_key": f"{i:07d}", "url": url, **facts} for i, url in enumerate(urls)
        ]
        pq.write_table(pa.Table.from_pylist(rows), raw / "00000.parquet")
        tarfile.open(raw / "00000.tar", "w").close()
        (raw / "00000_stats.json").write_text(json.dumps({"count": len(rows), "successes": 0}))

    return fake


def test_nothing_downloaded_is_an_error_with_the_reasons(project, monkeypatch):
    run = project(num_train=10, shard_samples=100)
    monkeypatch.setattr("m3ae.data.download.passes.fetch", finish_without_img2dataset(run))
    with pytest.raises(UserError, match=r"got none from 12 URLs \(download_timeout: 12\)"):
        download_split(run, "train", 1, 1)
    assert not run.paths.download("train").exists()


@pytest.mark.parametrize("changed", ["list", "settings"])
def test_another_list_or_setting_discards_the_old_shards(project, monkeypatch, changed):
    run = project(num_train=10, shard_samples=100)
    monkeypatch.setattr("m3ae.data.download.passes.fetch", lambda *_: None)
    folder, report = run.paths.raw("train"), run.paths.download("train")
    with pytest.raises(UserError, match="1 of 1 raw shards failed"):
        download_split(run, "train", 1, 1)
    (folder / "00007.tar").touch()
    report.touch()
    with pytest.raises(UserError, match="failed"):
        download_split(run, "train", 1, 1)
    assert (folder / "00007.tar").exists()  # the same list and settings: kept

    if changed == "list":
        with run.paths.list("train").open("a") as file:
            file.write("http://127.0.0.1:8765/images/train/00000.jpg\tone more caption\n")
    else:
        run = project(num_train=10, shard_samples=90)
    with pytest.raises(UserError, match="failed"):
        download_split(run, "train", 1, 1)
    assert not (folder / "00007.tar").exists()
    assert not report.exists()


def test_img2dataset_failing_as_a_whole_is_one_line(project, monkeypatch, tmp_path):
    run = project(num_train=10)
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\necho 'Traceback ...'\necho 'ImportError: broken install'\nexit 3\n")
    failing.chmod(0o755)
    monkeypatch.setattr(fetch.sys, "executable", str(failing))
    with pytest.raises(
        UserError, match=r"stopped with code 3 \(ImportError: broken install\); see "
    ) as error:
        download_split(run, "train", 1, 1)
    assert "\n" not in str(error.value)


def get(port, target):
    """Status and body of a raw request, whose path no client library tidies."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.putrequest("GET", target, skip_host=True)
    connection.putheader("Host", "127.0.0.1")
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def test_the_server_sends_files_of_its_folder_alone(tmp_path):
    root = tmp_path / "root"
    (root / "images").mkdir(parents=True)
    (root / "images/a b.jpg").write_bytes(b"picture")
    (tmp_path / "secret").write_bytes(b"secret")
    with serve_folder(root) as port:
        assert get(port, "/images/a%20b.jpg") == (200, b"picture")
        assert get(port, "http://127.0.0.1:8765/images/a%20b.jpg") == (200, b"picture")  # as a proxy
        outside = [
            "/../secret",
            "/images/../../secret",
            "/%2e%2e/secret",
            "/..%2fsecret",
            f"/{tmp_path}/secret",
        ]
        folders = ["/", "/images", "/images/", "/none.jpg", "http://127.0.0.1:8765/../secret"]
        assert Counter(get(port, target)[0] for target in outside + folders) == {404: 10}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/new", data=b"x", method="PUT")
        with pytest.raises(urllib.error.HTTPError, match="501"):
            urllib.request.urlopen(request)
    with pytest.raises(ConnectionRefusedError):
        get(port, "/images/a%20b.jpg")
