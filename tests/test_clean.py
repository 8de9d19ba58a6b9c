import hashlib
import json
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from m3ae.data.clean import clean as cleaning
from m3ae.data.clean.clean import clean_split
from m3ae.data.clean.digests import Digests
from m3ae.data.clean.reasons import REASONS, RejectionError
from m3ae.data.clean.workers import BATCH_BYTES, BATCH_SAMPLES, batches
from m3ae.data.index import read_index
from m3ae.data.manifest import read_manifest
from m3ae.data.raw.reasons import download_reason
from m3ae.data.shards import Pairs
from m3ae.errors import UserError
from made_raw import MadeRaw, failure, sample
from raw_shards import Answer, encoded, picture, project, write_raw


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Short side 48 px, at least 16 px, 4 samples in a shard."""
    return project(tmp_path, monkeypatch, clean={"shard_samples": 4}, download={"min_yield": 0.05})


@pytest.fixture
def clean(run, monkeypatch):
    """Clean a list of outcomes; returns the folder of shards."""

    def clean_(outcomes, split="train", processes=1, kind="made"):
        monkeypatch.setattr(cleaning, "open_raw", lambda *_: MadeRaw(outcomes, kind))
        clean_split(run, split, processes=processes)
        return run.paths.shards(split)

    return clean_


def good(number, *captions):
    return sample(number, encoded(picture(48, 48, number)), *captions)


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def rejected(folder):
    rows = pq.read_table(folder / "rejected.parquet").to_pylist()
    return [(row["url"], row["reason"]) for row in rows]


def test_every_image_is_kept_or_rejected_under_one_reason_of_the_vocabulary(clean):
    jpeg = encoded(picture(48, 48, 1))
    images_and_captions = [
        ("image_truncated", jpeg[: len(jpeg) // 2]),
        ("image_broken", b"<html>not an image</html>"),
        ("image_format", b"<svg xmlns='http://www.w3.org/2000/svg'></svg>"),
        ("image_too_large", encoded(picture(1200, 1000, 2))),
        ("image_too_small", encoded(picture(15, 48, 3))),
        ("image_aspect", encoded(picture(200, 40, 4))),
        ("image_duplicate", encoded(picture(48, 48, 0))),
        ("caption_empty", encoded(picture(48, 48, 5)), " \t "),
        ("caption_too_short", encoded(picture(48, 48, 6)), "ab"),
        ("caption_too_long", encoded(picture(48, 48, 7)), "x" * 3000),
    ]
    outcomes = [good(0)]
    outcomes += [sample(i, *rest) for i, (_, *rest) in enumerate(images_and_captions, 1)]
    outcomes += [failure(11, "download_http_404"), failure(12, "download_timeout")]
    folder = clean(outcomes)

    expected = [reason for reason, *_ in images_and_captions]
    assert set(expected) == set(REASONS)  # every reason that cleaning gives
    expected += ["download_http_404", "download_timeout"]
    assert rejected(folder) == [(f"http://web.test/{i}.jpg", reason) for i, reason in enumerate(expected, 1)]
    manifest = read_manifest(folder / "manifest.json")
    assert manifest.rejected == dict.fromkeys(sorted(expected), 1)
    assert manifest.count + sum(manifest.rejected.values()) == len(outcomes)
    yield_ = manifest.yield_
    assert (yield_.images, yield_.received, yield_.kept, yield_.share) == (13, 11, 1, 1 / 13)


def test_a_reason_outside_the_vocabulary_cannot_be_given():
    with pytest.raises(AssertionError):
        RejectionError("image_ugly", "")
    assert len(RejectionError("image_broken", "a\nb " * 500).detail) <= 200
    assert "\n" not in RejectionError("image_broken", "a\nb").detail


def test_a_sample_loses_only_its_bad_and_its_repeated_captions(clean):
    folder = clean([good(0, "", "a &amp; b\tc", "x", "a & b c", "another"), good(1, "x", "")])
    assert Pairs(folder).captions(0) == ["a & b c", "another"]
    assert rejected(folder) == [("http://web.test/1.jpg", "caption_too_short")]


def test_images_without_captions_are_judged_alone(clean):
    folder = clean([good(0, ""), good(1, "a caption that is not wanted"), good(2)], "images")
    assert read_manifest(folder / "manifest.json").count == 3
    assert pq.read_table(folder / "captions.parquet")["captions"].to_pylist() == [[], [], []]


def make_outcomes():
    outcomes = [good(i) for i in range(9)] + [sample(9, encoded(picture(90, 60, 9), "PNG")), good(3)]
    return [
        *outcomes,
        failure(11, "download_http_500"),
        sample(12, b"no"),
        good(13),
        failure(14, "download_dns"),
    ]


def test_the_same_samples_give_the_same_bytes_whatever_the_source_and_the_processes(run, clean):
    one = files(clean(make_outcomes()))
    assert sorted(one) == [
        "00000.tar", "00001.tar", "00002.tar", "captions.parquet", "index.arrow", "manifest.json",
        "origin.json", "origins.parquet", "rejected.parquet",
    ]  # fmt: skip
    assert files(clean(make_outcomes(), processes=2)) == one
    # Another kind of source has other keys and URLs for the same samples.
    elsewhere = [o._replace(key=f"row-{i}", url=f"{i}.jpg") for i, o in enumerate(make_outcomes())]
    other = files(clean(elsewhere, kind="folder"))
    differs = {name for name in one if one[name] != other[name]}
    assert differs == {"origin.json", "origins.parquet", "rejected.parquet"}


def test_samples_that_img2dataset_brought_are_those_that_came(run):
    """The whole way from raw shards, in whatever order img2dataset finished them."""
    answers = [Answer(encoded(picture(48, 48, i)), [f"caption {i}"]) for i in range(6)]
    answers += [Answer(error="HTTP Error 500"), Answer(error="HTTP Error 404")]
    results = []
    for order in (1, -1):
        write_raw(run, "train", answers, order, per_shard=3)
        clean_split(run, "train")
        results.append(files(run.paths.shards("train")))
    assert results[0] == results[1]
    pairs = Pairs(run.paths.shards("train"))
    assert [pairs.jpeg(i) for i in range(6)] == [answer.image for answer in answers[:6]]


def test_tars_are_plain_and_the_index_points_into_them(clean):
    outcomes = [good(i) for i in range(6)]
    folder = clean(outcomes)
    index, pairs = read_index(folder / "index.arrow"), Pairs(folder)
    assert len(index.shard) == len(pairs) == 6
    for shard, ids in (("00000.tar", range(4)), ("00001.tar", range(4, 6))):
        with tarfile.open(folder / shard) as tar:
            assert tar.getnames() == [f"{i:08d}.{ending}" for i in ids for ending in ("jpg", "json")]
            for member in tar:
                facts = (member.mtime, member.uid, member.gid, member.uname, member.mode)
                assert facts == (0, 0, 0, "", 0o644)
            for i in ids:
                jpeg = tar.getmember(f"{i:08d}.jpg")
                assert (jpeg.offset_data, jpeg.size) == (index.offset[i], index.size[i])
                assert tar.extractfile(jpeg).read() == pairs.jpeg(i) == outcomes[i].image
                facts = json.load(tar.extractfile(f"{i:08d}.json"))
                digest = hashlib.sha256(outcomes[i].image).hexdigest()
                assert facts == {"captions": [f"caption {i}"], "sha256": digest}
                assert pairs.captions(i) == [f"caption {i}"]
    origins = pq.read_table(folder / "origins.parquet").to_pylist()
    assert origins == [{"url": o.url, "key": o.key} for o in outcomes]
    assert json.loads((folder / "origin.json").read_text())["kind"] == "made"


def test_orientation_noted_by_the_source_is_applied(clean):
    sideways = picture(48, 30, 1)
    folder = clean([sample(0, encoded(sideways), orientation=6)])
    upright = Pairs(folder).image(0)
    assert upright.size == (30, 48)
    difference = abs(sum(upright.getpixel((0, 0))) - sum(sideways.getpixel((0, 29))))
    assert difference < 30  # JPEG


def test_too_low_a_yield_is_one_line_with_the_reasons_and_keeps_the_old_result(tmp_path, monkeypatch):
    strict = project(tmp_path, monkeypatch, download={"min_yield": 0.5})
    monkeypatch.setattr(cleaning, "open_raw", lambda *_: MadeRaw([good(0)]))
    clean_split(strict, "train")
    old = files(strict.paths.shards("train"))
    monkeypatch.setattr(
        cleaning, "open_raw", lambda *_: MadeRaw([good(0), good(1, ""), good(2, ""), sample(3, b"no")])
    )
    with pytest.raises(
        UserError, match=r"1 of 4 images .*25.0%.*50.0%.*caption_empty 2, image_broken 1"
    ) as error:
        clean_split(strict, "train")
    assert "\n" not in str(error.value)
    assert files(strict.paths.shards("train")) == old


def test_a_call_killed_between_its_two_renames_loses_nothing(clean, run):
    folder = clean([good(0)])
    old = files(folder)
    folder.rename(folder.with_name(".train.old"))
    folder.with_name(".train.partial").mkdir()
    with pytest.raises(UserError, match="0 of 1 images"):
        clean([sample(0, b"no image")])
    assert files(folder) == old


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from m3ae.config import Run, load_run
from m3ae.config.load import merge
from m3ae.config.models import RunSettings
from m3ae.data.clean import clean as cleaning
from made_raw import MadeRaw
from test_clean import make_outcomes

settings = merge(
    load_run("tiny").settings.plain(),
    {{"data": {{"clean": {{"shard_samples": 4}}, "download": {{"min_yield": 0.05}}}}}},
)
run = Run("tiny", RunSettings.model_validate(settings))
moments = {{"outcome": cleaning.Consumed, "part": cleaning.Parts}}
method = {{"outcome": "take", "part": "save"}}[{where!r}]
genuine = getattr(moments[{where!r}], method)
calls = 0

def counted(*arguments):
    global calls
    calls += 1
    if calls == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    return genuine(*arguments)

setattr(moments[{where!r}], method, counted)
cleaning.open_raw = lambda *_: MadeRaw(make_outcomes())
cleaning.clean_split(run, "train")
"""


