"""Ranks as forked processes of a test: no second start of Python, no second import of torch."""

import faulthandler
import multiprocessing
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click

HANGS_S = 90  # a rank that is not done by then says where it is


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class RankProcesses:
    """``world`` processes that run ``function``, each with its errors as the command line would say them."""

    def __init__(
        self, folder: Path, world: int, function: Callable[[], object], timeout_s: float = 60
    ) -> None:
        for name in ("torch._dynamo", "torch.distributed.fsdp"):
            import_module(name)  # what torch spreads a model with imports them: once, not in each rank
        fork = multiprocessing.get_context("fork")
        self.outputs = [folder / f"rank-{rank}.txt" for rank in range(world)]
        port = free_port()
        self.processes = []
        for rank, output in enumerate(self.outputs):
            environment = {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                "M3AE_COLLECTIVE_TIMEOUT_S": str(timeout_s),
            }  # fmt: skip
            process = fork.Process(target=run_rank, args=(function, environment, output))
            process.start()
            self.processes.append(process)

    def codes(self, patience_s: float = 120) -> list[int | None]:
        """Wait for all; their exit codes, None for one that hangs (and is killed)."""
        deadline = time.monotonic() + patience_s
        for process in self.processes:
            process.join(max(0, deadline - time.monotonic()))
        found = [process.exitcode for process in self.processes]
        for process in self.processes:
            process.kill()
            process.join()
        return found

    def said(self, rank: int) -> str:
        """What a rank printed."""
        return self.outputs[rank].read_text()


def run_rank(function: Callable[[], object], environment: dict[str, str], output: Path) -> None:
    """What a process does: the function, as a command of our command line."""
    from m3ae.cli.common import plain_errors

    os.environ.update(environment)
    descriptor = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    faulthandler.dump_traceback_later(HANGS_S, file=descriptor)
    code = 0
    try:
        with plain_errors():
            click.echo("", nl=False)
            function()
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
