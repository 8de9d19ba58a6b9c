"""Four sources, one result: lists, crawls, folders and HDF5 give the same shards, and refuse what is odd."""

import json
import os
import tarfile
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from forked import snakemake
from four_sources import (
    add,
    pictures,
    source_settings,
    write_crawl,
    write_hdf5,
    write_images,
    write_list,
)
from m3ae.cli.main import main
from m3ae.config import load_run
from m3ae.config.sources import brought_before
from m3ae.data.clean.clean import clean_split
from m3ae.data.download.server import serve_folder
from m3ae.data.raw.bring import bring
from m3ae.data.raw.open import open_raw
from m3ae.data.raw.samples import RawSample, Rejected
from m3ae.data.raw.tables import read_table
from m3ae.data.source import remote
from m3ae.data.source.files import escape, read_files, unescape
from m3ae.data.source.sources import make_files, make_source
from m3ae.errors import UserError
from raw_shards import encoded, picture
from test_workflow import copy_project, planned

LOCAL = ["webdataset", "csv", "tsv", "jsonl", "hdf5"]
DOWNLOAD = {"passes": 1, "shard_samples": 16, "resize": "no", "allow_networks": ["127.0.0.0/8"]}
CLEAN = {"min_side_px": 8, "shard_samples": 12}
RESULT = ("manifest.json", "index.arrow", "captions.parquet")


