"""One training alone with its state: a second start would remove what the first one is writing."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from m3ae.errors import UserError
from m3ae.train.ranks import Ranks


@contextmanager
def alone_in(folder: Path, ranks: Ranks) -> Iterator[None]:
    """Hold the state in ``folder`` inside the block; every rank takes part, the first one holds it for all.

    Raises UserError, one line, if another process holds it. One that was killed holds nothing. Where there
    are no locks (Windows, some network disks) nobody is held off.
    """
    with ExitStack() as held:
        with ranks.first_does("have the state for itself"):
            if ranks.is_first:
                held.enter_context(locked(folder))
        yield


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a neighbour of ``folder``, which outlives the folder's removal and goes last."""
    path = folder.with_name(f".{folder.name}.lock")
    try:
        handle = open_locked(path, folder)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); "
            "make room or the folder writable, then run the command again"
        ) from None
    try:
        with suppress(OSError):  # who holds it is a service, no need
            os.ftruncate(handle, 0)
            os.write(handle, this_process().encode())
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file
            path.unlink()
        os.close(handle)


def open_locked(path: Path, folder: Path) -> int:
    """A handle on the file, locked until it is closed or its process ends."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not lock(handle):
            holder = os.read(handle, 1000).decode(errors="replace") or "another process"
            os.close(handle)
            raise UserError(
                f"{folder}: expected no other process in this training, found {holder}; wait for its end, or "
                "stop it (SIGTERM saves its state) and run the command again: it goes on from there"
            )
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(handle)):
                return handle
        os.close(handle)  # its last holder removed it before we locked it


def lock(handle: int) -> bool:
    """Whether no other process holds the file; this one does then, where there are locks.

    POSIX record locks, not flock: data workers, which are forks, would share flock's, and hold it for
    seconds after their trainer was killed.
    """
    try:
        import fcntl  # not on Windows

        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except (ImportError, OSError):
        pass
    return True


def this_process() -> str:
    """This process, in words that help to find it."""
    job = os.environ.get("SLURM_JOB_ID")
    return f"process {os.getpid()} on {socket.gethostname()}" + (f" (SLURM job {job})" if job else "")
