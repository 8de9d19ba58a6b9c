"""The pages in a real browser: Debian's Chromium, driven by Playwright, which downloads nothing."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import made_records as made
from m3ae.config import Run
from m3ae.config.pages import PAGE_NAMES
from m3ae.errors import UserError
from m3ae.report.figures import make_figure
from m3ae.report.pdf import find_browser, print_report
from m3ae.report.render import render_report

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install -e '.[test]'"
)
try:
    BROWSER = find_browser()
except UserError as error:
    pytest.skip(f"no browser here: {error}", allow_module_level=True)

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 900}
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (c) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = c.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility() || ["SCRIPT", "OPTION"].includes(element.tagName)) continue;
    const [a, b] = [rgba(getComputedStyle(element).color), ground(element)].map((c) => light(c.slice(0, 3)));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${element.outerHTML.slice(0, 80)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""
CUT = """() => [...document.querySelectorAll(".scroll, .dt-layout-table")].filter(
  (box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.innerText.slice(0, 60))"""
UNNAMED = """() => [...document.querySelectorAll("input, select, button, a")].filter((e) => {
  const named = e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length;
  return e.checkVisibility() && !named;
}).map((e) => e.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A finished run with charts and pages."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("finished")
        patch.chdir(folder)
        run = made.make_project(folder)
        made.write_everything(run)
        for name in ("figure3", "figure6"):
            make_figure(run, name)
        render_report(run)
        yield run


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(finished, chromium):
    """Open a page at a size and in a colour scheme; what it asked the network for and complained of."""
    contexts = []

    def opened(name: str, viewport=DESK, scheme="light"):
        context = chromium.new_context(viewport=viewport, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.trouble = []
        page.on("console", lambda message: page.trouble.append(message.text))
        page.on("pageerror", lambda error: page.trouble.append(str(error)))
        page.on(
            "request", lambda request: page.trouble.append(request.url) if is_fetched(request.url) else None
        )
        page.goto((Path.cwd() / finished.paths.reports / f"{name}.html").as_uri(), wait_until="load")
        return page

    yield opened
    for context in contexts:
        context.close()


def is_fetched(address: str) -> bool:
    """Whether an address is not the page itself or data within it."""
    return not address.startswith("data:") and not (address.startswith("file:") and address.endswith(".html"))


@pytest.mark.parametrize(("viewport", "scheme"), [(PHONE, "dark"), (DESK, "light")])
def test_pages_load_without_trouble_and_nothing_overflows(visit, viewport, scheme):
    first = visit("index", viewport, scheme)
    for name in PAGE_NAMES:
        first.goto(first.url.replace(first.url.rpartition("/")[2], f"{name}.html"))
        width = first.evaluate("document.documentElement.scrollWidth")
        assert width <= viewport["width"], name
        assert first.evaluate(CONTRAST) == [], name
        assert first.evaluate(UNNAMED) == [], name
    assert first.trouble == []


def test_on_a_phone_a_chart_keeps_its_size_and_scrolls_within_itself_by_keyboard(visit):
    page = visit("figure3", PHONE)
    box = page.locator(".sideways").first
    drawn = box.locator("img").bounding_box()["width"]
    assert drawn > 500 > box.bounding_box()["width"]
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "sideways":
            break
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.sideways').scrollLeft > 0")


def test_at_a_desk_no_column_of_the_ledger_is_cut(visit):
    page = visit("index", DESK)
    assert page.evaluate(CUT) == []


def test_on_a_phone_no_interval_is_broken(visit):
    """Each stands on one line, its number on the same or on the line before."""
    page = visit("index", PHONE)
    for shown in page.locator("td.number small, td[data-label=interval]").all_inner_texts()[:60]:
        assert re.fullmatch(r"(interval\n)?(-|\[\S+,\u00a0\S+\])", shown.strip()), shown


def test_what_cannot_be_sorted_by_has_no_arrow(visit):
    page = visit("index")
    arrows = page.locator("table.interactive >> nth=0 >> th.trace .dt-column-order")
    assert not arrows.is_visible()
    page.locator("table.interactive >> nth=0 >> th.trace").click()
    assert page.locator("table.interactive >> nth=0 >> th[aria-sort]").count() == 0


def values(page, column: str) -> list[str]:
    """What the first table of the ledger shows in a column."""
    return page.locator(f"table.interactive >> nth=0 >> tbody td[data-label='{column}']").all_inner_texts()


def test_the_ledger_sorts_by_numbers(visit):
    page = visit("index")
    before = values(page, "paper v1")
    assert len(before) > 20
    heading = page.locator("table.interactive >> nth=0 >> th", has_text="paper v1")
    for order in ("ascending", "descending"):
        heading.click()
        sync_api.expect(heading).to_have_attribute("aria-sort", order)
        got = [float(value) for value in values(page, "paper v1")]
        assert got == sorted(map(float, before), reverse=order == "descending")


def test_the_ledger_sorts_by_keyboard(visit):
    page = visit("index")
    heading = page.locator("table.interactive >> nth=0 >> th").first
    heading.locator("[role=button]").focus()
    page.keyboard.press("Enter")
    sync_api.expect(heading).to_have_attribute("aria-sort", "ascending")
    assert values(page, "cell") == sorted(values(page, "cell"), key=str.lower)
    assert values(page, "cell")


@pytest.mark.parametrize("viewport", [PHONE, DESK])
def test_the_ledger_filters_by_figure_verdict_and_words(visit, viewport):
    page = visit("index", viewport)
    rows = page.locator("table.interactive >> nth=0 >> tbody tr")
    everything = rows.count()
    page.get_by_role("combobox", name="figure").first.select_option("Figure 6")
    sync_api.expect(rows).to_have_count(4)
    assert all(value.endswith("Figure 6") for value in values(page, "figure"))
    page.get_by_role("combobox", name="figure").first.select_option("all")
    page.get_by_role("combobox", name="verdict").first.select_option("not run")
    shown = values(page, "verdict")
    assert 0 < len(shown) < everything and set(shown) == {"not run"}
    page.get_by_role("combobox", name="verdict").first.select_option("all")
    page.get_by_label("Search: Every number").fill("text mask ratio 0.9")
    sync_api.expect(rows).to_have_count(1)
    page.get_by_label("Search: Every number").fill("no such row")
    sync_api.expect(rows).to_have_text(["No row matches."])


def test_without_scripts_the_ledger_is_a_plain_table(finished, chromium):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((Path.cwd() / finished.paths.reports / "index.html").as_uri())
    assert page.locator("table.interactive >> nth=0 >> tbody tr").count() > 20
    context.close()


def test_a_keyboard_reaches_the_content_first_and_sees_where_it_is(visit):
    page = visit("figure3")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_on_a_phone_the_list_of_pages_opens_and_closes(visit):
    page = visit("figure3", PHONE)
    link = page.get_by_role("link", name="Provenance")
    assert not link.is_visible()
    page.get_by_role("button", name="Pages").click()
    assert link.is_visible()
    page.keyboard.press("Escape")
    assert not link.is_visible()


def test_a_command_that_the_ledger_links_to_unfolds(visit):
    page = visit("index")
    page.locator("a[href='figure3.html#command-m3ae-b100']").first.click()
    page.wait_for_url("**/figure3.html#command-m3ae-b100")
    assert page.get_by_text(
        "snakemake results/tiny/m3ae-b100/probe-digit.json --config run=tiny"
    ).is_visible()


def test_no_page_is_wider_than_the_paper(visit):
    """The browser would print all pages smaller, to the width of the widest."""
    page = visit("index", {"width": 740, "height": 900})  # letter, less its margins
    page.emulate_media(media="print")
    for name in ("index", "compute", "provenance"):
        page.goto(page.url.replace(page.url.rpartition("/")[2], f"{name}.html"))
        page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 740, name


def test_the_report_prints(finished):
    content = print_report(finished).read_bytes()
    assert content.startswith(b"%PDF-")
    assert b"file://" not in content