def make_run(folder, monkeypatch, source, **data):
    """A run with this source; the data root is ``folder``/root."""
    monkeypatch.setenv("M3AE_DATA_ROOT", str(folder / "root"))
    settings = {"extends": "tiny", "data": {"source": source, "download": DOWNLOAD, "clean": CLEAN, **data}}
    (folder / "project/config").mkdir(parents=True, exist_ok=True)
    (folder / "project/config/small.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("M3AE_CONFIG_PATH", str(Path(__file__).parents[1] / "config"))
    monkeypatch.chdir(folder / "project")
    return load_run("small")


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Write pictures in one form and bring them: ``make(kind, pictures, heldout)`` gives the run."""

    def make_kind(kind, made, heldout=4, splits=("train", "heldout"), **data):
        source = source_settings(kind, tmp_path / "root", made, heldout)
        run = make_run(tmp_path, monkeypatch, source, **data)
        make_source(run)
        for split in splits:
            bring(run, split)
        return run

    return make_kind


def result_of(run, split):
    """Every byte of the clean shards that depends on the samples alone."""
    folder = run.paths.shards(split)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if is_result(path)}


def is_result(path):
    return path.suffix == ".tar" or path.name in RESULT


def write_other(kind, root, made):
    """Pictures for the other split in the same form; what `heldout` then says."""
    root.mkdir(exist_ok=True)
    if kind == "webdataset":
        write_crawl(root / "other", made)
        return "other/*.tar"
    if kind == "hdf5":
        write_hdf5(root / "other.h5", made)
        return "other.h5"
    source_settings(kind, root / "x", made, 0)
    (root / "x" / f"table.{kind}").rename(root / f"other.{kind}")
    return f"other.{kind}"


@pytest.fixture(scope="module")
def from_hdf5(tmp_path_factory):
    """Clean shards of the authors' layout: what all others must be like."""
    folder = tmp_path_factory.mktemp("hdf5")
    with pytest.MonkeyPatch.context() as patch:
        source = source_settings("hdf5", folder / "root", pictures(), "pairs.h5")
        run = make_run(folder, patch, source)
        make_source(run)
        bring(run, "train")
        clean_split(run, "train")
        return result_of(run, "train")


@pytest.mark.parametrize("kind", LOCAL)
def test_the_same_samples_give_the_same_bytes_whatever_brought_them(make, tmp_path, from_hdf5, kind):
    made = pictures()
    run = make(kind, made, write_other(kind, tmp_path / "root", made[:5]))
    clean_split(run, "train")
    result = result_of(run, "train")
    assert sorted(result) == sorted([*(f"{n:05d}.tar" for n in range(4)), *RESULT])
    assert result == from_hdf5
    manifest = json.loads(result["manifest.json"])
    assert manifest["rejected"] == {"caption_empty": 1, "image_broken": 1, "image_duplicate": 1}
    assert manifest["yield"]["images"] == len(made)
    assert manifest["yield"]["rows"] == sum(len(p.captions) for p in made)


@pytest.mark.slow
def test_a_list_from_the_web_gives_the_same_bytes_as_local_files(tmp_path, monkeypatch, from_hdf5):
    write_images(tmp_path / "web", pictures())
    with serve_folder(tmp_path / "web") as port:
        write_list(tmp_path / "root/pairs.tsv", pictures(), f"http://127.0.0.1:{port}")
        source = {"kind": "tsv", "train": "pairs.tsv", "heldout": "pairs.tsv"}
        run = make_run(tmp_path, monkeypatch, source)
        for command in (["source"], ["download", "--split", "train"], ["clean", "--split", "train"]):
            call("data", *command, "--run", "small")
    assert result_of(run, "train") == from_hdf5


def call(*arguments):
    """Run a command of ours; what it printed."""
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("kind", LOCAL)
def test_the_stream_is_the_pictures_in_order_and_any_sample_can_be_had_again(make, tmp_path, kind):
    made = pictures()
    run = make(kind, made, write_other(kind, tmp_path / "root", made[:5]))
    raw = open_raw(run, "train")
    outcomes = list(raw.outcomes())
    assert [(o.image, o.captions) for o in outcomes] == [(p.image, p.captions) for p in made]
    assert raw.num_images == len(made)
    assert raw.total in (None, len(made))
    assert len({o.key for o in outcomes}) == len(made)
    assert list(raw.samples([outcomes[30].key, outcomes[2].key])) == [outcomes[2], outcomes[30]]
    other = [(o.image, o.captions) for o in open_raw(run, "heldout").outcomes()]
    assert other == [(p.image, p.captions) for p in made[:5]]


@pytest.mark.parametrize("kind", LOCAL)
def test_a_number_sets_aside_samples_that_do_not_depend_on_the_others(make, kind):
    made = pictures()
    run = make(kind, made, 4)
    split = {s: [o.key for o in open_raw(run, s).outcomes()] for s in ("train", "heldout")}
    assert not set(split["train"]) & set(split["heldout"])
    assert len(split["train"]) + len(split["heldout"]) == len(made)
    assert 1 <= len(split["heldout"]) <= 4
    assert len(split["heldout"]) == 4 or kind == "hdf5"  # two of the rows may be of one image
    more = {o.key for o in open_raw(make(kind, made, 9), "heldout").outcomes()}
    assert more > set(split["heldout"])


@pytest.mark.parametrize("kind", LOCAL)
def test_setting_everything_aside_is_refused(make, kind):
    with pytest.raises(UserError, match=r"heldout: expected fewer than the \d+ \w+ of .*, got 100; lower it"):
        make(kind, pictures(8), 100, splits=["train"])


@pytest.mark.parametrize("kind", ["webdataset", "folder", "hdf5"])
def test_images_without_captions_are_a_split_of_their_own(tmp_path, monkeypatch, kind):
    made = pictures(12)
    root = tmp_path / "root"
    source = source_settings("csv", root, made, 4)
    if kind == "hdf5":
        with h5py.File(root / "images.h5", "w") as file:
            jpg = file.create_dataset("jpg", (12,), h5py.vlen_dtype(np.uint8))
            for row, p in enumerate(made):
                jpg[row] = np.frombuffer(p.image, np.uint8)
        images = {"kind": kind, "train": "images.h5"}
    elif kind == "webdataset":
        write_crawl(root / "crawl", made)
        images = {"kind": kind, "train": "crawl"}
    else:
        images = {"kind": kind, "images": "images"}
    run = make_run(tmp_path, monkeypatch, source, images=images)
    for command in (["source"], ["download", "--split", "images"], ["clean", "--split", "images"]):
        call("data", *command, "--run", "small")
    assert [(o.image, o.captions) for o in open_raw(run, "images").outcomes()] == [
        (p.image, []) for p in made
    ]
    assert json.loads(run.paths.manifest("images").read_text())["count"] == 12


def test_images_of_a_folder_come_in_the_order_of_their_paths_bytes(tmp_path, monkeypatch):
    names = [
        "b.jpg",
        "a/z.jpg",
        "a.jpg",
        "a-b/x.JPG",
        "é.png",
        "A.jpeg",
        "a/y/1.jpg",
        "tab\there.jpg",
        "50%.jpg",
    ]
    root = tmp_path / "root"
    for i, name in enumerate(names):
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "images" / name).write_bytes(encoded(picture(16, 16, i)))
    odd = os.path.join(os.fsencode(root / "images"), b"\xff.jpg")
    Path(os.fsdecode(odd)).write_bytes(b"odd")
    (root / "images/notes.txt").write_text("no image")
    (root / "images/a/up.jpg").symlink_to("/etc/hostname")
    (root / "images/a/round").symlink_to(root / "images")
    run = make_run(
        tmp_path,
        monkeypatch,
        source_settings("csv", root / "pairs", pictures(3), 1),
        images={"kind": "folder", "images": "images"},
    )
    make_files(run, "images")
    bring(run, "images")
    outcomes = list(open_raw(run, "images").outcomes())
    expected = sorted([*map(os.fsencode, names), b"\xff.jpg", b"a/up.jpg"])
    assert [os.fsencode(unescape(o.key)) for o in outcomes] == expected
    assert [o.reason for o in outcomes if isinstance(o, Rejected)] == ["image_outside"]
    assert [o.key for o in open_raw(run, "images").samples(["50%25.jpg"])] == ["50%25.jpg"]


