"""Snakemake's own report: every chart has a caption, and the page is made and read without a network."""

import re
import subprocess
import sys

import pytest

import made_records as made
from m3ae.errors import UserError
from m3ae.report.figures import make_figure
from m3ae.report.pdf import find_browser
from small_project import CHECKOUT
from test_workflow import copy_project

RULES = {path.stem: path.read_text() for path in (CHECKOUT / "workflow/rules").glob("*.smk")}
MARKED = re.compile(
    r'report\(\s+f"reports/\{run\.name\}/(\w+)\.(\w+)",\s+caption="\.\./captions/(\w+)\.rst",'
    r'\s+category="([^"]+)",\s+labels=\{"chart": "([^"]+)"\}'
)
CAPTIONS = CHECKOUT / "workflow/captions"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of two targets, made as a user makes it."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        copy_project(folder)
        run = made.load_run("tiny")
        made.write_pretrain(run, "m3ae-b100")
        for name in ("compute", "figure5"):
            make_figure(run, name)
        offline = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
        for name, value in offline.items():
            patch.setenv(name, value)
        command = [sys.executable, "-m", "snakemake", "compute", "figure5", "--report", "report.html"]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return folder / "report.html"


def marked():
    return [found for text in RULES.values() for found in MARKED.findall(text)]


def test_every_chart_of_a_rule_is_marked_once():
    """As PNG: from the address that Snakemake gives a picture, Chromium shows no SVG."""
    text = "".join(RULES.values())
    charts = set(re.findall(r'multiext\(f"reports/\{run\.name\}/(\w+)"[^)]*"\.svg"', text))
    names = [name for name, *_ in marked()]
    assert len(names) == len(set(names))
    assert charts | {"figure2"} <= set(names)
    assert {kind for _, kind, *_ in marked()} == {"png"}
    assert {"figure3", "figure6", "curves", "compute", "captions"} <= charts


def test_every_caption_is_of_a_chart_and_says_where_numbers_come_from():
    named = {caption for name, _, caption, *_ in marked() if caption == name}
    assert {path.stem for path in CAPTIONS.glob("*.rst")} == named | {"workflow"}
    for name in named - {"figure2"}:
        assert "results/RUN/MODEL/" in (CAPTIONS / f"{name}.rst").read_text(), name


def test_the_page_holds_charts_captions_and_all_that_it_needs(page):
    text = page.read_text()
    assert "reports/tiny/compute.png" in text and "reports/tiny/figure5.png" in text
    assert "is arithmetic and no measurement" in text and "share of the words" in text
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']https?:", text)


def test_the_page_opens_in_a_browser_without_a_network(page):
    sync_api = pytest.importorskip("playwright.sync_api")
    try:
        browser_path = find_browser()
    except UserError as error:
        pytest.skip(f"no browser here: {error}")
    trouble = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1400, "height": 850})
        tab.on("pageerror", lambda error: trouble.append(str(error)))
        tab.on("request", lambda got: trouble.append(got.url) if got.url.startswith("http") else None)
        tab.goto(page.as_uri(), wait_until="load")
        tab.get_by_text("Results", exact=True).click()
        tab.get_by_text("How it was made").click()
        tab.get_by_text("Compute", exact=True).wait_for()
        tab.locator("tr").last.locator("a, button").first.click()
        picture = tab.locator("img[src*='compute.png']")
        picture.wait_for()
        shown = picture.evaluate("image => image.decode().then(() => image.naturalWidth)")
        browser.close()
    assert trouble == [] and shown > 500