@pytest.mark.parametrize(("where", "number"), [("outcome", 7), ("part", 2), ("outcome", 14)])
def test_a_killed_pass_goes_on_and_ends_with_the_same_bytes(clean, run, monkeypatch, where, number):
    script = KILLED.format(tests=str(Path(__file__).parent), where=where, number=number)
    dead = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    assert not run.paths.shards("train").exists()

    examined = []
    genuine = cleaning.examine
    monkeypatch.setattr(
        cleaning,
        "examine",
        lambda outcome, **options: examined.append(outcome) or genuine(outcome, **options),
    )
    again = files(clean(make_outcomes()))
    assert 0 < len(examined) <= len(make_outcomes()) - 4  # the first shard at least was not made again
    assert not run.paths.shards("train").with_name(".train.partial").exists()
    examined.clear()
    undisturbed = files(clean(make_outcomes()))
    assert len(examined) == len(make_outcomes())
    assert again == undisturbed


def interrupted(clean, monkeypatch, outcomes, after):
    """A pass that ends with an exception after some outcomes."""
    genuine = cleaning.Sieve.take

    def take(self, outcome, result):
        if self.consumed.num_outcomes == after:
            raise KeyboardInterrupt
        genuine(self, outcome, result)

    with monkeypatch.context() as patch:
        patch.setattr(cleaning.Sieve, "take", take)
        with pytest.raises(KeyboardInterrupt):
            clean(outcomes)