@pytest.mark.parametrize(
    "name", ["plain.jpg", "50%.jpg", "tab\tnew\nline.jpg", os.fsdecode(b"\xff\xfe"), "é%41"]
)
def test_a_file_name_survives_a_line_of_a_list(name):
    assert unescape(escape(name)) == name
    assert escape(name).isprintable()


def add_link(tar, name, target):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    tar.addfile(member)


def test_what_is_odd_in_a_tar_is_named_and_the_rest_is_read(make, tmp_path, monkeypatch):
    made = pictures(3)
    run = make("webdataset", made, "crawl", download={**DOWNLOAD, "max_bytes": 5000})
    (tar_path,) = (tmp_path / "root/crawl").glob("*.tar")
    image = made[0].image
    with tarfile.open(tar_path, "w") as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        add(tar, "./good.jpg", image)
        add(tar, "./good.TXT", b"fine")
        add(tar, "no_image.txt", b"fine")
        add(tar, "no_caption.jpg", image)
        add(tar, "bad_json.jpg", image)
        add(tar, "bad_json.json", b"{")
        add(tar, "heavy.jpg", bytes(6000))
        add(tar, "heavy.txt", b"fine")
        add(tar, "../out.jpg", image)
        add(tar, "/abs.jpg", image)
        add_link(tar, "link.jpg", "/etc/passwd")
        add(tar, "link.txt", b"fine")
        device = tarfile.TarInfo("device.jpg")
        device.type = tarfile.CHRTYPE
        tar.addfile(device)
        add(tar, "good.jpg", made[1].image)  # the key again
        add(tar, "good.json", json.dumps({"caption": "by JSON", "url": "http://a/b"}).encode())
    make_source(run)
    bring(run, "train")
    raw = open_raw(run, "train")
    outcomes = list(raw.outcomes())
    name = tar_path.name
    assert [(o.key, getattr(o, "reason", None)) for o in outcomes] == [
        (f"{name}/good", None),
        (f"{name}/no_image", "image_missing"),
        (f"{name}/no_caption", "caption_missing"),
        (f"{name}/bad_json", "metadata_broken"),
        (f"{name}/heavy", "image_too_heavy"),
        (f"{name}/link", "image_missing"),
        (f"{name}/good#2", None),
    ]
    assert outcomes[-1].captions == ["by JSON"]
    assert outcomes[-1].url == "http://a/b"
    assert raw.origin["skipped_members"] == {"outside": 2, "link": 1, "device": 1}


