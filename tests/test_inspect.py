"""`m3ae data inspect`: its numbers against naive ones, its files, and what it refuses."""

import io
import json
import tarfile
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image, ImageChops

from m3ae.cli.main import main
from m3ae.config import load_run
from m3ae.data.index import IndexWriter
from m3ae.data.inspect import sheet
from m3ae.data.inspect.histogram import histogram
from m3ae.data.inspect.pixels import PixelSums, count_levels
from m3ae.data.manifest import CAPTIONS, INDEX, MANIFEST, REJECTED, Manifest, Shard, Yield, write_manifest
from m3ae.data.tokens import Tokens, load_tokenizer, make_tokens
from m3ae.files import sha256_of
from raw_shards import encoded, picture
from small_project import WORDS, make_config

REJECTIONS = [
    ("http://a.test/1", "download_http_404", "HTTP Error 404: Not Found"),
    ("http://a.test/2", "image_duplicate", "same bytes as sample 3"),
    ("http://a.test/3", "download_http_404", "HTTP Error 404: Gone fishing"),
    ("http://a.test/4", "download_other", "a server's\x1b[31m red\nanswer"),
]
CAPTION_WORDS = ["photograph", "of", "a", "dog", "on", "the", "beach"]


def write_shards(folder, jpegs, captions, rejections=REJECTIONS, rows_per_group=1000, settings=None):
    """A folder of clean shards, written from the description of its format alone."""
    folder.mkdir(parents=True)
    with tarfile.open(folder / "00000.tar", "w") as tar, IndexWriter(folder / INDEX) as index:
        for id, jpeg in enumerate(jpegs):
            member = tarfile.TarInfo(f"{id:08d}.jpg")
            member.size = len(jpeg)
            index.add(0, tar.offset + tarfile.BLOCKSIZE, len(jpeg), *Image.open(io.BytesIO(jpeg)).size)
            tar.addfile(member, io.BytesIO(jpeg))
    texts = pa.table(
        {
            "captions": pa.array(captions, pa.list_(pa.string())),
            "sha256": [f"{i:064x}" for i in range(len(jpegs))],
        }
    )
    pq.write_table(texts, folder / CAPTIONS, row_group_size=rows_per_group)
    columns = zip(*rejections, strict=True) if rejections else [[], [], []]
    rejected = dict(
        zip(("url", "reason", "detail"), (pa.array(column, pa.string()) for column in columns), strict=True)
    )
    pq.write_table(pa.table(rejected), folder / REJECTED)
    tar = folder / "00000.tar"
    reasons = [reason for _, reason, _ in rejections]
    listed = len(jpegs) + len(rejections)
    manifest = Manifest(
        format=2,
        split="train",
        count=len(jpegs),
        shards=[Shard(name=tar.name, count=len(jpegs), bytes=tar.stat().st_size, sha256=sha256_of(tar))],
        yield_=Yield(
            rows=listed, images=listed, received=len(jpegs), kept=len(jpegs), share=len(jpegs) / listed
        ),
        rejected={reason: reasons.count(reason) for reason in sorted(set(reasons))},
        index_sha256=sha256_of(folder / INDEX),
        captions_sha256=sha256_of(folder / CAPTIONS),
        inputs={"received": "0" * 64},
        settings={"short_side_px": 32} if settings is None else settings,
    )
    write_manifest(folder / MANIFEST, manifest)
    return folder / MANIFEST


@pytest.fixture
def manifest(tmp_path, in_project):
    """Thirty pictures of several shapes, with one to three captions; row groups of two samples."""
    rng = np.random.default_rng(0)
    jpegs = [encoded(picture(32 + i, 40, i)) for i in range(30)]
    captions = [[" ".join(rng.choice(CAPTION_WORDS, 1 + i % 7)) for _ in range(1 + i % 3)] for i in range(30)]
    return write_shards(tmp_path / "data/toy/shards/train", jpegs, captions, rows_per_group=2)


