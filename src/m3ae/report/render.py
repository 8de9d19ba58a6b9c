"""The report: one executed notebook, cut into pages that link to each other and need nothing else."""

from typing import TYPE_CHECKING

from m3ae.config import Run
from m3ae.config.pages import PAGE_NAMES
from m3ae.errors import UserError
from m3ae.files import write_text
from m3ae.report.kernel import NOTEBOOK, execute
from m3ae.report.orderings import write_orderings
from m3ae.report.site import converted
from m3ae.report.summary import write_summary

if TYPE_CHECKING:
    from nbformat import NotebookNode

PAGE = "page"
"""Metadata of the cell that begins a page: the page's name."""


def render_report(run: Run, *, code: bool = False) -> None:
    """Write the pages (with the cells' ``code`` on request), their notebook, the summary, all orderings."""
    import nbformat

    notebook = execute(run)
    write_summary(run)
    write_orderings(run)
    write_text(run.paths.reports / "report.ipynb", nbformat.writes(notebook) + "\n")
    for name, page in pages_of(notebook).items():
        write_text(run.paths.reports / f"{name}.html", converted(run, name, page, code=code))


def pages_of(notebook: "NotebookNode") -> dict[str, "NotebookNode"]:
    """The pages in their order: each begins at a cell that names it; what stands before belongs to none.

    Raises UserError if the template does not have every page of the report, once.
    """
    cells: dict[str, list] = {}
    name = ""
    for cell in notebook.cells:
        name = cell.metadata.get(PAGE, name)
        if name:
            cells.setdefault(name, []).append(cell)
    if list(cells) != PAGE_NAMES:
        raise UserError(f"{NOTEBOOK}: expected the pages {', '.join(PAGE_NAMES)}, got {', '.join(cells)}")
    return {name: with_cells(notebook, found) for name, found in cells.items()}


def with_cells(notebook: "NotebookNode", cells: list) -> "NotebookNode":
    """A notebook of some cells."""
    page = notebook.copy()
    page["cells"] = cells
    return page