def test_names_and_addresses_that_are_no_utf8_are_cleaned_under_escaped_ones(make, tmp_path):
    made = pictures(6)
    run = make("webdataset", made, 1)
    (tar_path,) = (tmp_path / "root/crawl").glob("*.tar")
    with tarfile.open(tar_path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        for i, name in enumerate(("caf\xe9", "caf%E9", "50%", "no_image", "half")):
            add(tar, f"{name}.j\xe9g" if name == "no_image" else f"{name}.jpg", made[i].image)
            add(tar, f"{name}.txt", b"fine")
        add(tar, "half.json", b'{"url": "http://h/7\\ud800.jpg"}')
        add(tar, "byte.jpg", made[5].image)
        add(tar, "byte.json", b'{"url": "http://h/8\\udce9.jpg", "caption": "half \\ud800"}')
    make_source(run)
    rows = []
    for split in ("train", "heldout"):
        bring(run, split)
        clean_split(run, split)
        folder = run.paths.shards(split)
        rows += pq.read_table(folder / "origins.parquet").select(["key", "url"]).to_pylist()
        rejected = pq.read_table(folder / "rejected.parquet").to_pylist()
        assert [row["detail"] for row in rejected] == ["no image among its files (j%E9g, txt)"] * len(
            rejected
        )
        rows += [{"key": f"{tar_path.name}/{row['url']}", "url": row["url"]} for row in rejected]
    urls = {"half": "http://h/7%ED%A0%80.jpg", "byte": "http://h/8%E9.jpg"}
    names = ["50%", "byte", "caf%E9", "caf%E9#2", "half", "no_image"]
    assert sorted((row["key"], row["url"]) for row in rows) == [
        (f"{tar_path.name}/{name}", urls.get(name, name)) for name in names
    ]


@pytest.mark.parametrize("damage", ["cut in a member", "cut between members", "header", "no tar"])
def test_a_broken_tar_is_an_error_that_names_it(make, tmp_path, damage):
    run = make("webdataset", pictures(30), "crawl")
    path = tmp_path / "root/crawl/cc-0001.tar"
    with tarfile.open(path) as tar:
        middle = tar.getmembers()[20].offset
    data = bytearray(path.read_bytes())
    if damage == "header":
        data[middle : middle + 512] = b"x" * 512
    elif damage == "no tar":
        data = bytearray(b"<html>sign in</html>" * 100)
    else:
        del data[middle + 700 * (damage == "cut in a member") :]
    path.write_bytes(data)
    if damage != "header":
        with pytest.raises(UserError, match=f"{path}: expected .* found .* run m3ae data source again"):
            bring(run, "train")
        make_source(run)
    with pytest.raises(UserError, match=f"{path}: broken tar .*; bring it again") as error:
        bring(run, "train")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("protocol", ["http", "memory"])
def test_tars_behind_a_protocol_are_brought_once_and_whole(tmp_path, monkeypatch, protocol):
    import fsspec

    made = pictures(40)
    write_crawl(tmp_path / "hub", made)
    names = sorted(path.name for path in (tmp_path / "hub").iterdir())
    with serve_folder(tmp_path / "hub") as port:
        if protocol == "memory":
            fsspec.filesystem("memory").put(str(tmp_path / "hub") + "/", "/crawl/", recursive=True)
            train = "memory://crawl"
        else:
            train = f"http://127.0.0.1:{port}/cc-{{0000..0002}}.tar"
        run = make_run(tmp_path, monkeypatch, {"kind": "webdataset", "train": train, "heldout": 4})
        make_source(run)
        assert [file.bytes for file in read_files(run.paths.list("train"))] == [
            (tmp_path / "hub" / name).stat().st_size for name in names
        ]
        bring(run, "train")
        folder = run.paths.raw("train")
        assert sorted(path.name for path in folder.iterdir()) == names
        before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
        (folder / names[1]).write_bytes(b"cut")
        bring(run, "heldout")  # its samples lie in the same tars
        bring(run, "train")
        after = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert [path.name for path in before if before[path] != after[path]] == [names[1]]
    assert all((folder / name).read_bytes() == (tmp_path / "hub" / name).read_bytes() for name in names)
    both = [o.image for s in ("train", "heldout") for o in open_raw(run, s).outcomes()]
    assert Counter(both) == Counter(p.image for p in made)


def test_a_missing_library_or_address_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "RETRY_S", 0)
    for train, match in (
        ("nowhere://bucket/*.tar", "cannot be listed .*nowhere"),
        ("memory://nothing-here/*.tar", "expected tars"),
        ("http://127.0.0.1:9/{0..3}.tar", "cannot be listed"),
        ("http://127.0.0.1:9/*.tar", "cannot be searched"),
        ("none/*.tar", "expected tars"),
        ("none-{0..2}.tar", "no such tar"),
    ):
        run = make_run(tmp_path, monkeypatch, {"kind": "webdataset", "train": train, "heldout": 4})
        with pytest.raises(UserError, match=match) as error:
            make_source(run)
        assert "\n" not in str(error.value)


