"""The pages, read without a browser: whole, linked, light, and honest about what was not run."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urldefrag

import nbformat
import pytest

import made_records as made
from m3ae.config import Run
from m3ae.config.pages import PAGE_NAMES
from m3ae.errors import UserError
from m3ae.report import pdf
from m3ae.report.figures import make_figure
from m3ae.report.kernel import NOTEBOOK
from m3ae.report.render import pages_of, render_report
from m3ae.report.site import converted
from m3ae.report.targets import TARGETS
from parsed_page import Page

MEGABYTES_3 = 3_000_000


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A finished run with its figures and its pages."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("finished")
        patch.chdir(folder)
        run = made.make_project(folder)
        made.write_everything(run)
        for name in ("figure3", "figure6", "curves"):
            make_figure(run, name)
        (folder / "logs/tiny/m3ae-b100").mkdir(parents=True)
        (folder / "logs/tiny/m3ae-b100/probe.log").touch()
        render_report(run)
        yield run


@pytest.fixture(scope="module")
def pages(finished: Run) -> dict[str, Page]:
    return {name: Page(finished.paths.reports / f"{name}.html") for name in PAGE_NAMES}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return made.make_project(tmp_path)


def test_every_figure_and_target_has_a_page():
    assert {f"figure{number}" for number in range(2, 10)} | set(TARGETS) <= set(PAGE_NAMES)


def test_pages_are_light_and_fetch_nothing(pages):
    for name, page in pages.items():
        assert len(page.source.encode()) < MEGABYTES_3, name
        assert not {"link", "iframe", "object", "base"} & set(page.tags)
        assert all(address.startswith("data:") for address in page.fetched), name
        style = page.source[page.source.index("<style>") : page.source.index("</style>")]
        assert "url(" not in style and "@import" not in style


def test_the_script_comes_from_the_page_itself_and_only_where_tables_are_sorted(pages):
    for name, page in pages.items():
        imports = re.findall(r'^import .* from "(.{0,40})', page.source, re.MULTILINE)
        assert [address[:22] for address in imports] == ["data:text/javascript;b"] * (name == "index")


def test_every_link_leads_to_a_file_and_a_place_in_it(finished, pages):
    for name, page in pages.items():
        for address in page.links:
            path, place = urldefrag(address)
            target = (
                (finished.paths.reports / path).resolve() if path else finished.paths.reports / f"{name}.html"
            )
            assert target.is_file(), f"{name}: {address}"
            if place:
                assert place in pages[target.stem].ids, f"{name}: {address}"


def test_every_page_leads_to_all_others(pages):
    for page in pages.values():
        assert {f"{name}.html" for name in PAGE_NAMES} <= set(page.links)


def test_pages_can_be_read_by_a_screen_reader(pages):
    for name, page in pages.items():
        assert page.attributes["html"]["lang"] == "en"
        assert page.headings[0] == 1 and page.headings.count(1) == 1, name
        steps = zip(page.headings, page.headings[1:], strict=False)
        assert all(after <= before + 1 for before, after in steps), f"{name}: {page.headings}"
        assert all(len(image.get("alt") or "") > 3 for image in page.images), name
        assert len(page.ids) == len(set(page.ids)), name
        assert page.links[0] == "#content" and "content" in page.ids


def test_every_printed_cell_leads_to_its_record_its_log_and_its_command(finished, pages):
    links = pages["index"].links
    assert "../../results/tiny/m3ae-b100/probe-digit.json" in links
    assert "../../logs/tiny/m3ae-b100/probe.log" in links
    assert "../../logs/tiny/mae-b100/probe.log" not in links  # there is none
    assert "figure3.html#command-m3ae-b100" in links
    commands = pages["figure3"].text
    assert "snakemake results/tiny/m3ae-b100/probe-digit.json --config run=tiny" in commands


def test_the_ledger_has_every_number_that_the_paper_prints(pages):
    with (made.CHECKOUT / "config/paper_numbers.csv").open(newline="") as file:
        values = [float(row["value"]) for row in csv.DictReader(file)]
    assert values
    text = pages["index"].text
    missing = [value for value in values if f"{value:.1f}" not in text and f"{value:.3f}" not in text]
    assert not missing


def test_pages_show_no_code_and_no_error_unless_asked(finished, pages):
    for page in pages.values():
        assert "show(" not in page.text and "Traceback" not in page.text and "{{" not in page.source
    notebook = nbformat.read(finished.paths.reports / "report.ipynb", as_version=4)
    text = converted(finished, "figure3", pages_of(notebook)["figure3"], code=True)
    assert 'show(page.figure(this, "figure3"))' in text


def test_rendering_again_gives_the_same_bytes(finished, pages):
    render_report(finished)
    for name, page in pages.items():
        assert (finished.paths.reports / f"{name}.html").read_text() == page.source, name


def test_with_all_records_removed_but_one_the_pages_show_dashes(run):
    made.write_probe(run, "mae-b100", "digit", made.hits(0.44))
    render_report(run)
    page = Page(run.paths.reports / "index.html")
    assert run.settings.banner in page.text
    assert page.links.count("../../results/tiny/mae-b100/probe-digit.json") >= 1
    rows = re.findall(r"<tr>(.*?)</tr>", page.source, re.DOTALL)
    ours = [row for row in rows if 'data-label="paper v3"' in row and "<td" in row]
    measured = [row for row in ours if re.search(r'data-label="ours"[^>]*><a', row)]
    empty = [row for row in ours if re.search(r'data-label="ours"[^>]*>-</td>', row)]
    assert len(measured) == 1 and len(measured) + len(empty) == len(ours) > 20
    assert "figure3 is not drawn yet" in Page(run.paths.reports / "figure3.html").text


@pytest.mark.parametrize("name", ["figure2", "figure7"])
def test_pictures_are_shown_with_their_captions_once_they_are_drawn(run, name):
    from m3ae.report.pictures import picture_figure

    assert "not drawn yet" in picture_figure(run, name)
    run.paths.reports.mkdir(parents=True)
    (run.paths.reports / f"{name}.png").write_bytes(b"png")
    sample = {"caption": [["a", False, "a"], ["red", True, "<blue>"]], "image_error": 0.1234}
    facts = {"alt": "heat over a dog", "samples": [sample]}
    (run.paths.reports / f"{name}.json").write_text(json.dumps(facts))
    shown = picture_figure(run, name)
    assert "heat over a dog" in shown
    assert '<del title="hidden">red</del> <mark title="predicted">&lt;blue&gt;</mark>' in shown
    assert "image error 0.123" in shown


def test_a_table_that_another_target_wrote_is_shown_as_it_is(run):
    from m3ae.report.filetable import chart_and_table

    assert "no numbers yet" in chart_and_table(run, "compute")
    run.paths.reports.mkdir(parents=True)
    (run.paths.reports / "compute.csv").write_text("model,stage,energy_j\nmae-b100,pretrain,\n<b>,probe,12\n")
    shown = chart_and_table(run, "compute")
    assert ">energy j</th>" in shown and ">-</td>" in shown and "&lt;b&gt;" in shown


def test_a_record_that_was_edited_stops_the_report_in_one_line(run):
    path = made.write_probe(run, "mae-b100", "digit", made.hits(0.44))
    text = path.read_text()
    assert '"value": 44.0' in text
    path.write_text(text.replace('"value": 44.0', '"value": 49.0'))
    with pytest.raises(UserError, match=r"probe-digit\.json: was edited: expected .* got") as caught:
        render_report(run)
    assert "\n" not in str(caught.value)


def test_a_notebook_that_lacks_a_page_is_refused():
    notebook = nbformat.read(made.CHECKOUT / NOTEBOOK, as_version=4)
    assert list(pages_of(notebook)) == PAGE_NAMES
    notebook.cells = [cell for cell in notebook.cells if cell.metadata.get("page") != "compute"]
    with pytest.raises(UserError, match=r"expected the pages index, .*compute.*, got index"):
        pages_of(notebook)


def test_without_a_browser_the_report_on_paper_says_what_to_install(run, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(pdf.CHROMIUM, raising=False)
    with pytest.raises(UserError, match=r"expected Chromium, got none on the path; install it") as caught:
        pdf.print_report(run)
    assert "\n" not in str(caught.value)


def test_a_browser_that_fails_is_named(finished, monkeypatch):
    monkeypatch.setenv(pdf.CHROMIUM, shutil.which("false"))
    with pytest.raises(UserError, match=r"report\.pdf: .*false failed"):
        pdf.print_report(finished)
    assert not (finished.paths.reports / "report.pdf").exists()


def test_on_paper_no_link_tells_of_this_machine():
    page = '<a aria-label="x" href="../../a.json">record</a> <a href="#b">b</a> <abbr>c</abbr>'
    assert pdf.for_paper(page) == "record b <abbr>c</abbr>"
