"""The report on paper: Chromium prints all pages in one file."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from m3ae.config import Run
from m3ae.errors import UserError
from m3ae.files import atomic_write, write_text
from m3ae.report.site import whole

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
CHROMIUM = "M3AE_CHROMIUM"
"""Environment variable: where the browser is, if not on the path."""
TIMEOUT_S = 300
LINK = re.compile(r"<a\b[^>]*>(.*?)</a>", re.DOTALL)


def print_report(run: Run) -> Path:
    """Write ``reports/{run}/report.pdf`` from the executed notebook. Raises UserError without a browser."""
    browser, notebook = find_browser(), run.paths.reports / "report.ipynb"
    if not notebook.is_file():
        raise UserError(f"{notebook}: no such file; make it: m3ae report --run {run.name}")
    import nbformat

    page = whole(run, nbformat.read(notebook, as_version=4))
    with tempfile.TemporaryDirectory() as folder:
        write_text(Path(folder) / "report.html", for_paper(page))
        print_page(browser, Path(folder))
        target = run.paths.reports / "report.pdf"
        with atomic_write(target) as file:
            file.write((Path(folder) / "report.pdf").read_bytes())
    return target


def find_browser() -> str:
    """The Chromium of this machine. Raises UserError if there is none."""
    found = os.environ.get(CHROMIUM) or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None or shutil.which(found) is None:
        raise UserError(
            f"report.pdf: expected Chromium, got {found or 'none on the path'}; install it (Debian: apt-get "
            f"install chromium) or name it in {CHROMIUM}"
        )
    return found


def for_paper(page: str) -> str:
    """Numbers unfold; links lead nowhere on paper and become text."""
    return LINK.sub(r"\1", page).replace('<details class="numbers">', "<details open>")


def print_page(browser: str, folder: Path) -> None:
    """Print ``report.html`` in ``folder`` to ``report.pdf``. Raises UserError if the browser fails."""
    command = [
        browser,
        "--headless",
        "--disable-gpu",
        "--no-pdf-header-footer",
        f"--user-data-dir={folder}/user",
    ]
    command += ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium has no sandbox for root
    command += [f"--print-to-pdf={folder}/report.pdf", (folder / "report.html").as_uri()]
    try:
        subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"report.pdf: {browser} failed ({error}); try another in {CHROMIUM}") from None
    if not (folder / "report.pdf").is_file():
        raise UserError(f"report.pdf: {browser} printed nothing; try another in {CHROMIUM}")
