"""One training, however it is spread: the same samples and losses on any number of ranks and in any parts."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from m3ae.config import Run, launch
from m3ae.config.load import merge
from m3ae.config.models import RunSettings
from m3ae.records import read_record
from m3ae.train.loop import pretrain
from m3ae.train.machine import Machine
from made_shards import make_stream_project
from rank_processes import RankProcesses
from small_project import CHECKOUT

MODEL = "m3ae-b100"
EVERY_STEP = {"log_steps": 1, "checkpoint_minutes": 1000.0, "picture_steps": 7}


@pytest.fixture(params=["sample", "batch"])
def mixed(request, stream_project):
    """5 pairs, 4 images alone and 4 passages in a step: ranks and parts have different shares."""
    mixture = {"pairs": 5.0, "images": 4.0, "texts": 4.0}
    run = make_stream_project(stream_project, mixture, mask_scope=request.param, epochs=4, **EVERY_STEP)
    return Run(run.name, RunSettings.model_validate(merge(run.settings.plain(), {"batch_size": 13})))


def trained(run, name=MODEL, machine=None, world=1, folder=None):
    """The step log of a training from the start."""
    shutil.rmtree(run.paths.results(name), ignore_errors=True)
    if world == 1:
        pretrain(run, name, machine)
    else:
        ranks = RankProcesses(folder, world, lambda: pretrain(run, name, machine))
        codes = ranks.codes()
        assert codes == [0] * world, [ranks.said(rank) for rank in range(world)]
    return [json.loads(line) for line in run.paths.step_log(name).read_text().splitlines()]


def assert_same_losses(lines, expected, relative=1e-6):
    assert [line["step"] for line in lines] == [line["step"] for line in expected]
    for line, other in zip(lines, expected, strict=True):
        names = [name for name in other if name.endswith("_loss")]
        assert {name: line[name] for name in names} == pytest.approx(
            {name: other[name] for name in names}, rel=relative, abs=0
        ), line["step"]


@pytest.mark.slow
def test_ranks_and_parts_change_no_loss(mixed, tmp_path):
    alone = trained(mixed)
    assert {"image_loss", "text_loss", "unpaired_text_loss"} <= set(alone[0])
    assert len(alone) == 12
    spread = [(1, Machine(device_batch=3)), (2, Machine(parallel="fsdp", device_batch=3, workers=1))]
    if mixed.settings.pretrain.mask_scope == "sample":  # two ranks show that they share the batch's mask
        spread += [(4, Machine())]
    for world, machine in spread:
        lines = trained(mixed, machine=machine, world=world, folder=tmp_path)
        assert_same_losses(lines, alone)
        assert read_record(mixed.paths.record(MODEL, "pretrain")).provenance["ranks"] == world


def test_recomputing_activations_changes_no_bit(mixed):
    trained(mixed)
    plain = read_record(mixed.paths.record(MODEL, "pretrain")).details["state_sha256"]
    trained(mixed, machine=Machine(recompute=True))
    assert read_record(mixed.paths.record(MODEL, "pretrain")).details["state_sha256"] == plain


@pytest.mark.slow
def test_the_workflows_line_trains_two_ranks_and_saves_when_every_process_of_it_is_told_to_stop(
    tmp_path, monkeypatch
):
    """As SLURM stops a step: torchrun, ranks and data workers all get the signal, some of them twice."""
    monkeypatch.chdir(tmp_path)
    pairs = {"pairs": 1.0, "images": 0.0, "texts": 0.0}
    run = make_stream_project(tmp_path, pairs, epochs=30, log_steps=1, checkpoint_minutes=1000.0)
    machine = {"gpu": 2}
    line = f"{launch.command(None, machine, 4)} pretrain --run micro --model {MODEL} "
    line += launch.options(None, machine, 4)
    assert "torchrun" in line
    assert line.endswith("--workers 1")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(CHECKOUT / "src")}

    process = subprocess.Popen(
        ["bash", "-c", line], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    logs = run.paths.state(MODEL)
    while process.poll() is None and not any(log.stat().st_size for log in logs.glob("*/steps.jsonl")):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    words = process.communicate(timeout=120)[1]
    assert process.returncode not in (0, None)
    assert "SIGTERM came; saved at step" in words
    assert "data worker" not in words
    assert len(list(logs.glob("*/checkpoint-*.json"))) == 1
    ranks = RankProcesses(tmp_path, 2, lambda: pretrain(run, MODEL))
    assert ranks.codes() == [0, 0], ranks.said(0)
    record = read_record(run.paths.record(MODEL, "pretrain"))
    assert record.provenance["resumed_at_step"] > 0
    assert record.provenance["ranks"] == 2
