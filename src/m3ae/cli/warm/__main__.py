"""``python -m m3ae.cli.warm ADDRESS``: be the server; standard input tells when to end."""

import atexit
import gc
import importlib
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from m3ae.cli.warm.request import STREAMS
from m3ae.cli.warm.server import Job, Server

# Other people's code alone: ours may be edited while a workflow runs, and each job takes it as it is then.
IMPORTED = ("torch", "PIL.Image", "pydantic", "safetensors.torch", "sklearn.linear_model", "seaborn")


def become(job: Job) -> None:
    """Make this process the one that the job's sender was."""
    request, streams = job
    for stream, number in zip(streams, STREAMS, strict=True):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request.folder)
    os.umask(request.umask)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = request.words
    sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())  # type: ignore[union-attr]
    set_threads()


def set_threads() -> None:
    """Use as many threads as the job may: the libraries read their variables when they were imported."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    torch.set_num_threads(threads)
    threadpool_limits(threads, user_api="blas")


def run_command() -> int:
    """Run the command line of this process; its exit code."""
    from m3ae.cli.main import main as command

    try:
        command(prog_name="m3ae")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def end(code: int) -> NoReturn:
    """End this process; taking all that was imported to pieces would cost half a second."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Import, serve, and in each forked process run its command."""
    for name in IMPORTED:
        with suppress(ImportError):  # the job that needs it says so
            importlib.import_module(name)
    gc.freeze()  # what is shared by all jobs stays shared
    address = Path(sys.argv[1])
    job = Server(address, sys.stdin.fileno()).serve()
    if job is not None:
        become(job)
        end(run_command())
    with suppress(OSError):  # made for the address alone, by start.py
        address.parent.rmdir()


if __name__ == "__main__":
    main()