@pytest.mark.parametrize("change", ["failure", "image", "shorter", "nothing"])
def test_a_pass_goes_on_only_if_its_source_is_still_the_same(clean, monkeypatch, change):
    before = make_outcomes()
    before[1] = failure(1, "download_timeout")
    after = list(before)
    if change == "failure":
        after[1] = failure(1, "download_http_404")
    elif change == "image":
        after[1] = good(1)
    elif change == "shorter":
        after = after[:3]
    interrupted(clean, monkeypatch, before, 10)
    resumed = files(clean(after))
    assert resumed == files(clean(after))


def test_parts_of_a_cleaning_with_other_settings_are_not_gone_on_with(clean, run, monkeypatch):
    interrupted(clean, monkeypatch, make_outcomes(), 10)
    partial = run.paths.shards("train").with_name(".train.partial")
    assert [path.name for path in sorted((partial / "parts").glob("*.json"))] == ["00000.json", "00001.json"]
    note = partial / "parts" / "00000.json"
    said = json.loads(note.read_text())
    said["settings"]["jpeg_quality"] -= 1
    note.write_text(json.dumps(said))
    (partial / "00000.tar").write_bytes(b"of other settings")
    assert files(clean(make_outcomes())) == files(clean(make_outcomes()))


def test_a_source_that_gives_fewer_outcomes_than_it_lists_is_refused(run, monkeypatch):
    raw = MadeRaw([good(0), good(1)])
    raw.num_images = 3
    monkeypatch.setattr(cleaning, "open_raw", lambda *_: raw)
    with pytest.raises(UserError, match=r"data/made: expected an outcome for each of 3 images, found 2"):
        clean_split(run, "train")


