"""Pages as HTML: nbconvert with our template; style and script stand inside, nothing is fetched."""

import base64
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m3ae.config import Run
from m3ae.config.pages import PAGE_NAMES, PAGES
from m3ae.report.htmltable import INTERACTIVE

if TYPE_CHECKING:
    from nbconvert import HTMLExporter
    from nbformat import NotebookNode

TEMPLATES = Path(__file__).parent / "templates"


def converted(run: Run, name: str, notebook: "NotebookNode", *, code: bool) -> str:
    """The page ``name``: text and outputs of its cells; their source, too, with ``code``."""
    resources = {**shared(run), "page": name, "code": code, **neighbours(name)}
    if any(INTERACTIVE in output for output in outputs(notebook)):
        resources["library"] = datatables()
    body, _ = exporter().from_notebook_node(notebook, resources=resources)
    return body


def whole(run: Run, notebook: "NotebookNode") -> str:
    """All pages in one, for paper: no script, and no list of pages."""
    body, _ = exporter().from_notebook_node(notebook, resources={**shared(run), "page": "", "code": False})
    return body


@cache
def exporter() -> "HTMLExporter":
    """nbconvert's exporter with our template, made once."""
    from nbconvert import HTMLExporter

    return HTMLExporter(
        template_name="page", extra_template_basedirs=[str(TEMPLATES)], exclude_anchor_links=True
    )


def shared(run: Run) -> dict[str, Any]:
    """What every page says: the run, its banner, and where the others are."""
    groups = [(group, list(pages)) for group, pages in groupby(PAGES, lambda page: page.group)]
    return {"run": run.name, "run_title": run.settings.title, "banner": run.settings.banner, "groups": groups}


def neighbours(name: str) -> dict[str, Any]:
    """The pages before and after, and the page itself."""
    place = PAGE_NAMES.index(name)
    return {
        "this": PAGES[place],
        "before": PAGES[place - 1] if place else None,
        "after": PAGES[place + 1] if place + 1 < len(PAGES) else None,
    }


def outputs(notebook: "NotebookNode") -> list[str]:
    """The HTML of all outputs."""
    return [
        output.data.get("text/html", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]


@cache
def datatables() -> str:
    """DataTables (MIT) with jQuery (MIT), as the package itables brings them, as an address of its own.

    The licences stand within. A module can be imported from it without any request.
    """
    from itables.utils import find_package_file

    script = find_package_file("html", "dt_bundle.js").read_bytes()
    return f"data:text/javascript;base64,{base64.b64encode(script).decode()}"
