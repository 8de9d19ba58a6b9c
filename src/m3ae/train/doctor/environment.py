"""Whether torch, the GPU, the cores and the limits of this machine fit together."""

import importlib.util
import os
import resource
import shutil
from pathlib import Path

import torch

from m3ae.data.stream.loader import TensorBatch
from m3ae.data.tars import MAX_OPEN
from m3ae.train.doctor.findings import Finding, error, ok, warning
from m3ae.train.doctor.resources import Cores, available_memory
from m3ae.train.doctor.units import size
from m3ae.train.precision import has_bf16

GPU_SIGNS = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidia0"), Path("/dev/nvidiactl"))
IN_FLIGHT = 2  # batches that torch's loader keeps ready for each worker
TENSORS = len(TensorBatch._fields)  # each is a file in shared memory, open in both processes
OPEN_OTHERWISE = 128  # files: libraries, logs, pipes


def look_around(
    precision: str, device: torch.device, workers: int, num_shards: int, batch_bytes: int, cores: Cores
) -> list[Finding]:
    """Everything about the machine that needs no measurement; ``batch_bytes`` are of one step on the host."""
    return [
        check_build(torch.version.cuda, torch.cuda.is_available(), has_nvidia_gpu()),
        *check_gpus(),
        check_bf16(precision, device),
        check_cores(cores),
        *check_load(cores),
        check_threads(torch.get_num_threads(), workers, cores, device.type == "cuda"),
        ok("memory", f"{size(available_memory())} free"),
        check_shared_memory(workers, batch_bytes),
        check_open_files(workers, num_shards),
    ]


def has_nvidia_gpu() -> bool:
    """Whether the system shows an NVIDIA GPU, whatever torch thinks."""
    return any(path.exists() for path in GPU_SIGNS) or shutil.which("nvidia-smi") is not None


def check_build(cuda: str | None, is_available: bool, has_gpu: bool) -> Finding:
    """Whether this build of torch can use what is there."""
    build = f"torch {torch.__version__}"
    if is_available:
        return ok("torch", f"{build}, CUDA {cuda}, {torch.cuda.device_count()} GPU(s)")
    if cuda is None and has_gpu:
        return warning(
            "torch", f"{build} knows no GPU, but the machine has one; install the CUDA build: make env there"
        )
    if cuda is not None and has_gpu:
        return warning("torch", f"{build} for CUDA {cuda} cannot use the GPU; look at the driver: nvidia-smi")
    if cuda is not None:
        return warning(
            "torch", f"{build} for CUDA {cuda}, but no GPU or no driver; training would run on the processor"
        )
    return ok("torch", f"{build}; no GPU, training runs on the processor")


def check_gpus() -> list[Finding]:
    """Memory that others hold, a compiler for the blocks, NCCL for several GPUs."""
    if not torch.cuda.is_available():
        return []
    free, total = torch.cuda.mem_get_info()
    memory = f"{torch.cuda.get_device_name()}: {size(free)} of {size(total)} free"
    held = 1 - free / total > 0.1
    found = [
        warning("GPU", f"{memory}; another process holds the rest: nvidia-smi names it")
        if held
        else ok("GPU", memory)
    ]
    if importlib.util.find_spec("triton") is None or not any(map(shutil.which, ("cc", "gcc", "clang"))):
        found.append(warning("compiler", "no triton or no C compiler: blocks run uncompiled; install both"))
    if torch.cuda.device_count() > 1:
        has_nccl = torch.distributed.is_available() and torch.distributed.is_nccl_available()
        found.append(
            ok("NCCL", ".".join(map(str, torch.cuda.nccl.version())))
            if has_nccl
            else error("NCCL", "not in this build of torch: several GPUs cannot train together; make env")
        )
    return found


def check_bf16(wanted: str, device: torch.device) -> Finding:
    """Whether the device multiplies in bf16, beside what the run asks for."""
    name = "GPU" if device.type == "cuda" else "processor"
    if has_bf16(device):
        return ok("bf16", f"native on this {name}; the run asks for {wanted}")
    if wanted == "bf16":
        return warning("bf16", f"not native on this {name}: training computes in fp32; use another machine")
    return ok("bf16", f"not native on this {name}; the run asks for {wanted}")


def check_cores(cores: Cores) -> Finding:
    """What is left of the machine's cores."""
    limits = [f"{cores.allowed} by affinity"] if cores.allowed < cores.machine else []
    limits += [] if cores.quota is None else [f"{cores.quota:g} by the control group"]
    says = f"{cores.usable} of {cores.machine} usable" + (f" ({', '.join(limits)})" if limits else "")
    return ok("cores", says)


def check_load(cores: Cores) -> list[Finding]:
    """Whether other work takes cores: then what is measured here is what it leaves, not the machine."""
    if not cores.busy:
        return []
    says = f"other work uses {cores.busy} of your {cores.usable} core(s)"
    return [
        warning(
            "load",
            f"{says}: these times are not the machine's; measure again without it "
            f"(load of the last minute: {cores.load:.1f})",
        )
    ]


def check_threads(threads: int, workers: int, cores: Cores, on_gpu: bool) -> Finding:
    """Whether threads and data workers fill the cores, and no more than that."""
    usable, wanted = cores.usable, max(1, cores.computing - workers)
    idle = cores.left - workers - threads  # more threads than these would take turns with other work
    says = f"{threads} thread(s) and {workers} data worker(s) on {usable} core(s)"
    if on_gpu:
        if workers > usable:
            return warning("threads", f"{says}: workers wait for each other; --workers {max(usable - 1, 1)}")
        return ok("threads", says)
    if threads > max(1, usable - workers):
        return warning("threads", f"{says}: they wait for each other; OMP_NUM_THREADS={wanted}")
    if idle > 0:
        return warning(
            "threads",
            f"{says}: {idle} would stand idle; OMP_NUM_THREADS={threads + idle} "
            f"(in the workflow: set-threads pretrain={cores.left} in the profile)",
        )
    return ok("threads", says)


def check_shared_memory(workers: int, batch_bytes: int, folder: str = "/dev/shm") -> Finding:
    """Whether the batches that workers hand over have room: without, the run dies of a bus error."""
    about = "shared memory"
    if not workers or not os.path.isdir(folder):
        return ok(about, "not needed without data workers" if not workers else "not limited here")
    needed, free = (IN_FLIGHT * workers + 2) * batch_bytes, shutil.disk_usage(folder).free
    says = f"{size(free)} free in {folder}, batches on their way take {size(needed)}"
    if free < needed:
        return error(about, f"{says}; fewer --workers, or more of it (containers: --shm-size)")
    return ok(about, says)


def check_open_files(workers: int, num_shards: int) -> Finding:
    """Whether a process may open what it needs: shards, and the tensors of the batches on their way."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = min(num_shards, MAX_OPEN) + OPEN_OTHERWISE + workers * IN_FLIGHT * TENSORS
    if limit == resource.RLIM_INFINITY:
        return ok("open files", f"no limit, about {needed} needed")
    says = f"limit {limit}, about {needed} needed"
    if limit < needed:
        return error("open files", f"{says}; ulimit -n {max(4096, needed)}")
    return ok("open files", says)
