"""How a machine starts pre-training: the words before and behind ``m3ae pretrain`` in the workflow's rule.

A profile says what the machine has (``set-resources: pretrain: gpu=8``); nothing here changes what is
computed, save rounding. Snakemake records no parameter that a function makes from resources, so that another
machine plans nothing again.
"""

import shlex
from dataclasses import dataclass
from typing import Any, Protocol

from m3ae.config.rows import taken_weights
from m3ae.config.run import Run
from m3ae.errors import UserError

RESTARTS = 3
"""Starts of a failed training after the first, unless a profile says ``restarts``."""
SAVE_S = 300
"""Longest time between a signal to stop and SIGKILL (seconds): torchrun's own default is 30."""
SIGNALS = "SIGTERM,SIGUSR1,SIGINT,SIGHUP,SIGQUIT"
"""What torchrun passes on to its ranks. Of itself it would die of SIGUSR1, and the variable
TORCHELASTIC_SIGNALS_TO_HANDLE changes nothing: torchrun overwrites it with this option."""
FIRST_PORT, PORTS = 10_000, 20_000
"""Ports of the rendezvous end below Linux' own range for outgoing connections (from 32,768)."""
PARALLEL = ("ddp", "fsdp")


class Resources(Protocol):
    """Snakemake's resources of a job, or a dict."""

    def get(self, name: str, default: Any = None, /) -> Any:
        """The value of one, or the default."""


@dataclass(frozen=True)
class Devices:
    """The devices of one training."""

    gpu: int
    """In all, over all nodes; 0 where the profile names none."""
    nodes: int

    @property
    def per_node(self) -> int:
        """Processes on each node: one for each device."""
        return max(1, self.gpu // self.nodes)


def given(run: Run) -> list[str]:
    """The models whose encoder is there at once, untrained or with published weights, and needs no device."""
    rows = {name: run.model(name) for name in run.models}
    return [name for name, row in rows.items() if row.epochs == 0 or taken_weights(run.settings, row)]


def command(wildcards: Any, resources: Resources, threads: int) -> str:
    """``m3ae`` behind what starts it on this machine: nothing, torchrun, or srun with torchrun.

    Where devices are named, the shell replaces itself (``exec``): SLURM signals every process of a step, and
    a shell that dies of SIGTERM would end the step while its ranks save. Raises UserError, one line.
    """
    devices = devices_of(resources)
    if devices.gpu == 0:
        return "m3ae"
    if devices.gpu == 1:
        return "exec m3ae"
    if devices.nodes == 1:
        return f"exec {torchrun(devices, '--standalone')} m3ae"
    return f"exec {srun(devices, threads)} {torchrun(devices, rendezvous(devices))} m3ae"


def options(wildcards: Any, resources: Resources, threads: int) -> str:
    """The machine's options of ``m3ae pretrain``: workers of each process, and what the profile sets."""
    devices = devices_of(resources)
    # One thread of each process computes, the others decode ahead of it.
    words = ["--workers", max(0, threads // devices.per_node - 1)]
    if device_batch := whole(resources, "device_batch", 0, least=0):
        words += ["--device-batch", device_batch]
    if parallel := resources.get("parallel"):
        words += ["--parallel", parallel]
    if parallel not in (None, *PARALLEL):
        raise UserError(f"pretrain: parallel={parallel!r}: expected {' or '.join(PARALLEL)}")
    if whole(resources, "recompute", 0, least=0):
        words.append("--recompute")
    if resources.get("compile") is not None:
        words.append("--compile" if whole(resources, "compile", 0, least=0) else "--no-compile")
    if folder := resources.get("tensorboard"):
        words += ["--tensorboard", f"{folder}/{wildcards.run}/{wildcards.model}"]
    return shlex.join(map(str, words))


def retries(workflow: Any) -> int:
    """Restarts of a failed training: `restarts` of the profile; none inside a cluster's job.

    There Snakemake runs again, twice. It gets ``--retries 0``, but a rule's own number holds all the same:
    each level would start the training anew, inside a job whose time is over.
    """
    if not workflow.is_main_process:
        return 0
    given = workflow.resource_settings.overwrite_resources.get("pretrain", {}).get("restarts")
    text = getattr(given, "raw", None)  # as it stands in the profile: no rule has evaluated it yet
    if text is None:
        return RESTARTS
    if not str(text).isdecimal():
        raise UserError(f"pretrain: restarts={text!r}: expected a whole number from 0 on")
    return int(text)


def devices_of(resources: Resources) -> Devices:
    """The devices that a profile names, checked. Raises UserError, one line."""
    devices = Devices(whole(resources, "gpu", 0, least=0), whole(resources, "nodes", 1, least=1))
    gpu, nodes = devices.gpu, devices.nodes
    if nodes == 1:
        if resources.get("mpi"):
            # The executor would not start a step for the job, and SLURM signals steps alone.
            raise UserError("pretrain: mpi is for several nodes; leave mpi and tasks out of the profile")
        return devices
    if gpu == 0 or gpu % nodes:
        raise UserError(
            f"pretrain: gpu={gpu} on nodes={nodes}: expected the same number on every node; set gpu, the "
            f"number over all nodes, to a multiple of {nodes}"
        )
    if not resources.get("mpi") or resources.get("tasks") != nodes or resources.get("tasks_per_gpu") != 0:
        raise UserError(
            f"pretrain: nodes={nodes} needs mpi=srun, tasks={nodes} and tasks_per_gpu=0 beside it; without "
            "them the SLURM executor puts the whole job into one task, or asks for a task for each GPU"
        )
    return devices


def whole(resources: Resources, name: str, default: int, least: int) -> int:
    """A resource that is a whole number. Raises UserError, one line."""
    value = resources.get(name, default)
    if not isinstance(value, int) or value < least:
        raise UserError(f"pretrain: {name}={value!r}: expected a whole number from {least} on")
    return int(value)


def torchrun(devices: Devices, meeting: str) -> str:
    """Start one process for each device of a node; ``meeting`` says how the nodes find each other.

    Behind ``--`` stands the command: without it torchrun takes our ``--run`` for short of its ``--run-path``.
    """
    return (
        f"torchrun {meeting} --nproc-per-node={devices.per_node}"
        f" --signals-to-handle={SIGNALS} --shutdown-timeout={SAVE_S} --no-python --"
    )


def rendezvous(devices: Devices) -> str:
    """Where torchrun's processes meet: on the first node, at a port that the job's number gives.

    The job's script runs on the first node, so its own name is the first host's: the executor takes
    SLURM_JOB_NODELIST out of the environment. Two jobs on a node have different numbers.
    """
    port = f"$(({FIRST_PORT} + SLURM_JOB_ID % {PORTS}))"
    return (
        f"--nnodes={devices.nodes} --rdzv-backend=c10d --rdzv-endpoint=$(hostname):{port}"
        " --rdzv-id=$SLURM_JOB_ID"
    )


def srun(devices: Devices, threads: int) -> str:
    """One step with one task on each node.

    Everything is said anew, as the executor takes the allocation's numbers out of the environment too. A task
    that ends does not kill the others at once: they may still be saving.
    """
    return (
        f"srun --nodes={devices.nodes} --ntasks={devices.nodes} --ntasks-per-node=1"
        f" --cpus-per-task={threads} --gpus-per-node={devices.per_node}"
        f" --kill-on-bad-exit=0 --wait={SAVE_S}"
    )
