"""``m3ae doctor``: what is slow on purpose is named, what does not fit is refused, estimates agree."""

import json
import math
import os
import re
import resource
import shutil
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from m3ae.cli.doctor import doctor
from m3ae.config import load_run
from m3ae.config.training import Mixture
from m3ae.data.shards import Pairs
from m3ae.data.stream import augment
from m3ae.data.stream.loader import to_tensors
from m3ae.data.stream.stream import Stream
from m3ae.model.blocks import Block
from m3ae.train import loop
from m3ae.train.doctor import cgroup, environment, examine, trial
from m3ae.train.doctor.advice import Situation, advise
from m3ae.train.doctor.disk import needs_of
from m3ae.train.doctor.memory import OVERHEAD, Memory, measure_memory, saved_bytes, watch
from m3ae.train.doctor.reading import Reading
from m3ae.train.doctor.remaining import remaining
from m3ae.train.doctor.resources import Cores, available_memory, count_physical
from m3ae.train.doctor.room import USED
from m3ae.train.doctor.stepping import Plan, affordable, plan_of
from m3ae.train.doctor.synthetic import caption_lengths, synthetic_batch
from m3ae.train.doctor.trial import Trial
from m3ae.train.doctor.units import duration, size
from m3ae.train.doctor.verdict import COPY, STEP, Rates, binding
from m3ae.train.kept import KEPT, STATE_BYTES
from m3ae.train.machine import Machine
from m3ae.train.part import LabelledPart
from m3ae.train.state import state_folder
from made_shards import make_stream_project
from small_project import MICRO, make_config, make_micro

Usage = namedtuple("Usage", "total used free")
MODEL, VOCAB = "m3ae-b100", 30
PARTS = ["storage", "decode", "augment", "words and masks", "collate"]
TWO_CORES = Cores(machine=2, allowed=2, physical=2, quota=None)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, before = tmp_path_factory.mktemp("doctor"), os.getcwd()
    os.chdir(folder)
    yield make_micro(folder, num=40)
    os.chdir(before)


def ask(*arguments, code=0):
    """What the doctor finds of the small project."""
    done = CliRunner().invoke(doctor, ["--run", "micro", "--seconds", "0.2", "--json", *arguments])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def finding(found, about):
    """The line about something."""
    return next(line for line in found["findings"] if line["about"].startswith(about))


def slowed(function, seconds):
    """The function, after a nap."""

    def wrapper(*args, **kwargs):
        time.sleep(seconds)
        return function(*args, **kwargs)

    return wrapper


# ---- the whole ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_a_small_project_is_examined_and_what_binds_is_named(run, workers):
    before = sorted(Path().rglob("*"))
    found = ask("--workers", str(workers))
    assert sorted(Path().rglob("*")) == before, "it writes nothing"
    assert found["binds"] in [*PARTS, STEP]
    assert list(found["reading"]["warm"]) == PARTS
    assert found["expected_samples_per_s"] == found["rates"]["together"] > 0
    assert found["left"] == {"steps": 40, "done": 0, "samples": 320}
    assert found["seconds_left"] == pytest.approx(320 / found["expected_samples_per_s"])
    assert found["is_ready"]
    assert found["room"]["plan"] == {"samples": 8, "passes": 1}
    assert 4 <= found["timed"]["samples"] <= 8


def test_a_person_reads_findings_a_table_and_a_verdict(run):
    done = CliRunner().invoke(doctor, ["--run", "micro", "--seconds", "0.1", "--device-batch", "4"])
    assert done.exit_code == 0, done.output
    for row in [*PARTS, "loader", "host to device", "step", "steps on the data"]:
        assert f"\n{row} " in done.stdout
    assert re.search(r"[12] x 4 samples", done.stdout)
    assert "micro m3ae-b100: ready. " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("To be faster: ")
    assert "timing the step" in done.stderr


@pytest.fixture
def quick_step(monkeypatch):
    """A step that takes no time, however busy the machine: what is compared with it is the reading alone."""
    monkeypatch.setattr(trial, "train_step", lambda *args: None)


def test_a_slow_decoder_binds(run, quick_step, monkeypatch):
    monkeypatch.setattr(augment, "decode_box", slowed(augment.decode_box, 0.05))
    assert ask()["binds"] == "decode"


