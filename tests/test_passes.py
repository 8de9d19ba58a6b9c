"""Passes over a list: what may pass is asked again, nothing else is, and the result is one download's."""

import inspect
import io
import json
import random
import shutil
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from hostile_server import FOUND_BY_CLEANING, MAX_BYTES, REASONS, hostile_server
from in_process import fetch_here
from m3ae.config import load_run
from m3ae.data.download.download import download_split
from m3ae.data.download.layout import keys_of
from m3ae.data.download.report import host_of, yield_tables
from m3ae.data.download.table import first_rows
from m3ae.data.raw.img2dataset import Img2datasetRaw
from m3ae.data.raw.samples import RawSample
from m3ae.data.source.lists import Row, write_list
from m3ae.errors import UserError
from raw_shards import encoded, picture
from small_project import CHECKOUT
from whole_list import read_list

SHARD_SAMPLES = 10


def jpeg(name):
    """A picture that no other name gives."""
    colour = tuple(random.Random(name).randbytes(3))
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def enter(folder, patch):
    """Make ``folder`` the project's; its downloads run in this process."""
    (folder / "config").mkdir(exist_ok=True)
    patch.chdir(folder)
    patch.setattr(tempfile, "tempdir", str(folder))
    patch.setenv("M3AE_CONFIG_PATH", str(CHECKOUT / "config"))
    patch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    patch.setattr("m3ae.data.download.passes.fetch", fetch_here)
    patch.setattr("m3ae.data.download.download.getproxies", dict)


def make_run(rows, **download):
    """A run with such a list, in the current project."""
    settings = {
        "timeout_s": 3, "total_timeout_s": 4, "max_bytes": MAX_BYTES, "per_host": 4,
        "shard_samples": SHARD_SAMPLES, "allow_networks": ["127.0.0.1/32"], "passes": 2, **download,
    }  # fmt: skip
    source = {"kind": "tsv", "train": "x.tsv", "heldout": 1}
    run = {"extends": "tiny", "data": {"source": source, "download": settings}}
    Path("config/web.yaml").write_text(yaml.safe_dump(run))
    run = load_run("web")
    write_list(run.paths.list("train"), rows)
    return run


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder; `make_run` makes a run in it."""
    enter(tmp_path, monkeypatch)
    return make_run


def rows_of(server, count=50, without=()):
    """A list in which every kind of answer stands, some URLs with two captions; URL -> kind."""
    kinds = [kind for kind in REASONS if kind not in without] + ["slow"] * 8
    kinds += ["good"] * (count - len(kinds))
    random.Random(0).shuffle(kinds)
    urls = {f"{server.url}/{kind}/{i}.jpg": kind for i, kind in enumerate(kinds)}
    rows = [Row(url, f"caption {i}") for i, url in enumerate(urls)]
    rows += [Row(url, "a second caption") for url in list(urls)[::7]]
    return urls, rows


def report_of(run):
    return json.loads(run.paths.download("train").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished download of a hostile list: its project's folder, the server, the kind of each URL."""
    folder = tmp_path_factory.mktemp("project")
    with hostile_server(jpeg) as server:
        urls, rows = rows_of(server)
        with pytest.MonkeyPatch.context() as patch:
            enter(folder, patch)
            download_split(make_run(rows), "train", 1, 12)
        asked = {url: server.requests[url.removeprefix(server.url)] for url in urls}
        yield folder, server, urls, asked


@pytest.fixture
def downloaded(finished, tmp_path, monkeypatch):
    """A copy of it, that a test may change: its run, and the kind of each URL."""
    folder, _, urls, _ = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    enter(tmp_path, monkeypatch)
    return load_run("web"), urls


