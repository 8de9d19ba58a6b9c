"""A clone and `dvc pull` are a finished run; an edit plans its own stage and what depends on it alone."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import chdir, contextmanager
from random import Random

import pytest
import yaml

from forked import snakemake
from m3ae.artifacts.cache import Hashes
from m3ae.artifacts.jobs import features_job, jobs
from m3ae.artifacts.notes import Notes
from m3ae.artifacts.targets import figure_jobs
from m3ae.config import load_run
from m3ae.errors import UserError
from m3ae.records import HASH, content_hash
from pulled_project import RUN, command, plan, published, pulled, settings, told_plan  # noqa: F401
from test_workflow import PROBE, planned

pytestmark = pytest.mark.slow

TOLD = {"compute": 1, "report": 1}
SHOWN = {"figure3": 1, "figure4": 1, "figure6": 1, **TOLD}
PROBED = {"probe": 2, "ood": 1, **SHOWN}
GROUPED = {"clusters": 1, "figure9": 1}
IMAGES = {"source": 1}  # of evaluation sets: a part of no pull
SEEN = {**IMAGES, "features": 2, **GROUPED, **PROBED}
LOOKS = {"figure2": 1, "pointing": 1, "figure7": 1}
TRAINED = {"pretrain": 2, "heldout": 2, "curves": 1, **LOOKS, **SEEN}
ONE_MODEL = {**IMAGES, "pretrain": 1, "heldout": 1, "features": 1, "probe": 1, "curves": 1, **TOLD}
FIRST = {**ONE_MODEL, "ood": 1, "figure3": 1, "figure6": 1, **LOOKS, **GROUPED}
SECOND = {**ONE_MODEL, "figure4": 1}


def test_nothing_is_planned(pulled):  # noqa: F811
    assert plan(pulled) == {}


def test_a_figure_is_one_job_and_the_same_bytes(pulled):  # noqa: F811
    paths = [pulled / f"reports/micro/figure4.{ending}" for ending in ("csv", "md", "svg", "png")]
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    code, text = snakemake(pulled, "figure4", *RUN)
    assert code == 0, text
    assert "1 of 1 steps" in text
    assert [path.read_bytes() for path in paths] == before
    assert plan(pulled) == {}


@contextmanager
def edited(path, change):
    """A file with other content, given by a function of its bytes; as before afterwards."""
    before = path.read_bytes()
    path.unlink()  # DVC's files may be links into its cache
    path.write_bytes(change(before))
    try:
        yield
    finally:
        path.write_bytes(before)


def one_byte(content):
    return content[:-1] + bytes([content[-1] ^ 1])


SETTINGS = {
    "a probe's epochs": ({"probe": {**PROBE, "epochs": 5}}, PROBED),
    "the learning rate": ({"pretrain": {"base_lr": 1e-3}}, TRAINED),
    "one model's epochs": (
        {"models": {"m3ae-b100": {"epochs": 2}, "m3ae-s50": {"epochs": 2}}},
        SECOND,
    ),
    "held-out pairs": ({"heldout": {"num_samples": 10}}, {"heldout": 2, **TOLD}),
    "pictures": ({"heldout": {"num_samples": 20, "num_pictures": 3}}, {"figure2": 1, "report": 1}),
    "draws": (
        {"statistics": {"draws": 110}},
        {"heldout": 2, "pointing": 1, "figure7": 1, "figure5": 1, **GROUPED, **PROBED},
    ),
    "the resizing": ({"features": {"resize_px": 50}}, {**SEEN, "pointing": 1, "figure7": 1}),
    "bins": ({"ood": {"bins": 7}}, {"figure6": 1, "report": 1}),
    "the title": ({"title": "Another"}, {"report": 1}),
    "the vocabulary": ({"vocab_size": 200}, {"tokens": 1, **TRAINED}),
    "how often it saves": ({"pretrain": {"log_steps": 7, "checkpoint_minutes": 1.0}}, {}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_plans_what_depends_on_it(pulled, name):  # noqa: F811
    changes, expected = SETTINGS[name]
    changes = dict(changes)
    if "vocab_size" in changes:
        changes = {"data": {**settings()["data"], "tokens": {"vocab_size": changes["vocab_size"]}}}
    text = yaml.safe_dump({**settings(), **changes}).encode()
    with edited(pulled / "config/micro.yaml", lambda _: text):
        assert plan(pulled) == expected


def anew(folder, *arguments):
    """Snakemake in a process of its own, which imports our code as it is now."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def test_a_version_number_plans_its_stage(pulled, tmp_path, monkeypatch):  # noqa: F811
    patched(monkeypatch, tmp_path, "probe")
    assert planned(pulled, "all", *RUN, call=anew) == PROBED


