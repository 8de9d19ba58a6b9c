import json
import tarfile

import pyarrow.parquet as pq
import pytest

from m3ae.data.clean.captions import normalise_caption
from m3ae.data.clean.clean import clean_split
from m3ae.data.manifest import read_manifest
from m3ae.data.raw.reasons import download_reason
from m3ae.data.shards import Pairs, verify_shards
from m3ae.errors import UserError
from raw_shards import Answer, encoded, picture, project, write_raw


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Short side 48 px, at least 16 px, 4 samples in a shard."""
    return project(tmp_path, monkeypatch, clean={"shard_samples": 4}, download={"min_yield": 0.05})


def good(seed: int, *captions: str) -> Answer:
    return Answer(encoded(picture(48, 48, seed)), list(captions) or [f"caption {seed}"])


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def reasons(folder):
    return {row["url"]: row["reason"] for row in pq.read_table(folder / "rejected.parquet").to_pylist()}


def test_every_url_is_kept_or_rejected_with_its_reason(run):
    jpeg = encoded(picture(48, 48, 1))
    answers = [
        good(0),
        Answer(jpeg[: len(jpeg) // 2]),
        Answer(b"<html>not an image</html>"),
        Answer(encoded(picture(1200, 1000, 2))),
        Answer(encoded(picture(15, 48, 3))),
        Answer(encoded(picture(200, 40, 4))),
        good(0, "the same image again"),
        good(5, " \t "),
        good(6, "ab"),
        good(7, "x" * 3000),
        Answer(error="HTTP Error 404: Not Found"),
        Answer(error="<urlopen error timed out>"),
    ]
    write_raw(run, "train", answers)
    clean_split(run, "train")

    folder = run.paths.shards("train")
    expected = [
        "image_truncated", "image_broken", "image_too_large", "image_too_small", "image_aspect",
        "image_duplicate", "caption_empty", "caption_too_short", "caption_too_long",
        "download_http_404", "download_timeout",
    ]  # fmt: skip
    assert reasons(folder) == {f"http://web.test/{i}.jpg": reason for i, reason in enumerate(expected, 1)}
    manifest = read_manifest(folder / "manifest.json")
    assert manifest.rejected == dict.fromkeys(sorted(expected), 1)
    assert manifest.count + sum(manifest.rejected.values()) == len(answers)
    assert (manifest.yield_.downloaded, manifest.yield_.kept, manifest.yield_.share) == (10, 1, 1 / 12)


def test_a_sample_loses_only_its_bad_captions(run):
    write_raw(run, "train", [good(0, "", "a &amp; b\tc", "x"), good(1, "x", "")])
    clean_split(run, "train")
    folder = run.paths.shards("train")
    assert Pairs(folder).captions(0) == ["a & b c"]
    assert list(reasons(folder).values()) == ["caption_too_short"]


def test_same_download_gives_same_bytes_whatever_the_order_and_the_threads(run):
    answers = [good(i) for i in range(9)] + [Answer(encoded(picture(90, 60, 9), "PNG")), good(3)]
    answers += [Answer(error="HTTP Error 500"), Answer(error="HTTP Error 404")]
    results = []
    for order, threads in ((1, 1), (-1, 1), (-1, 3)):
        write_raw(run, "train", answers, order, per_shard=6)
        clean_split(run, "train", threads=threads)
        results.append(files(run.paths.shards("train")))
    assert results[0] == results[1] == results[2]
    assert sorted(results[0]) == [
        "00000.tar", "00001.tar", "00002.tar", "index.parquet", "manifest.json", "rejected.parquet",
    ]  # fmt: skip


def test_tars_are_plain_and_the_index_points_into_them(run):
    answers = [good(i) for i in range(6)]
    write_raw(run, "train", answers)
    clean_split(run, "train")
    folder = run.paths.shards("train")
    pairs = Pairs(folder)
    assert len(pairs) == 6
    for shard, ids in (("00000.tar", range(4)), ("00001.tar", range(4, 6))):
        with tarfile.open(folder / shard) as tar:
            assert tar.getnames() == [f"{i:08d}.{ending}" for i in ids for ending in ("jpg", "json")]
            for member in tar:
                assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (
                    0,
                    0,
                    0,
                    "",
                    0o644,
                )
            for i in ids:
                assert tar.extractfile(f"{i:08d}.jpg").read() == pairs.jpeg(i) == answers[i].image
                facts = json.load(tar.extractfile(f"{i:08d}.json"))
                assert facts["captions"] == pairs.captions(i) == [f"caption {i}"]
    assert verify_shards(folder).count == 6


def test_orientation_noted_by_img2dataset_is_applied(run):
    sideways = picture(48, 30, 1)
    write_raw(run, "train", [Answer(encoded(sideways), exif={"Image Orientation": "Rotated 90 CW"})])
    clean_split(run, "train")
    upright = Pairs(run.paths.shards("train")).image(0)
    assert upright.size == (30, 48)
    difference = abs(sum(upright.getpixel((0, 0))) - sum(sideways.getpixel((0, 29))))
    assert difference < 30  # JPEG


def test_too_low_a_yield_is_one_line_with_the_reasons_and_keeps_the_old_result(tmp_path, monkeypatch):
    strict = project(tmp_path, monkeypatch, download={"min_yield": 0.5})
    write_raw(strict, "train", [good(0)])
    clean_split(strict, "train")
    old = files(strict.paths.shards("train"))
    write_raw(strict, "train", [good(0), good(1, ""), good(2, ""), Answer(b"no")])
    with pytest.raises(
        UserError, match=r"1 of 4 URLs .*25.0%.*50.0%.*caption_empty 2, image_broken 1"
    ) as error:
        clean_split(strict, "train")
    assert "\n" not in str(error.value)
    assert files(strict.paths.shards("train")) == old


def test_an_interrupted_call_leaves_the_old_result(run, monkeypatch):
    write_raw(run, "train", [good(0)])
    clean_split(run, "train")
    old = files(run.paths.shards("train"))
    write_raw(run, "train", [good(1), good(2)])
    with monkeypatch.context() as patch:
        patch.setattr("m3ae.data.clean.clean.describe", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            clean_split(run, "train")
    assert files(run.paths.shards("train")) == old
    clean_split(run, "train")
    assert read_manifest(run.paths.manifest("train")).count == 2


def test_a_call_killed_between_its_two_renames_loses_nothing(run):
    write_raw(run, "train", [good(0)])
    clean_split(run, "train")
    folder = run.paths.shards("train")
    old = files(folder)
    folder.rename(folder.with_name(".train.old"))
    folder.with_name(".train.partial").mkdir()
    write_raw(run, "train", [Answer(b"no image")])
    with pytest.raises(UserError, match="0 of 1 URLs"):
        clean_split(run, "train")
    assert files(folder) == old
    assert [path.name for path in folder.parent.iterdir()] == ["train"]


def test_a_missing_or_broken_download_is_one_line(run):
    with pytest.raises(UserError, match="expected the report of a finished download"):
        clean_split(run, "train")
    write_raw(run, "train", [good(0), good(1)])
    tar = run.paths.raw("train") / "00000.tar"
    tar.write_bytes(tar.read_bytes()[:700])
    with pytest.raises(UserError, match=r"00000.tar: broken raw shard"):
        clean_split(run, "train")
    tar.unlink()
    with pytest.raises(UserError, match="expected raw shards"):
        clean_split(run, "train")
    run.paths.download("train").write_text("{}")
    with pytest.raises(UserError, match="not a download report"):
        clean_split(run, "train")
    assert not run.paths.shards("train").exists()


def test_fewer_samples_than_the_report_says_is_refused(run):
    write_raw(run, "train", [good(0), good(1)], per_shard=1)
    (run.paths.raw("train") / "00001.tar").unlink()
    with pytest.raises(UserError, match=r"expected 2 samples of 2 URLs.*found 1 samples"):
        clean_split(run, "train")


def test_urls_that_img2dataset_lost_are_counted(run):
    write_raw(run, "train", [good(0), good(1)])
    report = json.loads(run.paths.download("train").read_text())
    run.paths.download("train").write_text(json.dumps({**report, "urls": 4}))
    clean_split(run, "train")
    assert read_manifest(run.paths.manifest("train")).rejected == {"download_lost": 2}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("HTTP Error 410: Gone", "download_http_410"),
        ("The read operation timed out", "download_timeout"),
        ("<urlopen error [SSL: CERTIFICATE_VERIFY_FAILED] hostname 'x' mismatch>", "download_tls"),
        ("<urlopen error [Errno -2] Name or service not known>", "download_dns"),
        ("<urlopen error [Errno 111] Connection refused>", "download_connection_refused"),
        ("Use of image disallowed by X-Robots-Tag directive", "download_opted_out"),
        ("something nobody has seen", "download_other"),
    ],
)
def test_error_messages_fall_into_few_reasons(message, reason):
    assert download_reason(message) == reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  two\t words\r\n", "two words"),
        ("fish &amp; chips &lt;3", "fish & chips <3"),
        ("cafe\u0301", "caf\u00e9"),
        ("a\x00b\x07c\x85d", "a b c d"),
        ("<PERSON> at the beach", "<PERSON> at the beach"),
        ("non\u00a0breaking\u2003spaces", "non breaking spaces"),
        ("\ud800 lone half", "lone half"),
        ("&nbsp;&#9;", ""),
    ],
)
def test_captions_are_normalised(text, expected):
    assert normalise_caption(text) == expected