def test_rejections_behind_the_last_shard_and_between_are_all_listed(clean):
    outcomes = [failure(i, "download_dns") if i % 3 else good(i) for i in range(24)]
    outcomes.append(failure(24, "download_tls"))
    folder = clean(outcomes)
    manifest = read_manifest(folder / "manifest.json")
    assert [shard.count for shard in manifest.shards] == [4, 4]
    assert [url for url, _ in rejected(folder)] == [
        o.url for o in [*outcomes, failure(24, "")] if o[1] and not hasattr(o, "image")
    ]
    assert manifest.rejected == {"download_dns": 16, "download_tls": 1}


def test_a_missing_or_broken_download_is_one_line(run):
    with pytest.raises(UserError, match="expected the report of a finished download"):
        clean_split(run, "train")
    write_raw(run, "train", [Answer(encoded(picture(48, 48, i))) for i in range(2)])
    tar = run.paths.raw("train") / "00000.tar"
    tar.write_bytes(tar.read_bytes()[:700])
    with pytest.raises(UserError, match=r"00000.tar: broken raw shard"):
        clean_split(run, "train")
    assert not run.paths.shards("train").exists()


def test_batches_are_bounded_in_number_and_in_bytes():
    small, large = sample(0, b"x"), sample(1, b"x" * (BATCH_BYTES // 2))
    sizes = [len(batch) for batch in batches([small] * (BATCH_SAMPLES + 1) + [large] * 3 + [failure(2, "x")])]
    assert sum(sizes) == BATCH_SAMPLES + 5
    assert max(sizes) == BATCH_SAMPLES
    assert [len(batch) for batch in batches([large] * 5)] == [2, 2, 1]


ENDLESS = """
import itertools, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from functools import partial
from m3ae.config import load_run
from m3ae.data.clean.examine import examine
from m3ae.data.clean.workers import judged
from test_clean import good

judge = partial(examine, settings=load_run("tiny").settings.data.clean)
for _ in judged(itertools.repeat(good(0)), judge, 2):
    print("at work", flush=True)
"""


@pytest.mark.slow
def test_the_processes_of_a_killed_pass_end_with_it(run):
    script = ENDLESS.format(tests=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "at work\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
    assert len(children) >= 2
    assert psutil.wait_procs(children, timeout=120)[1] == []


def test_digests_find_what_a_dict_finds():
    rng = np.random.default_rng(0)
    digests, expected = Digests(), {}
    for number in rng.integers(0, 4000, 10_000):
        sha256 = hashlib.sha256(number.tobytes()).digest()
        assert digests.find(sha256) == expected.get(sha256)
        if sha256 not in expected:
            expected[sha256] = digests.add(sha256)
    assert list(expected.values()) == list(range(len(digests)))


def test_digests_take_less_than_fifty_bytes_each():
    script = """
import resource
from m3ae.data.clean.digests import Digests
import hashlib
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
digests = Digests()
for number in range(300_000):
    digests.add(hashlib.blake2b(number.to_bytes(8, "big"), digest_size=32).digest())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 300_000)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 50  # the table doubles, and for a moment both lie in memory


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