def test_tars_of_several_folders_keep_names_of_their_own(make, tmp_path, monkeypatch):
    for folder in ("a", "b"):
        write_crawl(tmp_path / "root/many" / folder, pictures(5))
    source = {"kind": "webdataset", "train": "many/*/*.tar", "heldout": "many/a/cc-0000.tar"}
    run = make_run(tmp_path, monkeypatch, source)
    make_source(run)
    bring(run, "train")
    keys = [o.key for o in open_raw(run, "train").outcomes()]
    assert keys == [f"{folder}/cc-0000.tar/{i:09d}" for folder in "ab" for i in range(5)]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_rows_of_an_image_are_grouped_and_names_that_leave_the_folder_refused(tmp_path, suffix):
    root = tmp_path / "root"
    source_settings(suffix, root, pictures(2), 1)
    (root / "outside.jpg").write_bytes(pictures(1)[0].image)
    (root / "images/link.jpg").symlink_to(root / "outside.jpg")
    (root / "images/folder.jpg").mkdir()
    rows = [
        ("0/p 000.jpg", "one"),
        ("gone.jpg", "x"),
        ("../outside.jpg", "x"),
        (str(root / "outside.jpg"), "x"),
        ("link.jpg", "x"),
        ("folder.jpg", "x"),
        ("n" * 300 + ".jpg", "x"),
        ("./0/p 000.jpg", "two"),
    ]
    table = root / f"table.{suffix}"
    if suffix == "jsonl":
        table.write_text("".join(json.dumps({"image": a, "captions": [b]}) + "\n" for a, b in rows))
    else:
        sign = "," if suffix == "csv" else "\t"
        table.write_text("".join(f"{a}{sign}{b}\n" for a, b in [("image", "caption"), *rows]))
    outcomes = outcomes_of_table(tmp_path, table)
    assert outcomes[0].captions == ["one", "two"]
    reasons = [o.reason for o in outcomes[1:]]
    assert reasons == ["image_missing", *["image_outside"] * 3, *["image_missing"] * 2]


def outcomes_of_table(tmp_path, table):
    """The outcomes of a table of the folder `images` beside it."""
    with pytest.MonkeyPatch.context() as patch:
        source = {"kind": "folder", "images": "images", "train": table.name, "heldout": table.name}
        run = make_run(tmp_path, patch, source)
        make_source(run)
        bring(run, "train")
        return list(open_raw(run, "train").outcomes())


def test_a_csv_may_hold_line_ends_and_quotes_in_its_fields(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b'caption,"image"\r\n"two\r\nlines, ""quoted""",a.jpg\r\n\r\nplain,b.jpg\r\n')
    assert read_table(path).captions == {"a.jpg": ['two\r\nlines, "quoted"'], "b.jpg": ["plain"]}


@pytest.mark.parametrize(
    ("suffix", "row", "match"),
    [
        ("csv", b"a.jpg\n", "expected 2 fields as in the header, got 1"),
        ("csv", b'a.jpg,"x"y\n', "expected CSV"),
        ("csv", b"a.jpg,\xff\n", "expected UTF-8 text, got byte 0xff"),
        ("csv", b",caption\n", "the name of an image"),
        ("tsv", b"a.jpg\tb\tc\n", "expected 2 fields as in the header, got 3"),
        ("tsv", b"a.jpg\t\xc3\n", "expected UTF-8 text, got byte 0xc3"),
        ("jsonl", b"{]\n", "expected a JSON object"),
        ("jsonl", b'{"image": "a.jpg", "caption": 3}\n', "expected texts for image and caption"),
        ("jsonl", b'{"image": "\\ud800.jpg", "caption": "x"}\n', "a name that is text"),
    ],
)
def test_a_broken_row_of_a_table_is_counted_and_many_are_an_error(tmp_path, suffix, row, match):
    sign = {"csv": b",", "tsv": b"\t"}.get(suffix)
    good = [b"i%03d.jpg" % i for i in range(200)]
    if sign:
        rows = [b"image" + sign + b"caption\n", *(name + sign + b"fine\n" for name in good)]
    else:
        rows = [b'{"image": "%s", "caption": "fine"}\n' % name for name in good]
    path = tmp_path / f"table.{suffix}"
    path.write_bytes(b"".join([*rows[:100], row, *rows[100:]]))
    table = read_table(path)
    assert len(table.captions) == 200
    assert [broken.number for broken in table.broken] == [101]
    assert match in table.broken[0].detail
    path.write_bytes(b"".join([*rows[:100], row, row, row, *rows[100:]]))
    with pytest.raises(UserError, match=rf"{path}: line 101: .*at most 1% are left out"):
        read_table(path)


