"""Papermill runs the report's notebook in a kernel of this very interpreter, without any network."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from m3ae.config import Run
from m3ae.errors import UserError
from m3ae.files import write_text

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from traitlets.config import Config

NOTEBOOK = Path("reports/templates/report.ipynb")
KERNEL = "python3"
INJECTED = "injected-parameters"


def execute(run: Run) -> "NotebookNode":
    """Run the notebook's template for ``run``. Raises UserError if a cell does."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    if not NOTEBOOK.is_file():
        raise UserError(f"{NOTEBOOK}: no such file; run the command in the project folder")
    with own_kernel() as folder:
        try:
            notebook = papermill.execute_notebook(
                NOTEBOOK,
                None,  # written to, papermill saves and checks the whole notebook twice a cell
                {"run": run.name},
                kernel_name=KERNEL,
                progress_bar=False,
                config=private(folder),
            )
        except PapermillExecutionError as error:
            if error.ename == "UserError":
                raise UserError(error.evalue) from None
            raise
    forget_times(notebook)
    return notebook


def private(folder: Path) -> "Config":
    """Talk to the kernel through sockets that only this user can reach, not through ports."""
    from traitlets.config import Config

    return Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/k"}})


@contextmanager
def own_kernel() -> Iterator[Path]:
    """A kernel of this very interpreter, whatever others have registered; yields a folder for scratch."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = {
            "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "Python 3",
            "language": "python",
        }
        write_text(folder / "kernels" / KERNEL / "kernel.json", json.dumps(spec))
        # JUPYTER_PATH comes before the user's and the system's kernels
        with environment(
            JUPYTER_PATH=name, JUPYTER_RUNTIME_DIR=f"{name}/runtime", IPYTHONDIR=f"{name}/ipython"
        ):
            yield folder


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables for a while."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def forget_times(notebook: "NotebookNode") -> None:
    """Remove what differs between two runs of the notebook: times, random ids, paths."""
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if INJECTED in cell.metadata.get("tags", []):
            cell["id"] = INJECTED