def call(*arguments, code=0):
    result = CliRunner().invoke(main, ["data", "inspect", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def facts(*arguments):
    return json.loads(call(*arguments, "--json").stdout)


def stored(manifest):
    """Captions and images of a split, by other means than the code's."""
    captions = pq.read_table(manifest.parent / CAPTIONS)["captions"].to_pylist()
    with tarfile.open(manifest.parent / "00000.tar") as tar:
        images = [Image.open(io.BytesIO(tar.extractfile(name).read())) for name in sorted(tar.getnames())]
        return captions, [image.convert("RGB") for image in images]


def views(num, size=8, seed=0):
    """Random pictures whose brightness differs, so that images are no mere noise."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 200, (num, 1, 1, 3))
    return (base + rng.integers(0, 56, (num, size, size, 3))).astype(np.uint8)


def estimates(images, num_in_split):
    sums = PixelSums()
    for image in images:
        sums.add(count_levels(image))
    return list(sums.estimates(num_in_split))


def test_mean_and_std_are_those_of_all_pixels_at_once():
    images = views(50)
    for channel, found in enumerate(estimates(images, 50)):
        values = images[..., channel].astype(np.float64) / 255
        assert found.mean.value == pytest.approx(values.mean(), rel=1e-14)
        assert found.std.value == pytest.approx(values.std(), rel=1e-13)
        # Every image was read: nothing is left to chance.
        assert found.mean.low == found.mean.high == found.mean.value
        assert found.std.low == found.std.high == found.std.value


def test_sums_of_millions_of_images_do_not_overflow():
    sums = PixelSums()
    white = count_levels(np.full((256, 256, 3), 255, np.uint8))
    for channel, counts in zip(sums.channels, white, strict=True):
        x, y = int(counts @ np.arange(256)), int(counts @ np.arange(256) ** 2)
        millions = 12_000_000
        channel.x, channel.y = x * millions, y * millions
        channel.xx, channel.xy, channel.yy = x * x * millions, x * y * millions, y * y * millions
        found = channel.estimate(millions, 256 * 256, 1.0)
        assert found.mean == (1.0, 1.0, 1.0)
        assert found.std == (0.0, 0.0, 0.0)


def test_the_intervals_are_those_of_a_bootstrap_over_images():
    images = views(400, seed=1)
    rng = np.random.default_rng(2)
    values = images[..., 0].astype(np.float64) / 255
    draws = [values[rng.integers(0, 400, 400)] for _ in range(1000)]
    found = estimates(images, 10**9)[0]
    for estimate, resampled in (
        (found.mean, [draw.mean() for draw in draws]),
        (found.std, [draw.std() for draw in draws]),
    ):
        low, high = np.quantile(resampled, [0.025, 0.975])
        assert estimate.high - estimate.low == pytest.approx(high - low, rel=0.15)
    half_read = estimates(images, 800)[0]
    width, half_width = (e.high - e.low for e in (found.mean, half_read.mean))
    assert half_width == pytest.approx(width * np.sqrt(0.5), rel=1e-6)


@pytest.mark.parametrize(
    "values",
    [[5], [7] * 9, range(100), [1, 2, 3] * 500 + [90_000], np.random.default_rng(0).poisson(60, 5000)],
)
def test_every_value_is_in_one_bin(values):
    values = np.array(values)
    bins = histogram(values)
    assert sum(entry.num for entry in bins) == len(values)
    assert len(bins) <= 20
    for entry in bins:
        last = np.inf if entry.last is None else entry.last
        assert entry.num == sum(entry.first <= value <= last for value in values)
    assert all(a.last + 1 == b.first for a, b in pairwise(bins))


def test_counts_and_rejections_are_the_manifests(manifest):
    found = facts(manifest)
    assert found["count"] == 30
    assert found["yield"] == json.loads(manifest.read_text())["yield"]
    assert found["duplicates"] == 1
    assert found["bytes"] == (manifest.parent / "00000.tar").stat().st_size
    rejected = [(entry["reason"], entry["count"], entry["example"]) for entry in found["rejected"]]
    assert rejected == [
        ("download_http_404", 2, "HTTP Error 404: Not Found"),
        ("download_other", 1, "a server's\x1b[31m red\nanswer"),
        ("image_duplicate", 1, "same bytes as sample 3"),
    ]
    assert found["rejected"][0]["share"] == pytest.approx(2 / 34)


def test_sizes_are_those_of_every_image(manifest):
    _, images = stored(manifest)
    found = facts(manifest, "--samples", 1)["images"]
    assert found["num"] == 30
    for name, values in (
        ("width", [image.width for image in images]),
        ("height", [image.height for image in images]),
        ("aspect", [max(image.size) / min(image.size) for image in images]),
    ):
        assert found[name]["mean"] == pytest.approx(np.mean(values))
        assert (found[name]["min"], found[name]["max"]) == pytest.approx((min(values), max(values)))
        assert found[name]["p95"] == pytest.approx(np.percentile(values, 95))


def test_captions_are_counted_as_by_hand(manifest):
    captions, _ = stored(manifest)
    flat = [caption for texts in captions for caption in texts]
    found = facts(manifest)["captions"]
    assert (found["num_samples"], found["num"]) == (30, len(flat))
    assert found["per_image"] == {"1": 10, "2": 10, "3": 10}
    assert found["repeated"] == len(flat) - len(set(flat))
    (characters,) = found["lengths"]
    assert characters["spread"]["mean"] == pytest.approx(np.mean([len(caption) for caption in flat]))
    assert sum(entry["num"] for entry in characters["bins"]) == len(flat)


def test_a_large_split_is_sampled_and_says_so(tmp_path, in_project):
    num = 60
    jpegs = [encoded(picture(16, 16, i)) for i in range(num)]
    path = write_shards(tmp_path / "s", jpegs, [[f"caption {i}"] for i in range(num)], rows_per_group=1)
    found = facts(path, "--samples", 20)
    assert found["captions"]["num_samples"] == found["pixels"]["num_images"] == 20
    output = call(path, "--samples", 20).output
    assert "Captions of 20 of 60 samples" in output
    assert "Pixels in [0, 1] of 20 of 60 samples" in output
    other = facts(path, "--samples", 20, "--seed", 1)
    assert other["pixels"]["channels"] != found["pixels"]["channels"]
    assert facts(path, "--samples", 20) == found


def test_pixels_are_measured_after_resizing_and_a_centre_crop(manifest):
    _, images = stored(manifest)
    found = facts(manifest)["pixels"]
    assert (found["num_images"], found["size_px"], found["run"]) == (30, 32, None)
    crops = []
    for image in images:
        scale = 32 / min(image.size)
        resized = image.resize(
            (int(image.width * scale + 1e-9), int(image.height * scale + 1e-9)), Image.Resampling.BICUBIC
        )
        left, top = round((resized.width - 32) / 2), round((resized.height - 32) / 2)
        crops.append(np.asarray(resized.crop((left, top, left + 32, top + 32)), np.float64) / 255)
    crops = np.stack(crops)
    for channel, entry in enumerate(found["channels"]):
        assert entry["mean"]["value"] == pytest.approx(crops[..., channel].mean(), rel=1e-12)
        assert entry["std"]["value"] == pytest.approx(crops[..., channel].std(), rel=1e-12)


def test_a_runs_constants_stand_beside_what_was_measured(manifest):
    image = load_run("tiny").settings.data.image
    found = facts(manifest, "--run", "tiny")["pixels"]
    assert (found["run"], found["size_px"]) == ("tiny", image.size_px)
    assert [channel["mean"]["configured"] for channel in found["channels"]] == list(image.mean)
    red = found["channels"][0]["std"]
    output = call(manifest, "--run", "tiny").output
    assert f"{red['value'] - red['configured']:+.4f}" in output


def test_the_tables_fit_a_terminal_and_carry_no_control_characters(manifest):
    output = call(manifest, "--run", "paper").output
    place = manifest.parents[4].name  # its path is as long as the system wants it
    assert [line for line in output.splitlines() if place not in line and len(line) > 100] == []
    assert "\x1b" not in output
    assert "a server's [31m red answer" in output
    assert "█" in output


def test_its_files_lie_beside_the_shards_and_git_ignores_them(manifest):
    call(manifest.parent)  # the folder will do
    out = manifest.parents[2] / "inspect" / "train"
    assert {path.name for path in out.iterdir()} == {
        ".gitignore", "captions.svg", "contact_sheet.png", "inspect.json",
    }  # fmt: skip
    assert "*" in (out / ".gitignore").read_text().splitlines()
    assert json.loads((out / "inspect.json").read_text()) == facts(manifest.parent)
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    call(manifest, "--out", out.with_name("again"))
    again = {path.name: path.read_bytes() for path in out.with_name("again").iterdir()}
    assert files["captions.svg"] == again["captions.svg"]
    assert files["contact_sheet.png"] == again["contact_sheet.png"]
    call(manifest, "--seed", 1)
    assert (out / "contact_sheet.png").read_bytes() != files["contact_sheet.png"]


def test_the_contact_sheet_shows_each_sample_once():
    colours = ["red", "lime", "blue", "yellow", "cyan", "magenta", "black"]
    samples = [sheet.Sample(i, Image.new("RGB", (300, 200), c), ["a"]) for i, c in enumerate(colours)]
    picture = sheet.contact_sheet(samples, "title")
    counts = {colour: count for count, colour in picture.getcolors(picture.width * picture.height)}
    for colour in colours[:-1]:  # black is the text's colour too
        assert counts[Image.new("RGB", (1, 1), colour).getpixel((0, 0))] == 192 * 128


@pytest.mark.parametrize(
    "text",
    [
        "a word " * 60,
        "x" * 300,
        "一隻狗在海灘上奔跑" * 9,
        "کلب على الشاطئ " * 9,
        "🐶 é \u200d e\u0301",
        "",
        " ",
    ],
)
def test_captions_are_wrapped_without_losing_a_letter(text):
    font = sheet.load_font()
    lines = sheet.wrap(text, font, 192)
    assert all(font.getlength(line) <= 192 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    shown = sheet.contact_sheet([sheet.Sample(0, Image.new("RGB", (64, 64)), [text])], "title")
    heading = 2 * sheet.GAP_PX + sheet.LINE_PX + sheet.TILE_PX + sheet.GAP_PX // 2 + sheet.LINE_PX
    below = shown.crop((0, heading, *shown.size))
    is_drawn = ImageChops.difference(below, Image.new("RGB", below.size, "white")).getbbox() is not None
    assert is_drawn == bool(text.strip())  # a box at least for a letter that the font lacks


def test_a_split_without_captions_or_rejections(tmp_path, in_project):
    jpegs = [encoded(picture(32, 32, i)) for i in range(3)]
    path = write_shards(tmp_path / "images", jpegs, [[], [], []], rejections=[])
    output = call(path).output
    assert "Captions: none" in output
    assert "Rejected: nothing" in output
    found = facts(path)
    assert found["captions"] is None
    assert found["rejected"] == []
    assert not (tmp_path / "inspect/images/captions.svg").exists()
    assert (tmp_path / "inspect/images/contact_sheet.png").exists()


def test_shards_behind_a_network_are_read_where_they_lie(manifest, tmp_path, monkeypatch):
    here = facts(manifest)
    far = tmp_path / "far" / "toy/shards/train"
    far.mkdir(parents=True)
    (manifest.parent / "00000.tar").rename(far / "00000.tar")
    monkeypatch.setenv("M3AE_SHARDS_URL", f"file://{tmp_path}/far")
    assert facts(manifest) == here


def test_lengths_in_word_pieces_are_those_of_the_tokens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_config(tmp_path)
    run = load_run("micro")
    for split, num in (("train", 9), ("heldout", 2)):
        texts = [[" ".join(WORDS[: 1 + id]), "red"] for id in range(num)]
        write_shards(run.paths.shards(split), [encoded(picture(16, 16, id)) for id in range(num)], texts)
    make_tokens(run)
    tokens, tokenizer = Tokens(run.paths.tokens("train")), load_tokenizer(run.paths.tokenizer)
    captions = pq.read_table(run.paths.shards("train") / CAPTIONS)["captions"].to_pylist()
    expected = [
        len(tokenizer.encode(text, add_special_tokens=False).ids) for texts in captions for text in texts
    ]
    assert max(expected) < tokens.max_tokens  # none was cut
    found = facts(run.paths.manifest("train"), "--run", "micro")["captions"]["lengths"][1]
    assert found["unit"] == "word pieces"
    assert found["spread"]["mean"] == pytest.approx(np.mean(expected))
    assert sum(entry["num"] for entry in found["bins"]) == len(expected)


def test_a_broken_folder_is_refused_in_one_line(manifest):
    def refusal(path):
        result = call(path, code=1)
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        return line

    assert "no such manifest" in refusal(manifest.parent / "nothing")
    whole = manifest.read_text()
    manifest.write_text("{")
    assert "not a manifest" in refusal(manifest)
    manifest.write_text(whole)
    for name in (REJECTED, CAPTIONS):
        path = manifest.parent / name
        content = path.read_bytes()
        other_columns = (manifest.parent / ({REJECTED, CAPTIONS} - {name}).pop()).read_bytes()
        for broken in (b"no Parquet", content[:-5], other_columns):
            path.write_bytes(broken)
            assert f"{name}: expected the " in refusal(manifest)
        path.write_bytes(content)
    (manifest.parent / "00000.tar").unlink()
    assert "found no such file" in refusal(manifest)


def test_a_sample_that_does_not_decode_is_named(manifest):
    tar = manifest.parent / "00000.tar"
    data = tar.read_bytes()
    first = data.index(b"\xff\xd8\xff")
    tar.write_bytes(data[:first] + b"no image" + data[first + 8 :])
    result = call(manifest, code=1)
    assert "00000.tar: sample 0 does not decode" in result.stderr
    assert len(result.stderr.splitlines()) == 1