def test_slow_storage_binds(run, quick_step, monkeypatch):
    monkeypatch.setattr(Pairs, "jpegs", slowed(Pairs.jpegs, 0.4))
    found = ask()
    assert found["binds"] == "storage"
    assert "faster disk" in found["advice"]


def test_a_slow_step_binds(run, monkeypatch):
    monkeypatch.setattr(Trial, "step", slowed(Trial.step, 0.8))
    found = ask()
    assert found["binds"] == STEP
    assert found["expected_samples_per_s"] < 8 / 0.8


def test_the_expected_speed_is_that_of_pretraining(run, monkeypatch):
    """Both with a step so slow that a loaded machine changes little."""
    monkeypatch.setattr(loop, "train_step", slowed(loop.train_step, 0.3))
    monkeypatch.setattr(trial, "train_step", slowed(trial.train_step, 0.3))
    try:
        make_config(Path(), models={MODEL: {"epochs": 3}})
        short = load_run("micro")
        expected = ask("--seconds", "1.5")["expected_samples_per_s"]
        loop.pretrain(short, MODEL)
        lines = short.paths.step_log(MODEL).read_text().splitlines()
    finally:
        make_config(Path())
        for made in ("results", "runs", "logs"):
            shutil.rmtree(made, ignore_errors=True)
    logged = sorted(json.loads(line)["samples_per_s"] for line in lines)
    assert len(logged) == 3
    assert 0.5 < expected / logged[1] < 2


def test_too_little_disk_is_refused(run, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**6, 10**6 - 1000, 1000))
    found = ask(code=1)
    assert finding(found, "disk")["level"] == "error"
    assert "make room" in finding(found, "disk")["says"]
    assert not found["is_ready"]


def test_too_little_memory_is_refused_with_the_batch_that_fits(run, monkeypatch):
    memory = measure_memory(Trial(run, MODEL, VOCAB, Machine()))
    free = math.ceil((memory.needed(3) + memory.per_sample / 2) / USED)  # three samples, not four
    monkeypatch.setattr(examine, "available_memory", lambda: free)
    found = ask(code=1)
    assert "--device-batch 3 fits (3 passes a step)" in finding(found, "memory of a step")["says"]
    assert found["timed"]["samples"] == 3
    found = ask("--device-batch", "3")
    assert finding(found, "memory of a step")["level"] == "ok"


TEXTS = {"mixture": {"pairs": 0.3, "images": 0.0, "texts": 0.7}}
"""Of 11 samples 3 pairs and 8 passages: each of three passes has an image, and up to 3 passages."""


@pytest.fixture
def text_heavy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_stream_project(tmp_path, **TEXTS)


@pytest.mark.parametrize("room", [3, 4, 6])
def test_a_device_batch_that_is_advised_is_one_that_training_takes(text_heavy, monkeypatch, room):
    one = Trial(text_heavy, MODEL, Stream(text_heavy, MODEL).tokens.vocab_size, Machine())
    memory = measure_memory(one)
    free = math.ceil((memory.needed(room) + memory.per_sample / 2) / USED)
    monkeypatch.setattr(examine, "available_memory", lambda: free)
    says = finding(ask(code=1), "memory of a step")["says"]
    if room < 4:
        assert "not even the smallest pass fits" in says
    else:
        one.check_passes(int(re.search(r"--device-batch (\d+) fits", says)[1]))


def test_a_device_batch_that_training_refuses_is_an_error(text_heavy):
    """The same line, as the training's own."""
    line = finding(ask("--device-batch", "3", code=1), "device batch")
    assert line["level"] == "error"
    assert "--device-batch: expected at least 4, since every pass has an image" in line["says"]
    assert not [line for line in ask("--device-batch", "4")["findings"] if line["about"] == "device batch"]


def test_a_model_that_does_not_fit_at_all_is_not_built(run, monkeypatch):
    monkeypatch.setattr(examine, "available_memory", lambda: 1000)
    monkeypatch.delattr(examine, "Trial")
    found = ask(code=1)
    assert "for weights, gradients and moments" in found["findings"][-1]["says"]
    assert found["rates"] is None


def test_data_that_are_not_there_are_a_warning_with_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_config(tmp_path)
    found = ask()
    line = finding(found, "data")
    assert line["level"] == "warning"
    assert line["says"].endswith("snakemake data/micro/tokens/train.arrow --config run=micro")
    assert found["rates"]["step"] > 0
    assert found["rates"]["together"] is None
    assert found["binds"] == STEP