def test_a_hostile_list_ends_with_every_url_under_its_reason(finished, downloaded):
    (run, urls), (_, server, _, requests) = downloaded, finished
    outcomes = list(Img2datasetRaw(run, "train").outcomes())
    assert [outcome.url for outcome in outcomes] == list(urls)  # once each, in the order of the list
    for outcome in outcomes:
        expected = REASONS[urls[outcome.url]]
        if isinstance(outcome, RawSample):  # whether bytes are an image is for cleaning to say
            assert expected in (None, *FOUND_BY_CLEANING)
        else:
            assert outcome.reason == expected, outcome
    asked = {kind: requests[url] for url, kind in urls.items()}
    once = ("404", "403", "410", "no-ai", "large", "page", "empty", "to-file", "to-private", "good")
    twice = ("500", "hang", "drip-body", "drip-head", "cut", "reset", "503-once", "429-once")
    assert {asked[kind] for kind in once} == {1}
    assert {asked[kind] for kind in twice} == {2}
    assert 1 <= max(server.most.values()) <= 4  # of 12 threads

    report = report_of(run)
    expected = Counter(REASONS[kind] for kind in urls.values())
    expected[None] += sum(expected.pop(reason) for reason in FOUND_BY_CLEANING)
    assert report["downloaded"] == expected.pop(None)
    assert report["failed"] == dict(sorted(expected.items()))
    assert (report["urls"], report["rows"]) == (len(urls), len(urls) + len(list(urls)[::7]))
    first, second = report["passes"]
    assert first["asked"] == len(urls)
    assert second["asked"] == 10
    assert second["downloaded"] == 2  # 503-once, 429-once
    assert first["downloaded"] + second["downloaded"] == report["downloaded"]
    (host,) = report["hosts"]
    assert host == {
        "host": "127.0.0.1", "asked": len(urls), "downloaded": report["downloaded"],
        "failure": "download_timeout",
    }  # fmt: skip
    table = yield_tables(report, run.paths.raw("train").with_name("train-hosts.parquet"))
    lines = [line.split() for line in table.splitlines()]
    assert ["downloaded", str(report["downloaded"]), f"{report['downloaded'] / len(urls):.1%}"] in lines
    assert lines[-1] == ["127.0.0.1", str(len(urls)), str(report["downloaded"]), "download_timeout"]


def test_the_result_does_not_depend_on_the_pass_in_which_an_image_came(downloaded):
    run, _ = downloaded
    before = list(Img2datasetRaw(run, "train").outcomes())
    (run.paths.raw("train") / "fingerprint.txt").unlink()  # as another list would: everything anew
    download_split(run, "train", 1, 12)  # by now 503-once and 429-once answer at the first request
    assert report_of(run)["passes"][1]["downloaded"] == 0
    after = list(Img2datasetRaw(run, "train").outcomes())
    assert [one._replace(detail="") if hasattr(one, "detail") else one for one in before] == [
        one._replace(detail="") if hasattr(one, "detail") else one for one in after
    ]


def test_samples_by_key_open_only_the_raw_shards_that_hold_them(downloaded, monkeypatch):
    run, urls = downloaded
    raw = Img2datasetRaw(run, "train")
    every = {one.url: one for one in raw.outcomes() if isinstance(one, RawSample)}
    cured = next(one for url, one in every.items() if urls[url] == "429-once")
    good = next(one for url, one in every.items() if urls[url] == "good")
    opened = []
    real = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda path, *rest: opened.append(path) or real(path, *rest))
    assert list(raw.samples({cured.key, good.key})) == sorted([cured, good], key=lambda one: one.key)
    assert len(opened) == 2
    assert list(raw.samples([])) == []
    assert list(raw.samples([one.key for one in every.values()])) == list(every.values())


def test_more_passes_go_on_from_those_that_are_there(project):
    with hostile_server(jpeg) as server:
        urls, rows = rows_of(server, 40, without=("hang", "drip-body", "drip-head"))
        run = project(rows, passes=1)
        download_split(run, "train", 1, 12)
        assert report_of(run)["failed"]["download_http_503"] == 1
        run = project(rows, passes=3)
        download_split(run, "train", 1, 12)
        assert "download_http_503" not in report_of(run)["failed"]
        assert [one["asked"] for one in report_of(run)["passes"]] == [40, 7, 5]
        asked = Counter({kind: server.requests[url.removeprefix(server.url)] for url, kind in urls.items()})
        assert (asked["500"], asked["404"]) == (3, 1)
        before = server.requests.total()
        download_split(run, "train", 1, 12)  # all is there
        assert server.requests.total() == before
        run = project(rows, passes=1)  # back to one: its outcomes alone count
        download_split(run, "train", 1, 12)
        assert report_of(run)["failed"]["download_http_503"] == 1
        outcomes = list(Img2datasetRaw(run, "train").outcomes())
        assert sum(isinstance(one, RawSample) for one in outcomes) == report_of(run)["downloaded"]
        assert server.requests.total() == before


