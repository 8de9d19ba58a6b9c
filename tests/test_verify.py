import json
import os

import pytest
from click.testing import CliRunner

from m3ae.cli.main import main
from m3ae.data.clean import clean as cleaning
from m3ae.data.clean import repair as repairing
from m3ae.data.clean.clean import clean_split
from m3ae.data.clean.verify import find_broken
from m3ae.data.manifest import read_manifest
from made_raw import MadeRaw, failure, sample
from raw_shards import Answer, encoded, picture, project, write_raw
from small_project import make_config

MENDED = ["00000.tar", "00001.tar", "index.arrow", "captions.parquet"]


@pytest.fixture
def raw():
    outcomes = [sample(i, encoded(picture(48, 48, i)), f"caption {i}", "another") for i in range(10)]
    outcomes[2] = failure(2, "download_dns")
    outcomes[5] = sample(5, encoded(picture(90, 60, 5), "PNG"))
    outcomes.append(outcomes[0]._replace(key="000000010"))  # a duplicate
    return MadeRaw(outcomes)


@pytest.fixture
def run(tmp_path, monkeypatch, raw):
    run = project(tmp_path, monkeypatch, clean={"shard_samples": 4}, download={"min_yield": 0.05})
    for module in (cleaning, repairing):
        monkeypatch.setattr(module, "open_raw", lambda *_: raw)
    clean_split(run, "train")
    return run


@pytest.fixture
def folder(run):
    return run.paths.shards("train")


def damage(path, how):
    data = path.read_bytes()
    if how == "deleted":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(data[:-7])
    else:  # one bit
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])


def snapshot(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def verify(folder, *options):
    result = CliRunner().invoke(main, ["data", "verify", str(folder / "manifest.json"), *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_whole_shards_are_right(folder):
    result = verify(folder)
    assert result.exit_code == 0
    assert result.output.splitlines()[-1].endswith("3 shards, 9 samples: every checksum is right")


@pytest.mark.parametrize("how", ["deleted", "truncated", "flipped"])
@pytest.mark.parametrize("name", MENDED)
def test_a_broken_file_is_named_and_rebuilt_alone_to_the_byte(folder, raw, name, how):
    before = snapshot(folder)
    damage(folder / name, how)
    assert [item.path.name for item in find_broken(folder, read_manifest(folder / "manifest.json"))] == [name]
    assert verify(folder).exit_code == 1

    result = verify(folder, "--repair")
    assert result.exit_code == 0, result.output
    assert str(folder / name) in result.output
    after = snapshot(folder)
    assert {file: data for file, (data, _) in after.items()} == {
        file: data for file, (data, _) in before.items()
    }
    assert [file for file in after if after[file] != before[file]] in (
        [name],
        [],
    )  # other times are unchanged
    assert len(raw.asked_for) == (4 if name.endswith(".tar") else 0)
    assert verify(folder).exit_code == 0


def test_every_broken_file_is_named_a_line_each_and_what_to_do(folder):
    damage(folder / "00000.tar", "flipped")
    damage(folder / "00002.tar", "deleted")
    damage(folder / "captions.parquet", "truncated")
    result = verify(folder)
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if "expected" in line]
    assert [line.split(":")[0] for line in lines] == [
        str(folder / name) for name in ("00000.tar", "00002.tar", "captions.parquet")
    ]
    assert "found no such file" in lines[1]
    assert f"m3ae data verify {folder / 'manifest.json'} --repair" in result.output.splitlines()[-1]
    assert verify(folder, "--repair").exit_code == 0
    assert verify(folder).exit_code == 0


@pytest.mark.parametrize("change", ["gone", "other image", "other caption", "broken"])
def test_what_cannot_be_rebuilt_is_said_in_one_line_and_nothing_changes(folder, raw, change):
    at = next(i for i, outcome in enumerate(raw._outcomes) if outcome.key == "000000001")
    if change == "gone":
        raw._outcomes[at] = failure(1, "download_http_404")
    elif change == "other image":
        raw._outcomes[at] = sample(1, encoded(picture(48, 48, 99)), "caption 1", "another")
    elif change == "other caption":
        raw._outcomes[at] = raw._outcomes[at]._replace(captions=["another"])
    else:
        raw._outcomes[at] = raw._outcomes[at]._replace(image=b"no image")
    damage(folder / "00000.tar", "flipped")
    damage(folder / "00001.tar", "deleted")
    before = snapshot(folder)
    result = verify(folder, "--repair")
    assert result.exit_code == 1
    said = [line for line in result.output.splitlines() if "cannot be rebuilt" in line]
    assert len(said) == 1
    assert said[0].startswith(f"{folder / '00000.tar'}: cannot be rebuilt: data/made")
    after = snapshot(folder)
    assert after.pop("00001.tar")  # this one could be
    assert after == before


def test_without_a_note_of_their_origin_shards_stay_as_they_are(folder):
    (folder / "origins.parquet").unlink()
    damage(folder / "00001.tar", "truncated")
    before = snapshot(folder)
    result = verify(folder, "--repair")
    assert result.exit_code == 1
    assert "origins.parquet does not say where its samples came from; clean the split again" in result.output
    assert snapshot(folder) == before


def test_settings_that_have_changed_since_do_not_matter(folder):
    """A shard is rebuilt with the settings of its manifest."""
    config = folder.parents[3] / "config" / "tiny.yaml"
    config.write_text(config.read_text().replace("short_side_px: 48", "short_side_px: 40"))
    damage(folder / "00001.tar", "flipped")
    assert verify(folder, "--repair").exit_code == 0


def test_a_shard_is_rebuilt_from_the_raw_shards_of_a_download(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_config(tmp_path, data={"clean": {"shard_samples": 4}})
    from m3ae.config import load_run

    run = load_run("micro")
    answers = [Answer(encoded(picture(48, 48, i)), [f"caption {i}"]) for i in range(8)]
    answers[1] = Answer(error="HTTP Error 404: Not Found")
    write_raw(run, "train", answers, per_shard=3)
    clean_split(run, "train")
    folder = run.paths.shards("train")
    before = snapshot(folder)
    damage(folder / "00001.tar", "deleted")
    assert verify(folder, "--repair").exit_code == 0
    assert snapshot(folder)["00001.tar"][0] == before["00001.tar"][0]

    damage(folder / "00001.tar", "flipped")
    run.paths.download("train").unlink()
    result = verify(folder, "--repair")
    assert result.exit_code == 1
    assert "00001.tar: cannot be rebuilt: data/micro/raw/train.json: expected the report" in result.output


def test_a_missing_or_foreign_manifest_is_one_line(tmp_path, folder):
    assert "no such manifest" in verify(tmp_path).output
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 1}))
    result = verify(folder)
    assert result.exit_code == 1
    assert "not a manifest (format: Input should be 2)" in result.output


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_cannot_be_read_is_named(folder):
    (folder / "00000.tar").chmod(0)
    assert "cannot be read" in verify(folder).output