def test_comments_order_and_the_machine_plan_nothing(pulled):  # noqa: F811
    def turned(_):
        return ("# why\n\n" + yaml.safe_dump(dict(reversed(settings().items())), sort_keys=False)).encode()

    def threads(content):
        return content + b"set-threads: [pretrain=2, clean=2]\n"

    def paper(content):
        whole = yaml.safe_load(content)
        return b"# why\n" + yaml.safe_dump(dict(reversed(whole.items())), sort_keys=False).encode()

    with (
        edited(pulled / "config/micro.yaml", turned),
        edited(pulled / "config/paper.yaml", paper),
        edited(pulled / "profiles/default/config.yaml", threads),
    ):
        assert plan(pulled) == {}


def test_another_setting_of_the_paper_plans_its_forecast(pulled):  # noqa: F811
    with edited(
        pulled / "config/paper.yaml",
        lambda content: content.replace(b"\nbatch_size: 4096", b"\nbatch_size: 8192"),
    ):
        assert plan(pulled) == TOLD


FILES = {
    "results/micro/m3ae-b100/encoder.safetensors": FIRST,
    "results/micro/m3ae-s50/features.safetensors": {
        **IMAGES,
        "features": 1,
        "probe": 1,
        "figure4": 1,
        **TOLD,
    },
    "data/micro/shards/train/manifest.json": TRAINED,
    "data/micro/tokens/heldout.arrow": {"tokens": 1, **TRAINED},
    "reports/micro/figure4.csv": {"figure4": 1, "report": 1},
}


@pytest.mark.parametrize("name", FILES)
def test_another_file_plans_what_depends_on_it(pulled, name):  # noqa: F811
    change = one_byte if not name.endswith("json") else lambda content: content + b"\n"
    with edited(pulled / name, change):
        rules, text = told_plan(pulled)
    assert rules == FILES[name]
    assert name in text
    assert "planned again" in text


def test_a_later_time_with_the_same_bytes_plans_nothing(pulled):  # noqa: F811
    """All files that an earlier test replaced are back by now, so this also tests what is restored."""
    for path in pulled.glob("results/micro/*/encoder.safetensors"):
        path.touch()
    (pulled / "data/micro/tokens/train.arrow").touch()
    assert plan(pulled) == {}


def test_a_record_with_another_digit_is_refused(pulled):  # noqa: F811
    path = pulled / "results/micro/m3ae-b100/probe-digit.json"
    value = json.loads(path.read_text())["details"]["chance"]
    with edited(path, lambda content: content.replace(str(value).encode(), str(value + 1).encode())):
        code, text = snakemake(pulled, "-n", "all", *RUN)
    assert code != 0
    assert "probe-digit.json: was edited" in text
    assert "Traceback" not in text
    assert plan(pulled) == {}


def test_a_record_of_another_task_is_refused(pulled):  # noqa: F811
    path = pulled / "results/micro/m3ae-b100/probe-digit.json"
    with edited(path, lambda _: path.with_name("probe-colour.json").read_bytes()):
        code, text = snakemake(pulled, "-n", "all", *RUN)
    assert code != 0
    assert "probe-digit.json: is the record of results/micro/m3ae-b100/probe-colour.json" in text


def test_a_manifest_of_another_shape_is_one_line(pulled):  # noqa: F811
    path = pulled / "data/micro/shards/train/manifest.json"
    with edited(path, lambda _: b'{"shards": [{}]}'):
        code, text = snakemake(pulled, "-n", "all", *RUN)
    assert code != 0 and "Traceback" not in text
    assert "shards/train/manifest.json: not what clean writes (KeyError('name')); restore the file" in text


def test_a_folder_in_the_place_of_a_file_is_one_line(tmp_path):
    (tmp_path / "encoder.safetensors").mkdir()
    with pytest.raises(UserError, match=r"encoder\.safetensors: expected a file, found a folder"):
        Hashes(tmp_path / "hashes.json").of(tmp_path / "encoder.safetensors")