def test_a_lost_url_is_rejected_at_its_place(downloaded):
    run, urls = downloaded
    path = run.paths.raw("train") / "00002.parquet"
    table = pq.read_table(path).sort_by("key")
    lost = next(i for i, status in enumerate(table["status"].to_pylist()) if status != "success")
    url = table["url"][lost].as_py()
    pq.write_table(table.take([i for i in range(len(table)) if i != lost]), path)
    (run.paths.raw("train") / "pass2").rename(run.paths.raw("train") / "elsewhere")
    report = report_of(run)
    first = report["passes"][:1]
    run.paths.download("train").write_text(
        json.dumps({**report, "passes": first, "downloaded": first[0]["downloaded"]})
    )
    outcomes = list(Img2datasetRaw(run, "train").outcomes())
    assert [outcome.url for outcome in outcomes] == list(urls)
    assert [one.url for one in outcomes if getattr(one, "reason", "") == "download_lost"] == [url]


def test_a_download_that_is_not_what_its_report_says_is_refused(downloaded):
    run, _ = downloaded
    report = report_of(run)
    run.paths.download("train").write_text(json.dumps({**report, "downloaded": report["downloaded"] + 1}))
    with pytest.raises(UserError, match=r"expected \d+ samples of 50 URLs, as train.json says; found \d+"):
        list(Img2datasetRaw(run, "train").outcomes())


def test_a_list_is_grouped_as_a_dict_would_in_parts_of_whole_shards(tmp_path, monkeypatch):
    choose = random.Random(1)
    rows = [Row(f"http://a.b/{choose.randrange(400)}", f"caption {i} ä") for i in range(1000)]
    rows += [Row(f"http://a.b/only-{i}", "once") for i in range(100)]
    choose.shuffle(rows)
    write_list(tmp_path / "list.tsv", rows)
    monkeypatch.setattr("m3ae.data.download.table.hash", lambda url: len(url), raising=False)  # collisions
    got = list(first_rows(tmp_path / "list.tsv"))
    pairs = read_list(tmp_path / "list.tsv")
    assert [row["url"] for row in got] == list(pairs["url"])
    assert [json.loads(row["captions"]) for row in got] == list(pairs["captions"])
    assert all(row["caption"] == json.loads(row["captions"])[0] for row in got)


@pytest.mark.parametrize("shard_samples", [1, 7, 10, 1000])
def test_keys_are_img2datasets(shard_samples):
    import math

    from img2dataset.downloader import compute_key

    keys = keys_of(shard_samples)
    for index in range(25):
        shard, row = divmod(index, shard_samples)
        assert next(keys) == compute_key(row, shard, math.ceil(math.log10(shard_samples)), 5)


def test_an_empty_list_and_an_unknown_distributor_are_one_line(project):
    run = project([])
    with pytest.raises(UserError, match="got an empty file"):
        download_split(run, "train", 1, 1)
    with pytest.raises(UserError, match="expected one of multiprocessing, ray, pyspark, got 'slurm'"):
        download_split(run, "train", 1, 1, "slurm")


@pytest.mark.parametrize("name", ["ray", "pyspark"])
def test_a_distributor_whose_package_is_missing_is_one_line(project, monkeypatch, name):
    monkeypatch.setattr("m3ae.data.download.download.find_spec", lambda _: None)
    with pytest.raises(UserError, match=f"distributor {name}: needs the package {name}; pip install"):
        download_split(project([]), "train", 1, 1, name)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://A.example/x", "a.example"),
        ("https://user:word@b.example:81/x", "b.example"),
        ("http://[::1]:80/", "[::1]"),
        ("http://c.example?x@d.example/", "c.example"),
        ("no url", ""),
    ],
)
def test_hosts_are_read_from_urls(url, host):
    assert host_of(url) == host


@pytest.mark.parametrize(("processes", "num", "started"), [(1, 5, 0), (1, 6, 6), (2, 2, 2)])
def test_one_worker_with_few_shards_is_no_process_of_its_own(monkeypatch, processes, num, started):
    from m3ae.data.download import worker

    given, made = [], []
    monkeypatch.setattr(worker, "multiprocessing_distributor", lambda _, __, rows, *___: given.extend(rows))
    rows = [(number, "rows") for number in range(num)]
    worker.distribute_here(processes, lambda row: (made.append(row) or True, row), iter(rows), 1000, 1)
    assert (len(made), len(given)) == (num - started, started)
    assert made + given == rows


def test_few_shards_that_fail_are_tried_again(capsys):
    from m3ae.data.download.worker import distribute_here

    calls = Counter()

    def download(row):
        calls[row] += 1
        return calls[row] > row[0], row

    distribute_here(1, download, [(0, "a"), (1, "b"), (2, "c")], 1000, 1)
    assert calls == {(0, "a"): 1, (1, "b"): 2, (2, "c"): 2}
    assert "1 shards still failed" in capsys.readouterr().out


