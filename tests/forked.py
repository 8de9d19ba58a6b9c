"""Snakemake in a process that has imported it already: more than half of a dry run is imports."""

import os
import sys
from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path
from tempfile import NamedTemporaryFile

SERVER = get_context("forkserver")
SERVER.set_forkserver_preload(["preloaded"])


def call(folder: str, words: list[str], output: str, environment: dict[str, str]) -> None:
    """What `python -m snakemake` does, in ``folder``; all that it prints goes to the file ``output``."""
    os.chdir(folder)
    os.environ.clear()  # the server has the variables of the test that started it
    os.environ.update(environment)
    with open(output, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from snakemake.cli import main

    sys.argv = ["snakemake", *words]
    main(words)


def snakemake(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit code and output of a Snakemake command; ``env`` in place of this process's variables."""
    environment = dict(os.environ if env is None else env)
    with NamedTemporaryFile() as output:
        process = SERVER.Process(target=call, args=(str(folder), list(words), output.name, environment))
        process.start()
        process.join()
        return process.exitcode or 0, Path(output.name).read_text()
