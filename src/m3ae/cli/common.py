"""What every command shares: ``--run``, ``--log``, and errors as one clear line."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click

from m3ae.errors import Again, UserError

TRY_AGAIN = 75  # EX_TEMPFAIL: the state is saved, run the same command again


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


def logged(function: Callable) -> Callable:
    """Add ``--log FILE`` to a command, and turn our errors into one line and an exit code."""

    @click.option("--log", type=click.Path(path_type=Path), help="Also write everything printed to FILE.")
    @functools.wraps(function)
    def wrapper(*args: Any, log: Path | None, **kwargs: Any) -> None:
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            file = log.open("a", encoding="utf-8")
            sys.stdout, sys.stderr = Tee(sys.stdout, file), Tee(sys.stderr, file)
        try:
            function(*args, **kwargs)
        except UserError as error:
            click.echo(f"m3ae: error: {error}", err=True)
            raise SystemExit(1) from None
        except Again as error:
            click.echo(f"m3ae: {error}", err=True)
            raise SystemExit(TRY_AGAIN) from None

    return wrapper


run_option = click.option(
    "--run", "run_name", required=True, help="Run to read from config/: tiny, photos, paper."
)
model_option = click.option("--model", required=True, help="Model of the run's grid, such as m3ae-b100.")
split_option = click.option(
    "--split", type=click.Choice(["train", "heldout"]), required=True, help="Pre-training or held-out pairs."
)
