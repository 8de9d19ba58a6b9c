"""Records: items come back, broken files are named, provenance tells code from results."""

import hashlib
import json
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from m3ae.errors import UserError
from m3ae.records import Items, Metric, Record, provenance, read_record


def record(**changes):
    metric = Metric(
        value=1.0, low=0.5, high=1.5, n=3, unit="%", items={"correct": Items.pack(np.array([1, 0, 1]))}
    )
    fields = {
        "run": "tiny",
        "model": "m",
        "stage": "probe",
        "metrics": {"accuracy": metric},
        "settings": {},
        "inputs": {},
        "seeds": [1],
    }
    return Record(**{**fields, **changes})


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.float32, np.int64, ">f4"])
def test_items_come_back_as_they_were(dtype):
    values = np.array([0, 1, 1, 0, 1], dtype)
    assert np.array_equal(Items.pack(values).unpack(), values)


def test_a_record_comes_back_as_it_was(tmp_path):
    record().write(tmp_path / "a/b.json")
    assert read_record(tmp_path / "a/b.json") == record()


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"run": "tiny"'])
def test_a_broken_record_is_named_in_one_line(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    path = Path("results/tiny/m/a.json")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    for given in (path, path.absolute()):
        with pytest.raises(UserError, match=r"a\.json: not a record \(.*\); remove it and run again$"):
            read_record(given)


@pytest.mark.parametrize("name", ["README.md", "src/results/a.json", "results.json"])
def test_a_file_that_is_no_result_is_never_to_be_removed(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(
        UserError, match=r": not a record \(.*\); expected a record, results/RUN/MODEL/\*\.json$"
    ):
        read_record(path)


def test_a_missing_record_says_what_makes_it(tmp_path):
    with pytest.raises(UserError, match="no such record; the workflow makes it: snakemake"):
        read_record(tmp_path / "a.json")


def git(folder, *arguments):
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, check=True)


def test_changed_code_is_told_from_changed_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert provenance(time.time())["commit"] is None
    (tmp_path / "results").mkdir()
    for name in ("code.py", "results/a.json"):
        (tmp_path / name).write_text("1")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    (tmp_path / "results/a.json").write_text("2")
    facts = provenance(time.time())
    assert len(facts["commit"]) == 40
    assert facts["uncommitted_changes"] is False
    (tmp_path / "code.py").write_text("2")
    assert provenance(time.time())["uncommitted_changes"] is True


def test_a_library_that_is_not_installed_has_no_version(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("m3ae.records.LIBRARIES", ("numpy", "no-such-library"))
    versions = provenance(time.time())["versions"]
    assert versions["no-such-library"] is None
    assert versions["numpy"] == np.__version__


def test_equal_results_have_one_hash_whenever_they_were_made(tmp_path):
    hashes = []
    for name, finished in (("a", "2000-01-01"), ("b", "2026-01-01")):
        record(provenance={"finished": finished}).write(tmp_path / name)
        hashes.append(json.loads((tmp_path / name).read_text())["sha256"])
    kept = {**record().model_dump(mode="json")}
    del kept["provenance"]
    assert hashes == [hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()] * 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"value": 1.0', '"value": 1.1'),
        ('"seeds": [\n  1', '"seeds": [\n  2'),
        ('"settings": {}', '"settings": {"a": 1}'),
    ],
)
def test_a_record_that_was_edited_is_refused_in_one_line(tmp_path, before, after):
    record().write(tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text()
    assert before in text
    (tmp_path / "a.json").write_text(text.replace(before, after))
    with pytest.raises(UserError, match=r"a\.json: was edited: expected .* got .* snakemake") as caught:
        read_record(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_a_record_without_its_hash_is_refused(tmp_path):
    record().write(tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    del content["sha256"]
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"expected content of sha256 \(none is stated\)"):
        read_record(tmp_path / "a.json")


def test_a_records_provenance_may_be_completed_by_hand(tmp_path):
    record(provenance={"machine": "a"}).write(tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text()
    (tmp_path / "a.json").write_text(text.replace('"machine": "a"', '"machine": "b"'))
    assert read_record(tmp_path / "a.json").provenance == {"machine": "b"}
