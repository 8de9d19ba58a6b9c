"""Pre-training: schedule and decay as published, logs, records, kills, damaged checkpoints, bad losses."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
import torch

from m3ae.errors import Again, UserError
from m3ae.records import read_record
from m3ae.train.build import build_model
from m3ae.train.checkpoint import last_good, restore, save_checkpoint, whole_state
from m3ae.train.interval import Interval
from m3ae.train.loop import Training, pretrain
from m3ae.train.machine import Machine
from m3ae.train.optimizer import EagerAdamW, make_optimizer
from m3ae.train.ranks import Ranks
from m3ae.train.schedule import Schedule, schedule_of
from m3ae.train.signals import StopRequest
from m3ae.train.state import State, state_folder
from m3ae.train.steplog import StepLog
from small_project import CHECKOUT, make_micro


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_micro(tmp_path)


def test_the_schedule_warms_up_to_the_scaled_peak_and_ends_at_zero(in_project):
    from m3ae.config import load_run

    schedule = schedule_of(load_run("paper"), "m3ae-b100")
    assert schedule.peak == pytest.approx(2.4e-3)
    assert schedule.lr(0) == 0
    assert schedule.lr(schedule.warmup_steps) == pytest.approx(2.4e-3)
    half = (schedule.warmup_steps + schedule.steps) // 2
    assert schedule.lr(half) == pytest.approx(1.2e-3, rel=1e-3)
    assert schedule.lr(schedule.steps) == pytest.approx(0, abs=1e-12)
    assert schedule.warmup_steps / schedule.steps == pytest.approx(0.05, rel=1e-3)


def test_a_short_training_warms_up_for_a_fifth_of_it(in_project):
    from m3ae.config import load_run

    run = load_run("tiny")
    for name, share in (("m3ae-b100", 0.05), ("m3ae-l100", 0.2)):
        schedule = schedule_of(run, name)
        assert schedule.warmup_steps / schedule.steps == pytest.approx(share, rel=0.06)


def test_the_schedule_is_half_a_cosine():
    schedule = Schedule(peak=1.0, warmup_steps=10, steps=110)
    for step in range(10, 110):
        assert schedule.lr(step) == pytest.approx(0.5 * (1 + math.cos(math.pi * (step - 10) / 100)))


def test_decay_hits_linear_weights_and_norm_scales_alone(run):
    model = build_model(run, "m3ae-b100", 30)
    decayed = {id(p) for p in make_optimizer(model, run.settings.pretrain).param_groups[0]["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in decayed}
    assert "encoder.blocks.0.norm1.weight" in names
    assert "patch_embedding.weight" in names
    assert not [n for n in names if n.endswith("bias") or "token" in n or "type" in n or n.startswith("word")]
    assert len(names) == sum(
        n.endswith("weight") and n != "word_embedding.weight" for n, _ in model.named_parameters()
    )


def test_the_optimizer_is_torchs_adamw_to_the_bit(run):
    """Its marks for torch.compile alone are left out."""
    results = []
    for optimizer_class in (EagerAdamW, torch.optim.AdamW):
        torch.manual_seed(0)
        layer = torch.nn.Linear(4, 4)
        decayed, others = (
            {"params": [p], "weight_decay": w} for p, w in zip(layer.parameters(), (0.1, 0.0), strict=True)
        )
        optimizer = optimizer_class([decayed, others], lr=0.01, betas=(0.9, 0.95), fused=True)
        for _ in range(3):
            optimizer.zero_grad()
            layer(torch.randn(3, 4)).square().sum().backward()
            optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        results.append((layer.state_dict(), optimizer.state_dict()))
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_first_weights_depend_on_the_seed_alone(run):
    torch.manual_seed(1)
    first = build_model(run, "m3ae-b100", 30).state_dict()
    torch.manual_seed(2)
    assert all(torch.equal(first[k], v) for k, v in build_model(run, "m3ae-b100", 30).state_dict().items())


@pytest.mark.parametrize("model", ["m3ae-b100", "mae-b100", "untrained-b"])
def test_training_writes_encoder_log_and_record(run, model):
    pretrain(run, model)
    record = read_record(run.paths.record(model, "pretrain"))
    steps = 0 if model == "untrained-b" else 40
    assert record.details["steps"] == steps
    assert record.details["samples"] == steps * 8
    assert record.settings == run.stage("pretrain", model)
    lines = [json.loads(line) for line in run.paths.step_log(model).read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(5, steps + 1, 5))
    if model == "m3ae-b100":
        assert lines[-1]["text_loss"] < lines[0]["text_loss"]
        assert {"image_loss", "lr", "grad_norm", "samples_per_s", "data_wait_share", "epoch"} <= set(lines[0])
    assert not any(run.paths.state(model).iterdir())  # nothing is left of a finished training


@pytest.mark.parametrize("model", ["m3ae-b100", "clip-b"])
def test_stopped_training_goes_on_to_the_same_bytes(run, model):
    steps = schedule_of(run, model).steps
    pretrain(run, model)
    whole = run.paths.encoder(model).read_bytes()
    stop = StopRequest()
    inputs = read_record(run.paths.record(model, "pretrain")).inputs
    stop.note(signal.SIGTERM, None)
    for expected in (1, 2, 3):  # one step each time
        with pytest.raises(Again, match=f"SIGTERM came; saved at step {expected} of {steps}"):
            Training(run, model, inputs, Machine(), Ranks()).run_steps(stop)
    pretrain(run, model)
    assert run.paths.encoder(model).read_bytes() == whole


@pytest.mark.slow
def test_killed_training_goes_on_to_the_same_bytes(run, tmp_path):
    """Three real SIGKILLs at moments that differ; the checkpoint interval is a few milliseconds."""
    pretrain(run, "m3ae-b100")
    whole = run.paths.encoder("m3ae-b100").read_bytes()
    run.paths.encoder("m3ae-b100").unlink()
    command = [sys.executable, "-m", "m3ae.cli", "pretrain", "--run", "micro", "--model", "m3ae-b100"]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src")}
    for wanted in (3, 11, 24):
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
        wait_for_checkpoint(run, wanted, process)
        process.kill()
        process.wait()
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "going on from step" in result.stderr
    assert run.paths.encoder("m3ae-b100").read_bytes() == whole


def wait_for_checkpoint(run, wanted, process):
    """Until a checkpoint of at least ``wanted`` steps lies there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        notes = sorted(run.paths.state("m3ae-b100").glob("*/checkpoint-*.json"))
        if notes and int(notes[-1].stem.split("-")[1]) >= wanted:
            return
        time.sleep(0.01)


