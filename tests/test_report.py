"""The page: whole, honest about what was not run, and nothing fetched."""

import json
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

import made_records as made
from m3ae.cli.report import figure, report
from m3ae.config import Run, load_run
from m3ae.errors import UserError
from m3ae.records import Metric
from m3ae.report import evidence, html, ledger, origin
from m3ae.report.claims import paper_claims
from m3ae.report.figures import FIGURES, make_figure
from m3ae.report.render import render_report
from m3ae.report.summary import summary

SECTIONS = [
    "ledger",
    "figure3",
    "figure6",
    "curves",
    "heldout",
    "figure2",
    "probes",
    "data",
    "differences",
    "provenance",
]


class Page(HTMLParser):
    """Tags, addresses, ids and visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.addresses, self.ids, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [str(value) for key, value in attrs if key in ("src", "href", "srcset", "data")]
        self.ids += [str(value) for key, value in attrs if key == "id"]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return made.make_project(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A finished run with its figures and its page."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("finished")
        patch.chdir(folder)
        run = made.make_project(folder)
        made.write_everything(run)
        for name in FIGURES:
            make_figure(run, name)
        render_report(run)
        yield run


def test_the_page_stands_alone(finished):
    text = (finished.paths.reports / "index.html").read_text()
    page = Page(text)
    assert len(text) < 3_000_000
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert "url(" not in text
    assert "@import" not in text
    for address in page.addresses:
        assert not address.startswith(("http:", "https:", "//")), address


def test_links_of_the_page_lead_to_files_and_sections(finished):
    page = Page((finished.paths.reports / "index.html").read_text())
    for address in page.addresses:
        if address.startswith("#"):
            assert address[1:] in page.ids
        elif not address.startswith("data:"):
            assert (finished.paths.reports / address).is_file(), address
    assert [name for name in page.ids if name in SECTIONS] == SECTIONS


def test_the_page_opens_with_the_banner_and_the_verdicts(finished):
    text = Page((finished.paths.reports / "index.html").read_text()).text
    body = text[text.index("</style>") if "</style>" in text else 0 :]
    banner, tally = (
        body.index(finished.settings.banner),
        body.index(f"The paper's orderings ({len(list(paper_claims(finished)))})"),
    )
    assert banner < body.index("Ledger: the paper and this run")
    assert tally < body.index("Ledger: the paper and this run")
    assert "M3AE > MAE on digit (accuracy): +18.0 points" in body


def test_the_page_shows_no_code_and_no_error(finished):
    text = (finished.paths.reports / "index.html").read_text()
    assert "load_run" not in text
    assert "Traceback" not in text
    assert "{{" not in text


def test_rendering_again_gives_the_same_bytes(finished):
    names = ("report.ipynb", "index.html", "summary.json")
    before = [(finished.paths.reports / name).read_bytes() for name in names]
    render_report(finished)
    assert [(finished.paths.reports / name).read_bytes() for name in names] == before


def test_the_page_is_built_when_all_records_but_one_are_missing(run):
    made.write_probe(run, "mae-b100", "digit", made.hits(0.44))
    render_report(run)
    text = Page((run.paths.reports / "index.html").read_text()).text
    assert run.settings.banner in text
    assert "44.0" in text
    assert "figure3 is not drawn yet: m3ae figure figure3 --run tiny" in text


def test_a_broken_record_is_one_line_that_names_it(run):
    path = made.write_probe(run, "mae-b100", "digit", made.hits(0.44))
    path.write_text("{}")
    with pytest.raises(UserError, match=r"probe-digit\.json: not a record") as caught:
        render_report(run)
    assert "\n" not in str(caught.value)


def test_outside_the_project_folder_the_error_says_so(run, tmp_path):
    (tmp_path / "reports/templates/report.ipynb").unlink()
    with pytest.raises(UserError, match="run the command in the project folder"):
        render_report(run)


def test_commands_write_and_name_their_files(run):
    made.write_everything(run)
    result = CliRunner().invoke(figure, ["figure3", "--run", "tiny"])
    assert (result.exit_code, result.output) == (0, "figure3: reports/tiny/figure3.*\n")
    result = CliRunner().invoke(report, ["--run", "no-such-run"])
    assert result.exit_code == 1
    assert result.output.startswith("m3ae: error: run 'no-such-run'")


def test_the_report_needs_no_torch():
    modules = ", ".join(f"m3ae.report.{name}" for name in ("render", "figures", "page", "evidence", "origin"))
    check = f"import sys, {modules}, m3ae.cli.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_the_summary_is_the_records(finished):
    found = json.loads((finished.paths.reports / "summary.json").read_text())
    assert found == summary(finished)
    assert found["figure3"]["m3ae-b100"] == {"value": 62.0, "low": 60.0, "high": 64.0}
    assert set(found["figure6"]["mae-b100"]) == {"mahalanobis_auroc", "msp_auroc"}
    assert "wall" not in json.dumps(found)


@pytest.mark.parametrize(
    ("low", "high", "start"), [(1, 3, "Yes: 62.0 %"), (-1, 1, "Not resolved"), (-3, -1, "No, it is worse")]
)
def test_answers_follow_the_interval_of_the_gain(low, high, start):
    def metric(value, low, high):
        return Metric(value=value, low=low, high=high, n=9, unit="%")

    gain = metric((low + high) / 2, low, high)
    assert evidence.answer(metric(62, 60, 64), metric(31, 30, 32), gain).startswith(start)


def test_a_difference_to_the_paper_is_given_only_where_it_means_something(run):
    made.write_probe(run, "mae-b100", "digit", made.hits(0.44))
    assert "−1.2" not in ledger.ledger(run)
    Path("config/same.yaml").write_text("extends: tiny\nbanner: ''\ncheck: {comparable: true}\n")
    same = load_run("same")
    made.write_probe(same, "mae-b100", "digit", made.hits(0.44))
    assert "−1.2" in ledger.ledger(same)  # 44.0 against 45.2
    assert "banner" not in ledger.opening(same)
    assert "<b>1</b> reproduced" in ledger.opening(same)


def test_the_data_are_counted_from_the_manifests(finished):
    text = Page(origin.data_tables(finished)).text
    for part in ("3,200", "3,150", "2,950", "93.7 %", "HTTP 404", "90"):
        assert part in text


def test_wall_times_are_counted_once_per_stage(finished):
    text = Page(origin.provenance_tables(finished)).text
    # 3 models x (pretrain, probe, ood) + 2 x heldout = 11 stages of 12.5 s, though there are 23 records
    assert "137.5" in text


def test_captions_and_cells_cannot_inject_markup(run):
    words = evidence.words([["<script>", True, "a"], ["ok", True, "ok"], ["seen", False, "x"]])
    assert "&lt;script&gt;" in words
    assert words.count("<ins") == 1
    assert "<b>" not in html.table(pd.DataFrame({"a": ["<b>x"]}), words=["a"])


def test_figure_2_shows_pictures_and_captions_if_they_are_there(run):
    assert "not drawn yet" in evidence.reconstructions(run)
    run.paths.reports.mkdir(parents=True)
    (run.paths.reports / "figure2.png").write_bytes(b"png")
    facts = [{"caption": [["a", False, "a"], ["red", True, "blue"]], "image_error": 0.1234}]
    (run.paths.reports / "figure2.json").write_text(json.dumps(facts))
    shown = evidence.reconstructions(run)
    assert "data:image/png;base64," in shown
    assert '<del title="hidden">red</del> <mark title="predicted">blue</mark>' in shown
    assert "error 0.123" in shown