def test_ray_tries_failed_shards_again_and_says_which_still_fail(monkeypatch, capsys):
    """img2dataset's own distributor drops what the tasks answer."""
    from m3ae.data.download.worker import distribute_over_ray

    calls = Counter()

    def download(_, row):
        calls[row] += 1
        return calls[row] > row[0], row  # shard 0 at once, shard 1 at the second try, shard 2 never in two

    task = SimpleNamespace(remote=download)
    monkeypatch.setitem(
        sys.modules, "ray", SimpleNamespace(remote=lambda _: task, get=lambda answers: answers)
    )
    distribute_over_ray(1, None, [(0, "a"), (1, "b"), (2, "c")], 1000, 1)
    assert calls == {(0, "a"): 1, (1, "b"): 2, (2, "c"): 2}
    assert "1 shards still failed" in capsys.readouterr().out


def test_an_img2dataset_that_does_not_use_our_fetch_is_refused(tmp_path, monkeypatch):
    from img2dataset.downloader import Downloader

    from m3ae.data.download import worker
    from m3ae.data.download.guard import Guard

    (tmp_path / "_tmp").mkdir()
    ours = object.__new__(worker.GuardedDownloader)
    ours.guard, ours.output_folder = Guard(1, 1, 1, 1, "", [], []), str(tmp_path)
    monkeypatch.setattr(worker.img2dataset_downloader, "download_image_with_retry", None)
    monkeypatch.setattr(Downloader, "__call__", lambda self, row: (True, row))  # goes another way
    with pytest.raises(RuntimeError, match="did not call our fetch"):
        ours((0, "file"))


def test_a_slot_folder_that_cannot_be_used_fails_the_shard_and_no_url(project, monkeypatch, capsys):
    from m3ae.data.download import slots

    def refuse():
        raise PermissionError(13, "belongs to somebody else")

    with hostile_server(jpeg) as server:
        run = project([Row(f"{server.url}/good/{i}.jpg", "a caption") for i in range(3)])
        with monkeypatch.context() as patch:
            patch.setattr(slots, "slot_folder", refuse)
            with pytest.raises(UserError, match="1 of 1 raw shards failed"):
                download_split(run, "train", 1, 4)
        assert "no slots for connections ([Errno 13] belongs to somebody else)" in capsys.readouterr().out
        download_split(run, "train", 1, 4)
    assert report_of(run)["failed"] == {}


def test_our_downloader_travels_to_workers_by_pickling():
    """What the distributors do; it is our own object, nothing from outside is read."""
    from multiprocessing.reduction import ForkingPickler

    from img2dataset.downloader import Downloader

    from m3ae.data.download.guard import Guard
    from m3ae.data.download.worker import GuardedDownloader

    guard = Guard(1, 2, 3, 4, "bot", ["noai"], ["10.0.0.0/8"], {"http": "http://proxy:1"})
    parameters = set(inspect.signature(Downloader).parameters) - {"user_agent_token"}
    parameters.remove("disallowed_header_directives")
    sent = GuardedDownloader(
        guard, **dict.fromkeys(parameters), user_agent_token=None, disallowed_header_directives=None
    )
    arrived = ForkingPickler.loads(ForkingPickler.dumps(sent))
    assert type(arrived) is GuardedDownloader
    assert arrived.guard == guard


def test_what_does_not_decode_while_it_is_shrunk_is_a_broken_image(project):
    """`resize: keep_ratio`, as `paper` has it: img2dataset decodes, and the short side becomes 48 px."""
    with hostile_server(lambda name: encoded(picture(120, 90, seed=len(name)))) as server:
        kinds = ["good", "page", "empty", "good"]
        urls = [f"{server.url}/{kind}/{i}.jpg" for i, kind in enumerate(kinds)]
        run = project([Row(url, "a caption") for url in urls], resize="keep_ratio")
        download_split(run, "train", 1, 4)
    outcomes = list(Img2datasetRaw(run, "train").outcomes())
    assert [outcome.url for outcome in outcomes] == urls
    assert [getattr(outcome, "reason", "good") for outcome in outcomes] == [
        "good" if kind == "good" else "image_broken" for kind in kinds
    ]
    for sample in (outcomes[0], outcomes[-1]):
        assert Image.open(io.BytesIO(sample.image)).size == (64, 48)
