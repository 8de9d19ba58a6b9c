"""What every command shares: ``--run``, ``--log``, and errors as one clear line."""

import errno
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from m3ae.errors import TRY_AGAIN, Again, UserError

# What the machine may refuse to any command, in words that say what to do.
REFUSALS = {
    errno.ENOSPC: "the disk is full; make room, then run the command again",
    errno.EDQUOT: "your disk quota is used up; make room, then run the command again",
    errno.EROFS: "the folder is read-only; choose another, then run the command again",
    errno.EACCES: "permission denied; choose another folder or change its rights",
    errno.EPERM: "permission denied; choose another folder or change its rights",
    errno.ENOTDIR: "a file stands where a folder is needed; move it away",
}


class Tee:
    """A stream that also writes to a file; still a terminal if the stream is one."""

    def __init__(self, stream: IO[str], file: IO[str]) -> None:
        self.stream, self.file = stream, file

    def write(self, text: str) -> int:
        """Write to both, the file without the progress bars' carriage returns."""
        self.file.write(text.replace("\r", "\n"))
        return self.stream.write(text)

    def flush(self) -> None:
        """Flush both."""
        self.stream.flush()
        self.file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what a user can mend into one line and an exit code; anything else keeps its traceback."""
    try:
        yield
    except UserError as error:
        fail(str(error), 1)
    except Again as error:
        fail(str(error), TRY_AGAIN)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        fail(f"{error.filename or 'writing'}: {REFUSALS[error.errno]}", 1)


def fail(message: str, code: int) -> None:
    """Say one line and exit."""
    kind = "" if code == TRY_AGAIN else "error: "
    click.echo(f"m3ae: {kind}{message}", err=True)
    raise SystemExit(code)


def logged(function: Callable) -> Callable:
    """Add ``--log FILE`` to a command, and make its errors plain."""

    @click.option("--log", type=click.Path(path_type=Path), help="Also write everything printed to FILE.")
    @functools.wraps(function)
    def wrapper(*args: Any, log: Path | None, **kwargs: Any) -> None:
        with plain_errors():
            if log is not None:
                log.parent.mkdir(parents=True, exist_ok=True)
                file = log.open("a", encoding="utf-8")
                sys.stdout, sys.stderr = Tee(sys.stdout, file), Tee(sys.stderr, file)
            function(*args, **kwargs)

    return wrapper


run_option = click.option(
    "--run", "run_name", required=True, help="Run to read from config/: tiny, photos, paper."
)
model_option = click.option("--model", required=True, help="Model of the run's grid, such as m3ae-b100.")
split_option = click.option(
    "--split",
    type=click.Choice(["train", "heldout", "images"]),
    required=True,
    help="Pre-training or held-out pairs, or images without captions.",
)