def saved(run, folder, *steps):
    model = build_model(run, "m3ae-b100", 30)
    optimizer = make_optimizer(model, run.settings.pretrain)
    for before, step in pairwise((0, *steps)):
        save_checkpoint(folder, step, whole_state(model, optimizer), before=before)
    return model, optimizer


def test_only_the_last_two_checkpoints_are_kept(run, tmp_path):
    saved(run, tmp_path / "state", 1, 2, 3)
    names = sorted(path.name for path in (tmp_path / "state").iterdir())
    assert names == [f"checkpoint-0000000{n}.{end}" for n in (2, 3) for end in ("json", "safetensors")]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "absent", "torn note"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(run, tmp_path, damage):
    model, optimizer = saved(run, tmp_path / "state", 10, 20)
    path = tmp_path / "state" / "checkpoint-00000020.safetensors"
    data = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(data[:-7])
    elif damage == "flipped":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "absent":
        path.unlink()
    else:
        path.with_suffix(".json").write_text('{"step": 20')
    warnings = []
    found = last_good(tmp_path / "state", warn=warnings.append)
    assert found.step == 10
    assert len(warnings) == 1
    assert "checkpoint-00000020.safetensors: damaged checkpoint passed over" in warnings[0]
    restore(found, model, optimizer)


def test_a_whole_checkpoint_is_not_dropped_for_a_damaged_one(run, tmp_path):
    folder = tmp_path / "state"
    model, optimizer = saved(run, folder, 100, 200)
    damaged = folder / "checkpoint-00000200.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    state = State(folder, model, optimizer, Ranks(), minutes=1)
    assert state.resume()[0] == 100
    state.save(210, Interval())
    kept = sorted(path.stem for path in folder.glob("*.json"))
    assert kept == ["checkpoint-00000100", "checkpoint-00000210"]
    (folder / "checkpoint-00000210.safetensors").write_bytes(b"")
    assert State(folder, model, optimizer, Ranks(), minutes=1).resume()[0] == 100


def test_what_a_kill_before_the_note_left_is_removed_and_whole_checkpoints_stay(run, tmp_path):
    folder = tmp_path / "state"
    model, optimizer = saved(run, folder, 10, 20, 30)
    (folder / "checkpoint-00000030.json").unlink()
    assert State(folder, model, optimizer, Ranks(), minutes=1).resume()[0] == 20
    assert sorted(path.name for path in folder.iterdir()) == [
        f"checkpoint-00000020.{end}" for end in ("json", "safetensors")
    ]


def test_a_line_of_a_job_that_was_suspended_for_hours_is_told_without_the_time_left(tmp_path, capsys):
    log = StepLog(tmp_path / "steps.jsonl", 0, 40, samples_per_step=8, title="micro m3ae-b100")
    log.told = -math.inf
    log.write({"step": 5, "image_loss": 0.5, "samples_per_s": 0.0})
    log.told = -math.inf
    log.write({"step": 10, "image_loss": 0.5, "samples_per_s": 4.0})
    log.close()
    suspended, later = capsys.readouterr().err.splitlines()
    assert suspended == "micro m3ae-b100: step 5 of 40, image_loss 0.5, 0 samples/s"
    assert later == "micro m3ae-b100: step 10 of 40, image_loss 0.5, 4 samples/s, 01:00 left"


def test_other_settings_never_find_the_state(run):
    inputs = {"train_manifest": "a"}
    assert state_folder(run, "m3ae-b100", inputs) != state_folder(run, "m3ae-b100", {"train_manifest": "b"})
    assert state_folder(run, "m3ae-b100", inputs) != state_folder(run, "mae-b100", inputs)


def test_a_folder_that_cannot_be_written_is_named(run):
    run.paths.results("mae-b100").parent.mkdir(parents=True, exist_ok=True)
    run.paths.results("mae-b100").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"results/micro/mae-b100/encoder.safetensors: cannot be written"):
        pretrain(run, "mae-b100")


def test_results_that_cannot_be_written_lose_no_step(run, capsys):
    folder = run.paths.results("m3ae-b100")
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"cannot be written"):
        pretrain(run, "m3ae-b100")
    folder.unlink()
    pretrain(run, "m3ae-b100")
    assert "going on from step 40 of 40" in capsys.readouterr().err
    assert read_record(run.paths.record("m3ae-b100", "pretrain")).details["steps"] == 40
    assert len(run.paths.step_log("m3ae-b100").read_text().splitlines()) == 8
