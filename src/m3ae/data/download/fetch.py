"""img2dataset in a process of its own: ``python -m m3ae.data.download.fetch``, arguments as a line of JSON.

It starts its workers anew ("spawn"), which imports their program's main module again: from a test,
a notebook or our command line that would be the wrong one. Here it is this file, which is light.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

from m3ae.data.download.guard import Guard
from m3ae.errors import UserError

POLL_S = 0.2


def fetch(arguments: Mapping[str, Any], guard: Guard, log: Path, tick: Callable[[], object]) -> None:
    """Run img2dataset to its end, and call ``tick`` now and then. What it prints goes to ``log``.

    It and its workers end with this process, however that ends: they watch the pipe between them.
    Raises UserError if it fails.
    """
    command = [sys.executable, "-m", "m3ae.data.download.fetch"]
    message = json.dumps({"arguments": dict(arguments), "guard": asdict(guard)})
    with (
        log.open("ab") as output,
        subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
            start_new_session=True,  # one group with its workers
        ) as child,
    ):
        assert child.stdin is not None
        with suppress(BrokenPipeError):  # it is gone already: its exit code says so
            child.stdin.write(message.encode() + b"\n")
        while child.poll() is None:
            time.sleep(POLL_S)
            tick()
    tick()
    if child.returncode:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # workers that it left behind
        raise UserError(
            f"img2dataset stopped with code {child.returncode} ({last_line(log)}); see {log}, run again"
        )


def last_line(log: Path) -> str:
    """The last line that was printed."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "it printed nothing")


def main() -> None:
    """Run img2dataset, with our downloader in the place of its own, with the arguments of standard input."""
    message = json.loads(sys.stdin.readline())
    Thread(target=end_with_parent, daemon=True).start()
    from m3ae.data.download import worker

    main = import_module("img2dataset.main")  # the package hides its module behind a function of that name
    replace(main, "Downloader", partial(worker.GuardedDownloader, Guard(**message["guard"])))
    replace(main, "multiprocessing_distributor", worker.distribute_here)
    replace(main, "ray_distributor", worker.distribute_over_ray)
    replace(main, "LoggerProcess", worker.NoLogger)
    main.download(**message["arguments"])


def replace(module: ModuleType, name: str, ours: object) -> None:
    """Put ours in the place of a module's own; a name that is not there would be set without effect."""
    if not hasattr(module, name):
        raise RuntimeError(f"{module.__name__} has no {name}: expected img2dataset 1.47")
    setattr(module, name, ours)


def end_with_parent() -> None:
    """Wait until the parent's end of the pipe closes, which its death does too; then end the group."""
    os.read(sys.stdin.fileno(), 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