def test_features_of_a_row_that_is_no_headline_any_more_stay(pulled, monkeypatch):  # noqa: F811
    """They were made together with those of the last blocks, and Snakemake noted the settings of both."""
    plan(pulled)
    monkeypatch.chdir(pulled)
    job = features_job(load_run("micro"), "m3ae-b100")
    Notes().write(job, [*job.params(), {"layers": 2}])
    assert plan(pulled) == {}


def with_inputs(content, change):
    """A receipt with another list of what was read."""
    receipt = json.loads(content)
    del receipt[HASH]
    receipt["inputs"] = change(receipt["inputs"])
    return json.dumps({**receipt, HASH: content_hash(receipt)}).encode()


DROPPED, ADDED = "results/micro/m3ae-b100-1/steps.jsonl", "results/micro/m3ae-b100/steps.jsonl"
READ = {
    "a repeat that the run dropped": (lambda read: {**read, DROPPED: 64 * "0"}, f"made from {DROPPED} too"),
    "none of a new row": (lambda read: {k: read[k] for k in read if k != ADDED}, f"made without {ADDED}"),
}


@pytest.mark.parametrize("name", READ)
def test_curves_made_from_other_files_are_drawn_again(pulled, name):  # noqa: F811
    change, line = READ[name]
    with edited(pulled / "reports/micro/made/curves.json", lambda content: with_inputs(content, change)):
        (pulled / "reports/micro/curves.csv").touch()
        rules, text = told_plan(pulled)
    assert rules == {"curves": 1, "report": 1}
    assert line in text
    assert plan(pulled) == {}  # the receipt is back


def test_what_a_figure_was_drawn_from_is_noted(pulled, monkeypatch):  # noqa: F811
    """So that a row or repeat that is dropped later is noticed by Snakemake itself: its set of inputs."""
    plan(pulled)
    monkeypatch.chdir(pulled)
    for job in figure_jobs(load_run("micro")):
        read = sorted(map(str, job.inputs.values()))
        assert all(Notes().inputs(path) == read for path in job.outputs)


def test_the_hint_for_a_figure_names_a_target(pulled):  # noqa: F811
    with edited(pulled / "config/paper_numbers.csv", lambda content: content.replace(b"59.4", b"59.5", 1)):
        text = told_plan(pulled)[1]
    target = text.split("planned again: snakemake ")[1].split(",")[0]
    assert target.startswith("reports/micro/figure")


@pytest.fixture
def part(pulled, tmp_path):  # noqa: F811
    """A function that makes a project with some of the pulled files alone."""

    def make(*patterns):
        folder = tmp_path / "part"
        for name in ("workflow", "profiles", "config", "reports/templates"):
            shutil.copytree(pulled / name, folder / name)
        shutil.copy(pulled / "Snakefile", folder)
        for path in sorted(path for pattern in patterns for path in pulled.glob(pattern) if path.is_file()):
            (folder / path.relative_to(pulled)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / path.relative_to(pulled))
        return folder

    return make


def test_records_alone_give_tables(part):
    folder = part("results/micro/*/*.json")
    assert plan(folder, "figure3", "figure4", "figure6") == {"figure3": 1, "figure4": 1, "figure6": 1}


def test_features_alone_give_probes(part):
    folder = part("results/micro/*/features.*", "results/micro/*/pretrain.json")
    assert plan(folder, "figure3") == {"probe": 1, "figure3": 1}


def test_encoders_alone_give_features(part):
    folder = part("results/micro/*/encoder.*", "results/micro/*/pretrain.json", "data/micro/evalsets/*")
    assert plan(folder, "figure3") == {**IMAGES, "features": 1, "probe": 1, "figure3": 1}
    assert plan(folder, "results/micro/m3ae-s50/features.json") == {**IMAGES, "features": 1}


def test_another_learning_rate_trains_again_though_only_records_are_here(part):
    """No features lie here that could ask for an encoder: the records alone tell that they are of another."""
    folder = part("results/micro/*/*.json", "reports/micro/logs/*")
    text = yaml.safe_dump({**settings(), "pretrain": {"base_lr": 1e-3}})
    (folder / "config/micro.yaml").write_text(text)
    expected = {**DATA_OF_ALL, "pretrain": 1, "features": 1, "probe": 1, "figure3": 1}
    assert plan(folder, "figure3") == plan(folder, "figure3") == expected


DATA = {
    "no data": ((), {"source": 1, "download": 2, "clean": 2, "tokens": 1}),
    "no shards": (("data/micro/tokens/*",), {"source": 1, "download": 1, "clean": 1}),
}


