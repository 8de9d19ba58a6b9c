"""At most so many connections to a host at a time, over all threads and processes of this machine.

A connection holds the lock of one of the host's slot files. The system frees a lock when its holder
dies, however that happens, so that nothing is left to clean up.
"""

import fcntl
import hashlib
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from m3ae.data.download.deadline import Deadline

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.1


def slot_folder() -> Path:
    """Where the slot files of this user lie; nobody else may enter."""
    folder = Path(tempfile.gettempdir()) / f"m3ae-slots-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder}: belongs to somebody else")
    return folder


def check_slots() -> None:
    """Raise OSError where no slot file can be made at all: better once a shard than for each of its URLs."""
    with tempfile.NamedTemporaryFile(dir=slot_folder()):
        pass


@contextmanager
def slot_of(host: str, per_host: int, deadline: Deadline) -> Iterator[None]:
    """Hold one of the host's ``per_host`` slots; the time until one is free does not count."""
    name = hashlib.blake2b(host.encode(), digest_size=12).hexdigest()
    paths = [slot_folder() / f"{name}.{number}" for number in range(per_host)]
    began, pause_s = time.monotonic(), FIRST_PAUSE_S
    while (held := take_one(paths)) is None:
        time.sleep(random.uniform(0, pause_s))
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    deadline.extend(time.monotonic() - began)
    path, handle = held
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is locked: see `lock`
        os.close(handle)


def take_one(paths: list[Path]) -> tuple[Path, int] | None:
    """Lock the first free slot; None if there is none."""
    for path in paths:
        handle = lock(path)
        if handle is not None:
            return path, handle
    return None


def lock(path: Path) -> int | None:
    """Lock a slot file, made if need be; None if somebody else holds it.

    Holders remove their file before they let go. Who opened it before that has locked a file without
    a name, which keeps nobody out: then the slot counts as taken, and the next try makes a new file.
    """
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(path).st_ino == os.fstat(handle).st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    return None
