"""The line that starts pre-training on a machine: its text, and real torchrun behind it."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from m3ae.config.launch import RESTARTS, command, options, retries
from m3ae.errors import UserError

JOB = SimpleNamespace(run="micro", model="m3ae-b100")
TWO_NODES = {"nodes": 2, "tasks": 2, "mpi": "srun", "tasks_per_gpu": 0}
# Stands for m3ae: says who it is, and ends as training does after a signal, with 75, once it has "saved".
RANK = """#!{python}
import os, signal, sys, time
who = " ".join(os.environ[key] for key in ("RANK", "LOCAL_RANK", "WORLD_SIZE"))
def save(number, frame):
    time.sleep(0.5)
    open(f"saved-{{os.environ['RANK']}}", "w").write(str(number))
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
signal.signal(signal.SIGUSR1, save)
open("ranks", "a").write(f"{{who}}\\n")
if sys.argv[-1] == "wait":
    time.sleep(60)
"""


def line(threads=16, **resources):
    """The whole line, as the rule puts it together."""
    return f"{command(JOB, resources, threads)} pretrain {options(JOB, resources, threads)}"


def test_without_a_profile_the_line_is_what_a_person_types():
    assert line(threads=1) == "m3ae pretrain --workers 0"
    assert line(threads=4) == "m3ae pretrain --workers 3"


def test_one_device_needs_no_torchrun():
    assert line(gpu=1) == "exec m3ae pretrain --workers 15"


def test_several_devices_share_the_processors_of_their_node():
    words = line(gpu=4).split()
    assert words[:4] == ["exec", "torchrun", "--standalone", "--nproc-per-node=4"]
    assert words[-3:] == ["pretrain", "--workers", "3"]  # 16 processors, 4 each, one of which computes
    assert line(threads=2, gpu=4).endswith("--workers 0")


def test_two_nodes_are_one_srun_with_one_torchrun_on_each():
    text = line(gpu=16, threads=64, **TWO_NODES)
    assert text.count("srun ") == text.count("torchrun ") == 1
    for words in (
        "exec srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=64 --gpus-per-node=8 ",
        "torchrun --nnodes=2 --rdzv-backend=c10d --rdzv-endpoint=$(hostname):$((",
        " --rdzv-id=$SLURM_JOB_ID --nproc-per-node=8 ",
        " --no-python -- m3ae pretrain --workers 7",
    ):
        assert words in text


def test_what_the_profile_sets_reaches_the_command():
    text = options(JOB, {"device_batch": 32, "parallel": "fsdp", "recompute": 1, "compile": 0}, 1)
    assert text == "--workers 0 --device-batch 32 --parallel fsdp --recompute --no-compile"
    assert "tensorboard '/a b/micro/m3ae-b100'" not in text
    assert shlex.split(options(JOB, {"tensorboard": "/a b"}, 1))[-1] == "/a b/micro/m3ae-b100"


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"gpu": "a100"}, r"gpu='a100': expected a whole number from 0 on"),
        ({"gpu": -1}, r"gpu=-1: expected a whole number from 0 on"),
        ({"nodes": 0}, r"nodes=0: expected a whole number from 1 on"),
        ({"device_batch": "many"}, r"device_batch='many': expected a whole number"),
        ({"parallel": "zero"}, r"parallel='zero': expected ddp or fsdp"),
        ({"gpu": 8, "mpi": "srun"}, r"mpi is for several nodes"),
        ({"gpu": 7, **TWO_NODES}, r"gpu=7 on nodes=2: expected the same number on every node"),
        (dict(TWO_NODES), r"gpu=0 on nodes=2: expected the same number on every node"),
        ({"gpu": 8, "nodes": 2}, r"nodes=2 needs mpi=srun, tasks=2 and tasks_per_gpu=0"),
        ({"gpu": 8, **TWO_NODES, "tasks": 8}, r"nodes=2 needs mpi=srun, tasks=2 and tasks_per_gpu=0"),
        ({"gpu": 8, **TWO_NODES, "tasks_per_gpu": 1}, r"nodes=2 needs mpi=srun, tasks=2 and tasks_per_gpu=0"),
    ],
)
def test_a_machine_that_cannot_be_is_one_clear_line(resources, message):
    with pytest.raises(UserError, match=message):
        line(**resources)


def workflow(is_main, restarts=None):
    """What `retries` reads of Snakemake's workflow."""
    resources = {} if restarts is None else {"restarts": SimpleNamespace(raw=restarts)}
    settings = SimpleNamespace(overwrite_resources={"pretrain": resources})
    return SimpleNamespace(is_main_process=is_main, resource_settings=settings)


def test_restarts_are_the_main_process_own():
    assert retries(workflow(True)) == RESTARTS == 3
    assert retries(workflow(True, "20")) == retries(workflow(True, 20)) == 20
    assert retries(workflow(False, "20")) == retries(workflow(False)) == 0
    with pytest.raises(UserError, match=r"restarts='often': expected a whole number from 0 on"):
        retries(workflow(True, "often"))


@pytest.fixture
def rank(tmp_path, monkeypatch):
    """A stand-in for m3ae, and for srun, which starts its command twice: two nodes on one machine."""
    for name, text in {
        "m3ae": RANK.format(python=sys.executable),
        "srun": '#!/bin/sh\nwhile [ "$1" != torchrun ]; do shift; done\n"$@" &\n"$@" & wait\n',
    }.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", str(os.getpid()))
    return tmp_path


def start(folder, text):
    """Start a line as Snakemake does."""
    return subprocess.Popen(["bash", "-c", f"set -euo pipefail;  {text}"], cwd=folder)


def wait_for(condition, seconds=60):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def ranks(folder):
    """(rank, local rank, world size) of every process that began."""
    path = folder / "ranks"
    lines = path.read_text().splitlines() if path.exists() else []
    return sorted(tuple(map(int, line.split())) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=["TERM", "USR1"])
def test_a_signal_reaches_every_rank_and_the_line_waits_until_they_have_saved(rank, number):
    process = start(rank, f"{line(gpu=2)} wait")
    wait_for(lambda: len(ranks(rank)) == 2)
    process.send_signal(number)  # the shell is gone: this is torchrun itself
    assert process.wait(timeout=60) not in (0, -number)
    assert [(rank / f"saved-{i}").read_text() for i in range(2)] == [str(int(number))] * 2


@pytest.mark.slow
def test_the_processes_of_two_nodes_find_each_other(rank):
    assert start(rank, line(gpu=4, **TWO_NODES)).wait(timeout=120) == 0
    assert ranks(rank) == [(0, 0, 4), (1, 1, 4), (2, 0, 4), (3, 1, 4)]


def test_two_jobs_on_a_node_meet_at_different_ports_outside_the_systems_own():
    formula = re.search(r"\$\(\((.*?)\)\)", command(JOB, {"gpu": 2, **TWO_NODES}, 1))[1]

    def port(job):
        shell = ["bash", "-c", f"echo $(({formula}))"]
        return int(subprocess.run(shell, env={"SLURM_JOB_ID": str(job)}, capture_output=True).stdout)

    ports = [port(job) for job in (1, 2, 19_999, 20_000, 67_043_328)]
    assert len(set(ports)) == len(ports)
    assert all(1024 < number < 32_768 for number in ports)