@pytest.mark.parametrize("name", DATA)
def test_data_that_another_job_needs_train_nothing_again(part, name):
    """The held-out pairs are made again for one missing record; the encoders stay, and their features."""
    patterns, brought = DATA[name]
    folder = part("results/micro/*/*", *patterns)
    missing = "results/micro/m3ae-b100/heldout.json"
    (folder / missing).unlink()
    assert plan(folder, missing) == {**brought, "heldout": 1}


def test_evaluation_sets_that_were_not_pulled_are_made_alone(part):
    folder = part("results/micro/*/*", "data/micro/tokens/*", "data/micro/shards/*/*")
    missing = "results/micro/m3ae-b100/features.safetensors"
    (folder / missing).unlink()
    assert plan(folder, missing) == {"source": 1, "made_evalsets": 1, "features": 1}


def test_a_new_encoder_asks_for_the_sets_that_were_not_pulled(part):
    folder = part("results/micro/*/*", "data/micro/tokens/*", "data/micro/shards/*/*")
    changed = yaml.safe_dump({**settings(), "pretrain": {"base_lr": 1e-3}})
    (folder / "config/micro.yaml").write_text(changed)
    made = {"source": 1, "made_evalsets": 1}
    assert plan(folder, "results/micro/m3ae-b100/features.json") == {**made, "pretrain": 1, "features": 1}


def test_another_entry_of_the_registry_trains_nothing(pulled):  # noqa: F811
    def renamed(content):
        return content.replace(b"toy-textures-test.parquet", b"toy-textures-te*.parquet")

    with edited(pulled / "config/datasets.yaml", renamed):
        assert plan(pulled) == {"made_evalsets": 1, **SEEN}