def test_broken_data_are_an_error(run, tmp_path, monkeypatch):
    shutil.copytree(Path(), tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    next(run.paths.shards("train").glob("*.tar")).write_bytes(b"")
    found = ask(code=1)
    assert finding(found, "data")["level"] == "error"
    assert "repair" in finding(found, "data")["says"]


def test_an_epoch_of_other_data_is_a_warning(run):
    """A run that extends `paper` with 40 pairs of its own inherits 11 million samples an epoch."""
    assert not [line for line in ask()["findings"] if line["about"] == "epoch"]
    make_config(Path(), samples_per_epoch=11_000_000)
    try:
        line = finding(ask(), "epoch")
    finally:
        make_config(Path())
    assert line["level"] == "warning"
    assert "11,000,000, but data/micro/shards/train/manifest.json has 40 samples" in line["says"]


def test_a_mixture_and_an_mae_are_examined(stream_project):
    make_stream_project(stream_project)
    assert ask("--model", MODEL)["rates"]["together"] > 0
    assert ask("--model", "mae-b100", "--recompute")["rates"]["together"] > 0


@pytest.mark.parametrize(
    ("model", "texts", "px", "passages"), [("clip-b", 0.25, 36, False), ("own", 0, 48, True)]
)
def test_a_row_is_examined_by_settings_of_its_own(tmp_path, monkeypatch, model, texts, px, passages):
    """`clip-b` learns from pairs alone, of 36 px, whatever the run says; `own` reads passages besides."""
    monkeypatch.chdir(tmp_path)
    mixture = {"pairs": 1.0, "images": 0.0, "texts": texts}
    make_config(
        tmp_path,
        data={"texts": {"files": "none-*.txt", "max_tokens": 9}},
        pretrain={**MICRO["pretrain"], "mixture": mixture, "unpaired_text_loss_weight": 0.5},
        models={**MICRO["models"], "own": {"method": "m3ae", "size": "b", "epochs": 8, "texts": 0.25}},
        clip={"image": {"size_px": 36}},
    )
    batches, part = [], Trial.part
    monkeypatch.setattr(Trial, "part", lambda self, batch: batches.append(batch) or part(self, batch))
    assert ask("--model", model)["rates"]["step"] > 0
    assert {batch.image.shape[-1] for batch in batches} == {px}
    assert {len(batch.passage) > 0 for batch in batches} == {passages}


def test_an_unknown_model_is_one_line(run):
    done = CliRunner().invoke(doctor, ["--run", "micro", "--model", "m3ae-x"])
    assert done.exit_code == 1
    assert len(done.output.strip().splitlines()) == 1


# ---- steps and memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7, 8, 100, 4096])
@pytest.mark.parametrize("device_batch", [None, 1, 3, 8, 5000])
def test_passes_are_as_few_as_the_device_allows(batch, device_batch):
    plan = plan_of(batch, device_batch)
    most = min(batch, device_batch or batch)
    fewest = next(passes for passes in range(1, batch + 1) if passes * most >= batch)
    assert plan.passes == fewest
    assert plan.samples == max(len(range(part, batch, fewest)) for part in range(fewest))


def napping(naps):
    """A trial whose steps take what ``naps`` says of their samples."""
    return SimpleNamespace(
        mixture=Mixture(pairs=1.0, images=0.0, texts=0.0),
        noise=lambda samples: None,
        step=lambda passes, samples: time.sleep(naps(samples)),
        wait=lambda: None,
    )


def test_a_probe_that_other_work_held_up_does_not_size_the_timed_step():
    """A millisecond a sample; the first step that is probed waits half a second for a core."""
    held_up = iter([0, 0.5])
    found = affordable(napping(lambda samples: 1e-3 * samples + next(held_up, 0)), Plan(64, 1), 1.0)
    assert found == Plan(64, 1)


def test_a_step_whose_time_hardly_depends_on_its_samples_is_timed_whole():
    """As on a busy machine: sized by what a sample of a step of 4 takes, it would be one of 4."""
    assert affordable(napping(lambda samples: 0.2 + 1e-4 * samples), Plan(64, 1), 0.3) == Plan(64, 1)


def test_a_step_that_would_take_too_long_is_timed_in_part():
    """50 ms a sample, a third of a second: more than the probe, less than the plan."""
    found = affordable(napping(lambda samples: 0.05 * samples), Plan(64, 2), 1.5)
    assert found.passes == 1
    assert 4 <= found.samples <= 12


def test_a_synthetic_step_has_the_shapes_of_a_real_one(stream_project):
    for changes in ({}, {"mask_scope": "batch"}, {"mixture": {"pairs": 1.0, "images": 0.0, "texts": 0.0}}):
        run = make_stream_project(stream_project, **changes)
        for model in (MODEL, "clip-b"):
            real = to_tensors(Stream(run, model).step(0, 11))
            made = synthetic_batch(run.settings_of(model), VOCAB, 11)
            for name, one, other in zip(real._fields, real, made, strict=True):
                assert (name, one.shape, one.dtype) == (name, other.shape, other.dtype)
            orders = made.image_order.sort(dim=1).values
            assert torch.equal(orders, torch.arange(orders.shape[1]).expand_as(orders))


def test_synthetic_captions_are_as_long_as_the_runs(run):
    stream = Stream(run, MODEL)
    lengths = caption_lengths(stream)
    known = {len(caption) for id in range(len(stream)) for caption in stream.tokens.captions(id)}
    assert set(lengths) <= known
    batch = synthetic_batch(run.settings, VOCAB, 8, lengths)
    assert (~batch.padding).sum(dim=1).tolist() == lengths[:8]
    assert (batch.text[batch.padding] == 0).all()


@pytest.mark.parametrize("model", [MODEL, "mae-b100"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_memory_estimate_holds_for_another_batch(run, model, precision):
    recipe = run.settings.pretrain.model_copy(update={"precision": precision})
    run = replace(run, settings=run.settings.model_copy(update={"pretrain": recipe}))
    bare = Trial(run, model, VOCAB, Machine())
    memory = measure_memory(bare)
    for samples in (3, 12, 40):
        measured = saved_bytes(bare, samples)
        assert memory.saved(samples) == pytest.approx(measured.everything, rel=0.02)
        assert memory.saved(samples, recompute=True) == pytest.approx(measured.recomputed, rel=0.02)


def test_what_is_kept_for_the_way_back_is_counted_once():
    """Two linear layers and a ReLU: the input, and what the ReLU gave, which the second layer reads too."""
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    with watch(SimpleNamespace(model=model)) as (saved, inputs):
        out = model(torch.randn(11, 5))
    assert sum(saved[None].values()) == 4 * 11 * (5 + 7)
    assert not inputs
    del out


def test_recomputing_keeps_the_input_of_every_block_and_one_block():
    model = nn.Sequential(*(Block(8, 2, 4, "tanh") for _ in range(3)))
    x = torch.randn(2, 6, 8, requires_grad=True)
    with watch(SimpleNamespace(model=model)) as (saved, inputs):
        for block in model:
            x = block(x, None)
    assert sorted(inputs.values()) == [4 * 2 * 6 * 8] * 3
    assert len({sum(saved[block].values()) for block in model}) == 1
    assert None not in saved


def test_the_largest_batch_is_the_last_that_fits():
    memory = Memory(state=1000, fixed=100, per_sample=30.0, fixed_recomputed=90, per_sample_recomputed=7.0)
    for free in (0, *(OVERHEAD + room for room in (1100, 1125, 1163, 2000, 12345))):
        for recompute in (False, True):
            fits = [n for n in range(2000) if memory.needed(n, recompute) <= free]
            assert memory.largest(free, recompute) == max(fits, default=0)


def test_a_trial_leaves_the_weights_as_they_are(run):
    one = Trial(run, MODEL, VOCAB, Machine())
    before = [p.clone() for p in one.model.parameters()]
    one.step([one.noise(8)], 8)
    assert all(torch.equal(a, b) for a, b in zip(before, one.model.parameters(), strict=True))
    assert all(p.grad is not None for p in one.model.parameters())


def test_a_supervised_row_takes_labelled_images(in_project):
    tiny = load_run("tiny")
    one = Trial(tiny, "supervised-b", 0, Machine())
    part = one.noise(8)
    assert isinstance(part, LabelledPart)
    assert part.label.max() < one.model.head.out_features
    one.step([part], 8)
    assert all(p.grad is not None for p in one.model.head.parameters())


# ---- verdict -----------------------------------------------------------------------------------------------


def reading(loader=100.0, workers=1, stays=True, from_disk=True, **slow):
    """Parts of a millisecond each, but for what is slow."""
    warm = dict.fromkeys(PARTS, 1e-3) | {part.replace("_", " "): s for part, s in slow.items()}
    return Reading(warm | {"storage": 0.5}, warm, from_disk, 10**9, stays, loader, workers)


def test_turns_add_up_and_parts_side_by_side_wait_for_the_slowest():
    assert Rates(step=100, loader=25, beside=False).allowed == pytest.approx(20)
    assert Rates(step=100, loader=25).allowed == 25
    assert Rates(step=100, loader=250, copy=50).allowed == 50
    assert Rates(step=100).allowed == 100
    assert Rates(step=100, loader=25, together=17).expected == 17


@pytest.mark.parametrize(
    ("rates", "found", "binds"),
    [
        (Rates(step=10, loader=100), reading(), STEP),
        (Rates(step=1000, loader=100), reading(decode=0.01), "decode"),
        (Rates(step=1000, loader=100), reading(augment=0.01), "augment"),
        (Rates(step=1000, loader=100), reading(stays=False), "storage"),
        (Rates(step=1000, loader=100), reading(stays=False, from_disk=False, collate=0.01), "collate"),
        (Rates(step=1000, loader=1000, copy=100), reading(), COPY),
        (Rates(step=1000), None, STEP),
    ],
)
def test_the_slowest_part_binds(rates, found, binds):
    assert binding(rates, found) == binds


def situation(run, cores=16, threads=1, on_gpu=True, workers=0, **machine):
    return Situation(
        settings=run.settings,
        machine=Machine(workers=workers, **machine),
        cores=Cores(cores, cores, cores, None),
        threads=threads,
        on_gpu=on_gpu,
        has_bf16=True,
        largest_pass=64,
        fits_without_recompute=True,
    )


def test_workers_are_advised_as_many_as_the_step_can_use(run):
    """Five parts of a millisecond: a core makes 200 a second; 1,000 a second and a tenth more take 5.5."""
    rates = Rates(step=1000, loader=200)
    assert advise("decode", rates, reading(200), situation(run)) == "--workers 6"
    assert advise("decode", rates, reading(200), situation(run, cores=4)).startswith("--workers 3 (")
    assert "every core is at work" in advise(
        "decode", rates, reading(200), situation(run, 2, 2, on_gpu=False)
    )
    assert "fewer --workers" in advise("collate", rates, reading(100, 6), situation(run, workers=6))


def test_advice_for_the_step_names_what_is_left_to_set(run):
    rates = Rates(step=10, loader=100)
    text = advise(STEP, rates, reading(), situation(run, recompute=True, device_batch=2))
    assert "--recompute" in text
    assert "--device-batch 8" in text  # the batch of the run, though memory would hold 64
    assert "bf16" in text
    assert "OMP_NUM_THREADS=16" in advise(STEP, rates, reading(), situation(run, on_gpu=False))
    turns = Rates(step=10, loader=20, beside=False)
    assert "--workers 1" in advise(STEP, turns, reading(), situation(run, on_gpu=False))


def test_slow_storage_behind_a_network_wants_a_cache(run, monkeypatch):
    monkeypatch.setenv("M3AE_SHARDS_URL", "s3://bucket")
    monkeypatch.delenv("M3AE_CACHE_DIR", raising=False)
    assert "M3AE_CACHE_DIR" in advise("storage", Rates(1000, 10), reading(), situation(run))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1 s"),
        (119, "119 s"),
        (600, "10 min"),
        (7500, "2 h 05 min"),
        (180000, "2 d 2 h"),
        (1e9, "32 years"),
    ],
)
def test_a_time_has_the_units_that_matter(seconds, text):
    assert duration(seconds) == text
    assert size(3 * 2**29) == "1.5 GiB"


# ---- what is left, and what is written ---------------------------------------------------------------------


def test_a_checkpoint_of_these_settings_counts_and_no_other(run):
    folder = state_folder(run, MODEL, loop.inputs_of(run, MODEL))
    other = folder.with_name("other")
    for place, step in ((folder, 8), (folder, 12), (other, 30)):
        place.mkdir(parents=True, exist_ok=True)
        (place / f"checkpoint-{step:08d}.json").touch()
    try:
        found = remaining(run, MODEL, has_data=True)
    finally:
        shutil.rmtree("runs")
    assert (found.steps, found.done, found.samples) == (40, 12, (40 - 12) * 8)
    assert remaining(run, "untrained-b", has_data=True).samples == 0


def test_the_disk_needs_are_the_checkpoints_the_encoder_and_the_log(run):
    parameters = sum(p.numel() for p in Trial(run, MODEL, VOCAB, Machine()).model.parameters())
    needs = dict(needs_of(run, MODEL, VOCAB))
    state, results = run.paths.state(MODEL), run.paths.results(MODEL)
    assert 0 <= needs[state] - 3 * 12 * parameters < 10_000
    assert 0 <= needs[results] - 4 * parameters < 10_000
    assert (KEPT, STATE_BYTES) == (2, 12)
    written = state / "x" / "checkpoint-00000001.safetensors"
    written.parent.mkdir(parents=True)
    written.write_bytes(bytes(12 * parameters))
    try:
        assert dict(needs_of(run, MODEL, VOCAB))[state] == needs[state] - 12 * parameters
    finally:
        shutil.rmtree("runs")


def test_a_cache_needs_what_it_does_not_hold_yet(run, tmp_path, monkeypatch):
    shards = sum(path.stat().st_size for path in run.paths.shards("train").glob("*.tar"))
    monkeypatch.setenv("M3AE_SHARDS_URL", "file:///far")
    monkeypatch.setenv("M3AE_CACHE_DIR", str(tmp_path))
    (tmp_path / "one.tar").write_bytes(bytes(100))
    for bound, needed in ((1, shards - 100), ((shards - 500) / 1e9, shards - 600)):
        monkeypatch.setenv("M3AE_CACHE_GB", str(bound))
        assert dict(needs_of(run, MODEL, VOCAB))[tmp_path] == needed


# ---- the machine -------------------------------------------------------------------------------------------


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_the_tightest_group_limits_in_version_2(tmp_path):
    proc = tmp_path / "proc"
    proc.write_text("0::/jobs/mine\n")
    write(tmp_path, cpu__max="max 100000")
    write(tmp_path / "jobs", cpu__max="150000 100000", memory__max="9000", memory__current="5000")
    write(tmp_path / "jobs", memory__stat="anon 1\ninactive_file 700\n")
    write(tmp_path / "jobs/mine", cpu__max="400000 100000", memory__max="max", memory__current="5000")
    assert cgroup.cpu_quota(tmp_path, proc) == 1.5
    assert cgroup.free_memory(tmp_path, proc) == 9000 - 5000 + 700


def test_version_1_has_its_own_folders(tmp_path):
    proc = tmp_path / "proc"
    proc.write_text("4:memory:/box\n1:cpu,cpuacct:/\n0::/\n")
    write(tmp_path / "cpu,cpuacct", cpu__cfs_quota_us="250000", cpu__cfs_period_us="100000")
    write(tmp_path / "memory/box", memory__limit_in_bytes="4000", memory__usage_in_bytes="1000")
    write(tmp_path / "memory", memory__limit_in_bytes="9223372036854771712", memory__usage_in_bytes="1")
    assert cgroup.cpu_quota(tmp_path, proc) == 2.5
    assert cgroup.free_memory(tmp_path, proc) == 3000


def test_no_limit_is_none(tmp_path):
    proc = tmp_path / "proc"
    proc.write_text("1:cpu:/\n0::/\n")
    write(tmp_path / "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert cgroup.cpu_quota(tmp_path, proc) is None
    assert cgroup.free_memory(tmp_path, tmp_path / "nowhere") is None


def test_hardware_threads_of_a_core_are_one_core(tmp_path):
    for cpu, siblings in ((0, "0,2"), (1, "1,3"), (2, "0,2"), (3, "1,3")):
        write(tmp_path / f"cpu{cpu}/topology", thread_siblings_list=f"{siblings}\n")
    assert count_physical({0, 1, 2, 3}, tmp_path) == 2
    assert count_physical({0, 1, 2, 7}, tmp_path) == 4  # the system does not say
    assert Cores(8, 4, 2, 3.5).usable == 3
    assert Cores(8, 4, 2, 3.5).computing == 2
    assert Cores(8, 4, 2, 0.5).usable == 1


def test_free_memory_is_what_the_system_calls_available(tmp_path, monkeypatch):
    write(tmp_path, meminfo="MemTotal: 9 kB\nMemAvailable:    3 kB\n")
    monkeypatch.setattr("m3ae.train.doctor.resources.free_memory", lambda: None)
    assert available_memory(tmp_path / "meminfo") == 3 * 1024
    monkeypatch.setattr("m3ae.train.doctor.resources.free_memory", lambda: 5)
    assert available_memory(tmp_path / "meminfo") == 5


@pytest.mark.parametrize(
    ("threads", "workers", "on_gpu", "level", "cure"),
    [
        (2, 0, False, "ok", ""),
        (1, 1, False, "ok", ""),
        (1, 2, False, "ok", ""),
        (2, 1, False, "warning", "OMP_NUM_THREADS=1"),
        (4, 0, False, "warning", "OMP_NUM_THREADS=2"),
        (1, 0, False, "warning", "OMP_NUM_THREADS=2"),
        (1, 2, True, "ok", ""),
        (1, 3, True, "warning", "--workers 1"),
    ],
)
def test_threads_and_workers_fill_two_cores_and_no_more(threads, workers, on_gpu, level, cure):
    found = environment.check_threads(threads, workers, TWO_CORES, on_gpu)
    assert found.level == level
    assert cure in found.says


@pytest.mark.parametrize(
    ("machine", "usable", "load", "busy"),
    [(2, 2, 0.3, 0), (2, 2, 1.2, 1), (2, 2, 9, 2), (64, 4, 40, 0), (64, 4, 62, 2)],
)
def test_other_work_takes_the_cores_that_are_not_ours_first(machine, usable, load, busy):
    cores = Cores(machine, usable, usable, None, load)
    assert cores.busy == busy
    found = environment.check_load(cores)
    assert len(found) == (busy > 0)
    if busy:
        assert found[0].level == "warning"
        assert f"other work uses {busy} of your {usable} core(s)" in found[0].says


def test_no_more_threads_are_advised_than_other_work_leaves_cores(run):
    for load, wanted in ((0, 4), (2, 2)):
        found = environment.check_threads(1, 0, Cores(4, 4, 4, None, load), on_gpu=False)
        assert f"OMP_NUM_THREADS={wanted} " in found.says
    assert environment.check_threads(1, 0, Cores(4, 4, 4, None, 3.0), on_gpu=False).level == "ok"
    busy = replace(situation(run, cores=4, on_gpu=False), cores=Cores(4, 4, 4, None, 3.0))
    rates = Rates(step=10, loader=100)
    assert "OMP_NUM_THREADS" not in advise(STEP, rates, reading(), busy)
    assert "--workers" not in advise(STEP, Rates(step=10, loader=20, beside=False), reading(), busy)


@pytest.mark.parametrize(
    ("cuda", "available", "gpu", "level", "says"),
    [
        (None, False, False, "ok", "runs on the processor"),
        (None, False, True, "warning", "CUDA build"),
        ("12.9", False, True, "warning", "nvidia-smi"),
        ("12.9", False, False, "warning", "no driver"),
        ("12.9", True, True, "ok", "CUDA 12.9"),
    ],
)
def test_a_build_of_torch_that_does_not_fit_the_machine_is_a_warning(cuda, available, gpu, level, says):
    found = environment.check_build(cuda, available, gpu)
    assert found.level == level
    assert says in found.says


def test_bf16_that_the_device_lacks_is_a_warning_only_where_it_is_wanted(monkeypatch):
    monkeypatch.setattr(environment, "has_bf16", lambda device: False)
    cpu = torch.device("cpu")
    assert environment.check_bf16("bf16", cpu).level == "warning"
    assert environment.check_bf16("fp32", cpu).level == "ok"


def test_shared_memory_must_hold_the_batches_on_their_way(tmp_path, monkeypatch):
    """Two for each worker, and two more."""
    for free, level in ((8 * 100, "ok"), (8 * 100 - 1, "error")):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: Usage(0, 0, free))
        assert environment.check_shared_memory(3, 100, str(tmp_path)).level == level
    assert environment.check_shared_memory(0, 10**15, str(tmp_path)).level == "ok"


def test_open_files_must_reach(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
    assert environment.check_open_files(0, 100).level == "ok"
    found = environment.check_open_files(8, 1000)
    assert found.level == "error"
    assert "ulimit -n" in found.says


def test_the_plan_of_one_pass_is_the_batch():
    assert plan_of(8, None) == Plan(8, 1)