def test_broken_rows_of_a_table_are_rejected_in_training_alone(make, tmp_path):
    made = pictures(100)
    run = make("tsv", made, 5)
    with (tmp_path / "root/table.tsv").open("ab") as file:
        file.write(b"no tab here\n")
    make_source(run)
    for split in ("train", "heldout"):
        bring(run, split)
    found = {
        s: [o for o in open_raw(run, s).outcomes() if isinstance(o, Rejected)] for s in ("train", "heldout")
    }
    assert [o.reason for o in found["train"]] == ["list_broken"]
    assert found["train"][0].detail.startswith(f"line {sum(len(p.captions) for p in made) + 2}: ")
    assert found["heldout"] == []


def test_other_columns_and_other_suffixes_are_named(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("url,text\nhttp://a,b\n")
    with pytest.raises(UserError, match=r"expected a column image \| .* got \['url', 'text'\]; rename"):
        read_table(path)
    with pytest.raises(UserError, match=r"expected a table .csv, .tsv, .jsonl, .ndjson, got .xlsx"):
        read_table(tmp_path / "table.xlsx")
    path.write_text("image,text\n")
    with pytest.raises(UserError, match="expected rows below the header"):
        read_table(path)


def write_h5(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values


def bytes_column(*values):
    column = np.empty(len(values), dtype=h5py.vlen_dtype(np.uint8))
    for i, value in enumerate(values):
        column[i] = np.frombuffer(value, np.uint8)
    return column


@pytest.mark.parametrize(
    ("datasets", "match"),
    [
        ({"images": [1]}, "expected a dataset 'jpg' .*found images"),
        ({"jpg": [1, 2], "caption": [1, 2]}, "expected 'jpg' as one row of bytes"),
        (
            {"jpg": np.zeros((2, 9), np.uint8)},
            r"expected 'jpg' as one row of bytes .* uint8 of shape \(2, 9\)",
        ),
        ({"jpg": bytes_column(b"a", b"b"), "caption": bytes_column(b"a")}, "got 1 and 2"),
        ({"jpg": bytes_column(b"a", b"b"), "caption": np.array([1.0, 2.0])}, "'caption' as one row of bytes"),
    ],
)
def test_hdf5_in_another_layout_is_one_line(tmp_path, monkeypatch, datasets, match):
    root = tmp_path / "root"
    root.mkdir()
    write_h5(root / "pairs.h5", **datasets)
    run = make_run(tmp_path, monkeypatch, {"kind": "hdf5", "train": "pairs.h5", "heldout": "pairs.h5"})
    make_source(run)
    with pytest.raises(UserError, match=match) as error:
        bring(run, "train")
    assert "\n" not in str(error.value)


def test_hdf5_that_is_cut_or_points_elsewhere_is_refused(tmp_path, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    run = make_run(tmp_path, monkeypatch, {"kind": "hdf5", "train": "pairs.h5", "heldout": "pairs.h5"})
    write_hdf5(root / "good.h5", pictures(4))
    (root / "pairs.h5").write_bytes((root / "good.h5").read_bytes()[:3000])
    make_source(run)
    with pytest.raises(
        UserError, match=r"pairs.h5: expected an HDF5 file, cannot open it \(.*\); bring it again"
    ):
        bring(run, "train")
    with h5py.File(root / "pairs.h5", "w") as file:
        file["jpg"] = h5py.ExternalLink(str(root / "good.h5"), "jpg")
        file["caption"] = h5py.ExternalLink(str(root / "good.h5"), "caption")
    make_source(run)
    with pytest.raises(UserError, match="as a dataset in the file itself, found a link"):
        bring(run, "train")


@pytest.mark.parametrize("dtype", [h5py.string_dtype(), "S20"])
def test_hdf5_may_hold_captions_as_text(tmp_path, monkeypatch, dtype):
    (tmp_path / "root").mkdir()
    with h5py.File(tmp_path / "root/pairs.h5", "w") as file:
        file["jpg"] = bytes_column(b"one", b"one", b"two")
        file.create_dataset("caption", data=[b"a dog", "café".encode(), b""], dtype=dtype)
    run = make_run(tmp_path, monkeypatch, {"kind": "hdf5", "train": "pairs.h5", "heldout": "pairs.h5"})
    make_source(run)
    bring(run, "train")
    found = [(o.key, o.image, o.captions) for o in open_raw(run, "train").outcomes()]
    assert found == [("0", b"one", ["a dog", "café"]), ("2", b"two", [""])]


def test_a_download_of_other_files_or_settings_is_not_taken_for_this_one(make, tmp_path):
    run = make("webdataset", pictures(5), 2)
    assert isinstance(next(open_raw(run, "train").outcomes()), RawSample)
    write_crawl(tmp_path / "root/crawl", pictures(30))
    make_source(run)
    with pytest.raises(UserError, match=r"train.tsv has changed since; run m3ae data download"):
        open_raw(run, "train")
    run.paths.download("train").unlink()
    with pytest.raises(UserError, match="expected the report of a download, found nothing"):
        open_raw(run, "train")


PAIRS = [f"data/small/shards/{split}/manifest.json" for split in ("train", "heldout")]
IMAGES = "data/small/shards/images/manifest.json"


def make_project(tmp_path, monkeypatch, kind):
    """A project folder with the workflow in it, and a run of this kind with images beside its pairs."""
    made = pictures(8)
    if kind == "list":
        write_list(tmp_path / "root/pairs.tsv", made, "http://web.test")
        source = {"kind": "tsv", "train": "pairs.tsv", "heldout": 2}
    else:
        source = source_settings(kind, tmp_path / "root", made, 2)
    write_images(tmp_path / "root/more", made[:5])
    (tmp_path / "project").mkdir()
    copy_project(tmp_path / "project")
    return make_run(tmp_path, monkeypatch, source, images={"kind": "folder", "images": "more"})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["list", "webdataset", "hdf5"])
def test_the_whole_way_of_each_kind_can_be_planned(tmp_path, monkeypatch, kind):
    make_project(tmp_path, monkeypatch, kind)
    rules = planned(Path.cwd(), *PAIRS, IMAGES, "--config", "run=small")
    assert rules == {"source": 1, "images": 1, "download": 3, "clean": 3}


@pytest.mark.slow
def test_a_changed_table_brings_its_pairs_again_and_no_images(tmp_path, monkeypatch):
    run = make_project(tmp_path, monkeypatch, "csv")
    arguments = ("--config", "run=small")
    code, text = snakemake(Path.cwd(), *PAIRS, IMAGES, *arguments)
    assert code == 0, text[-4000:]
    assert json.loads(run.paths.manifest("images").read_text())["count"] == 5
    assert planned(Path.cwd(), *PAIRS, IMAGES, *arguments) == {}
    with (tmp_path / "root/table.csv").open("a") as file:
        file.write("7,0/p 000.jpg,one caption more\n")
    rules = planned(Path.cwd(), *PAIRS, IMAGES, *arguments)
    assert rules == {"source": 1, "download": 2, "clean": 2}


@pytest.mark.parametrize("kind", [*LOCAL, "list"])
def test_the_source_command_says_what_it_found(tmp_path, monkeypatch, kind):
    run = make_project(tmp_path, monkeypatch, kind)
    said = [line.split(": ") for line in call("data", "source", "--run", "small").splitlines()]
    assert [place for place, _ in said] == [
        f"data/small/source/{split}.tsv" for split in ("train", "heldout", "images")
    ]
    assert "5 files" in said[-1][1]
    assert brought_before(run, "heldout") == ["data/small/raw/train.json"] * (kind == "webdataset")
    assert brought_before(run, "train") == brought_before(run, "images") == []


def test_a_run_without_images_says_so(make):
    run = make("csv", pictures(4), 1)
    with pytest.raises(UserError, match=r"split images: run 'small' has none; set data\.images"):
        open_raw(run, "images")