def patched(monkeypatch, folder, stage):
    """Another version of a stage, for processes that start from now on."""
    (folder / "sitecustomize.py").write_text(
        f"from m3ae.config.stages import VERSIONS\nVERSIONS[{stage!r}] = 99\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)


def test_a_version_of_the_listings_is_noticed_right_after_a_pull(part, tmp_path, monkeypatch):
    folder = part("results/micro/*/*", "data/micro/**/*", "reports/micro/**/*")
    patched(monkeypatch, tmp_path, "evalset")
    assert planned(folder, "all", *RUN, call=anew) == {"made_evalsets": 1, **SEEN}


def more_rows(folder):
    """One row more, of which nothing is here."""
    base = settings()
    row = {
        "models": {**base["models"], "m3ae-l50": {"size": "s", "epochs": 2}},
        "rows": [*base["rows"], "m3ae-l50"],
    }
    (folder / "config/micro.yaml").write_text(yaml.safe_dump({**base, **row}))


DATA_OF_ALL = {"source": 1, "download": 2, "clean": 2, "tokens": 1, "made_evalsets": 1}


def test_a_new_row_does_not_make_again_what_records_say_of_the_others(part):
    """The data are made for the new row; of the others the records are here, and nothing else."""
    folder = part("results/micro/*/*.json", "reports/micro/logs/*")
    more_rows(folder)
    new = {"pretrain": 1, "features": 1, "probe": 1}
    assert plan(folder, "figure4") == {**DATA_OF_ALL, **new, "figure4": 1}
    rest = {"heldout": 1, "curves": 1, "compute": 1}
    assert plan(folder, "figure4", "curves", "compute") == {**DATA_OF_ALL, **new, "figure4": 1, **rest}


def test_a_step_log_lies_with_the_reports_too(part, pulled):  # noqa: F811
    folder = part("results/micro/*/*.json", "reports/micro/logs/*")
    assert plan(folder, "results/micro/m3ae-b100/steps.jsonl") == {}
    name = "results/micro/m3ae-b100/steps.jsonl"
    assert (folder / name).read_bytes() == (pulled / name).read_bytes()


def test_another_step_log_with_the_reports_is_not_taken(part):
    folder = part("results/micro/*/*.json", "reports/micro/logs/*", "data/micro/**/*")
    copy = folder / "reports/micro/logs/m3ae-b100.jsonl"
    copy.write_bytes(one_byte(copy.read_bytes()))
    assert plan(folder, "results/micro/m3ae-b100/steps.jsonl") == {"pretrain": 1}


def flip(path):
    """Change a byte in place, and leave the file the time that it had."""
    found = path.stat()
    with open(path, "r+b") as file:
        file.write(b"?")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.fixture
def whole(part):
    """A copy of all that was pulled, recognised."""
    folder = part("results/micro/*/*", "data/micro/**/*", "reports/micro/**/*")
    assert plan(folder) == {}
    return folder


def test_an_edit_in_place_that_keeps_the_time_is_noticed(whole):
    flip(whole / "results/micro/m3ae-b100/encoder.safetensors")
    assert plan(whole) == FIRST


def test_an_edit_after_the_clock_was_set_back_is_noticed(whole):
    for note in (whole / ".snakemake/metadata").rglob("*"):
        os.utime(note, (time.time() + 1e5,) * 2)
    flip(whole / "results/micro/m3ae-b100/encoder.safetensors")
    assert plan(whole) == FIRST


def test_times_in_any_order_plan_nothing(whole):
    draws = Random(0)
    for path in (path for path in whole.glob("*/micro/**/*") if path.is_file()):
        os.utime(path, (time.time() - draws.uniform(0, 1e6),) * 2)
    assert plan(whole) == {}


def test_an_edited_listing_is_made_again(whole):
    path = whole / "data/micro/evalsets/toy-textures.json"
    path.write_text(path.read_text().replace('"count": ', '"count": 1', 1))
    assert plan(whole) == {"made_evalsets": 1, **SEEN}
    path.write_text("{")
    rules, text = told_plan(whole)
    assert rules == {"made_evalsets": 1, **SEEN}
    assert "toy-textures.json: not a listing (" in text


def test_images_made_again_plan_nothing_and_others_do(whole):
    with chdir(whole):
        command("data", "source", "--run", "micro", "--only", "pairs")
    assert plan(whole) == {}
    flip(whole / "data/micro/source/toy-textures-test.parquet")
    (whole / "data/micro/source/train.tsv").touch()
    rules, text = told_plan(whole)
    assert rules == {"made_evalsets": 1, **{rule: count for rule, count in SEEN.items() if rule != "source"}}
    assert "toy-textures-test.parquet: listed with sha256 " in text


def test_data_that_were_removed_to_save_room_train_nothing_again(part):
    """The workflow itself made the word pieces and noted what from; that is gone, and is made again."""
    folder = part("results/micro/*/*", "data/micro/**/*")
    plan(folder)
    note_inputs(folder, "tokens", lambda job: job.inputs.values())
    shutil.rmtree(folder / "data/micro/shards")
    missing = "results/micro/m3ae-b100/heldout.json"
    (folder / missing).unlink()
    assert plan(folder, missing) == {"source": 1, "download": 1, "clean": 1, "heldout": 1}


def test_an_input_that_rules_did_not_name_before_plans_nothing(whole):
    """What an older version of the rules made here, with records that fit."""
    note_inputs(whole, "features", lambda job: job.inputs.values())
    assert plan(whole) == {}


def test_an_edited_record_is_refused_each_time(whole):
    """Also where its note is mended: that is younger than the edit."""
    note_inputs(whole, "probe", lambda _: ["a file that is gone"])
    record = whole / "results/micro/m3ae-b100/probe-digit.json"
    record.write_bytes(one_byte(record.read_bytes().rstrip()))
    assert [snakemake(whole, "-n", "all", *RUN)[0] for _ in range(2)] == [1, 1]


def note_inputs(folder, stage, inputs):
    """Let Snakemake have noted other inputs of a stage's jobs."""
    with chdir(folder):
        for job in (job for job in jobs(load_run("micro")) if job.stage == stage):
            for path in job.outputs:
                note = Notes().persistence._read_record(str(path))
                note.input = sorted(map(str, inputs(job)))
                Notes().persistence._write_record(str(path), note)


def test_a_job_asked_for_by_force_runs_with_what_it_needs(part):
    """Its data are made, and no encoder."""
    folder = part("results/micro/*/*", "data/micro/tokens/*", "data/micro/evalsets/*")
    forced = "results/micro/m3ae-b100/heldout.json"
    expected = {"source": 1, "download": 1, "clean": 1, "heldout": 1}
    assert plan(folder, "-f", forced) == plan(folder, forced, "-R", forced) == expected
    assert plan(folder, forced, "results/micro/m3ae-s50/heldout.json", "-R", "heldout") == {
        **expected,
        "heldout": 2,
    }
