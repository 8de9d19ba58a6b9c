"""What the pages are made of: verdicts in words, tables, origins, the summary."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from markupsafe import Markup

import made_records as made
from m3ae.cli.report import figure, report
from m3ae.config import Run, load_run
from m3ae.data.manifest import PACKED
from m3ae.data.packed import pack
from m3ae.errors import UserError
from m3ae.records import Metric
from m3ae.report import (
    beyond,
    evidence,
    html,
    htmltable,
    ledger,
    opening,
    origin,
    page,
    pictures,
    reference,
    samples,
    yields,
)
from m3ae.report.compute import page as compute
from m3ae.report.curves import make_curves
from m3ae.report.measures import in_words
from m3ae.report.paper import label
from m3ae.report.render import render_report
from m3ae.report.subjects import subject
from m3ae.report.summary import summary
from made_shards import captions_of, jpegs, write_shards


def text_of(html: str) -> str:
    """What a reader sees of a piece of a page."""
    return Markup(str(html).replace("<", " <")).striptags()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return made.make_project(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The records of a finished run."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("finished")
        patch.chdir(folder)
        run = made.make_project(folder)
        made.write_everything(run)
        yield run


def test_the_overview_opens_with_m3ae_against_mae_and_the_verdicts_by_figure(finished):
    text = text_of(opening.opening(finished))
    assert "digit, accuracy +14.2 +18.0" in text
    assert "Figure 3 8 orderings 1 ordering holds 7 not run" in text
    assert "Figure 4 6 orderings 6 not run" in text
    assert text.index("M3AE minus MAE") < text.index("Figure 3 8 orderings")
    assert "18 orderings of the paper that were not run" in text


def test_a_broken_record_is_one_line_that_names_it(run):
    path = made.write_probe(run, "mae-b100", "digit", made.hits(0.44))
    path.write_text("{}")
    with pytest.raises(UserError, match=r"probe-digit\.json: not a record") as caught:
        opening.opening(run)
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
    names = ("render", "figures", "page", "evidence", "origin", "samples", "reference", "pdf")
    modules = ", ".join(f"m3ae.report.{name}" for name in names)
    check = f"import sys, {modules}, m3ae.cli.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_the_summary_is_the_records(finished):
    found = summary(finished)
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
    assert "<b>1</b> reproduced" in opening.opening(same)


def test_the_data_are_counted_from_the_manifests(finished):
    text = text_of(yields.data_tables(finished))
    for part in ("3,200", "3,150", "2,950", "93.7 %", "HTTP 404", "90"):
        assert part in text


def test_beyond_the_figures_each_number_has_its_record_and_the_rows_their_difference(run):
    assert (
        text_of(beyond.beyond(run, "probes")).strip().startswith("- (nothing of it was run: snakemake probes")
    )
    for model, share in (("m3ae-b100", 0.62), ("mae-b100", 0.44)):
        correct = made.hits(share, 1000)
        metric = made.percent_metric(100 * float(correct.mean()), correct=correct)
        made.write(run, model, "probes-digit", {"accuracy": metric})
    shown = beyond.beyond(run, "probes")
    assert '<a href="../../results/tiny/mae-b100/probes-digit.json">44.0</a>' in shown
    assert "+18.0 [" in text_of(shown)
    assert "Of 1 paired difference M3AE - MAE, 1 interval lies above 0" in text_of(shown)


def test_the_contact_sheet_shows_each_image_with_its_own_caption(run):
    assert text_of(samples.contact_sheet(run)).strip() == "-"
    images, captions = jpegs(30), captions_of(30)
    write_shards(run.paths.shards("train"), images, captions)
    tiles = re.findall(r"base64,([^\"]+).*?<figcaption>(.*?)<", samples.contact_sheet(run))
    assert len(tiles) == samples.NUM_SHOWN
    for data, caption in tiles:
        number = images.index(base64.b64decode(data))
        assert caption.removesuffix(" (+1)") == captions[number][0]
    pack(run.paths.shards("train"))
    shown = samples.contact_sheet(run)
    (run.paths.shards("train") / "00000.tar").unlink()
    assert samples.contact_sheet(run) == shown  # as after a pull: whoever reads the shards unpacks them
    (run.paths.shards("train") / "00000.tar").unlink()
    (run.paths.shards("train") / PACKED).unlink()  # as after a pull of records alone
    assert "not on this machine" in samples.contact_sheet(run)


def test_wall_times_are_counted_once_per_stage(finished):
    # 3 models x (pretrain, probe, ood) + 2 x heldout = 11 stages of 12.5 s, though there are 23 records
    rows = text_of(origin.times_table(finished)).split()
    assert rows[-1] == "137.5"
    assert rows.count("12.5") == 11


def test_stages_of_one_commit_and_machine_share_a_line(finished):
    text = text_of(origin.provenance_tables(finished))
    assert "M3AE heldout, ood, pretrain, probe 2000-01-01 00:00 c0ffeec0ffee A processor, 2 cores" in text


@pytest.mark.parametrize(
    ("cell", "rank"),
    [
        ("45.2", "45.2"),
        ("−1.5", "-1.5"),
        ("+1,234.5", "1234.5"),
        ("[−1.7, 2.4]", "-1.7"),
        ("-", ""),
        (Markup('<a href="x9">18.1</a>'), "18.1"),
    ],
)
def test_a_number_is_sorted_by_what_a_reader_sees_of_it(cell, rank):
    assert htmltable.rank(cell) == rank


def test_captions_and_cells_cannot_inject_markup():
    words = pictures.words([["<script>", True, "a"], ["ok", True, "ok"], ["seen", False, "x"]])
    assert "&lt;script&gt;" in words
    assert words.count("<ins") == 1
    assert "<b>" not in htmltable.table(pd.DataFrame({"a": ["<b>x"]}), words=["a"])


def test_text_for_markdown_is_no_markdown_on_a_page(run):
    assert html.marked("best *on the test set* of `a<b`") == (
        "best <em>on the test set</em> of <code>a&lt;b</code>"
    )
    for text in (beyond.about("augmented"), compute.paper(), compute.missing(run)):
        assert not set("*`") & set(text_of(text))


def test_a_sparse_table_marks_its_empty_cells():
    shown = htmltable.table(pd.DataFrame({"a": ["x"], "b": ["-"]}), words=["a"], sparse=True)
    assert '<table class="sparse pairs">' in shown
    assert re.findall(r'<td class="([\w ]+)"', shown) == ["words", "number nothing"]


def test_names_and_numbers_alone_stay_on_one_line_on_a_phone():
    frame = pd.DataFrame({"a": ["x"], "b": [1]})
    assert '<table class="pairs">' in htmltable.table(frame, words=["a"])
    assert '<table class="pairs">' not in htmltable.table(frame, words=["a", "b"])


def test_an_interval_stands_small_behind_its_number_and_is_not_broken():
    (shown,) = re.findall(
        r"<td[^>]*>(.*)</td>", htmltable.table(pd.DataFrame({"a": ["−1.0 [−2.0, 3.0]"]}), words=[])
    )
    assert shown == "−1.0 <small>[−2.0,\u00a03.0]</small>"


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("fgsm_linf_0.00196", "FGSM, L-infinity, 0.5/255"),
        ("pgd40_linf_0.002", "PGD, 40 steps, L-infinity, 0.002"),  # no quarter of a step
        ("autoattack_l2_0.5", "AutoAttack, L2, 0.5"),
        ("image_to_text_recall_5", "image to text, recall@5"),
        ("image_to_text_minus_mean_recall_1", "image to text, less the caption's mean, recall@1"),
        ("vim_aupr_in", "ViM, AUPR in"),
        ("text_reconstruction_fpr95", "text reconstruction, FPR@95"),
        ("shots5", "5 per class"),
        ("linear_selected_on_test", "linear probe, best test epoch (whole test batches)"),
        ("jpeg_compression_3", "JPEG compression 3"),
        ("concepts_joint_minus_text", "concepts: gain by the image"),
        ("words_one_pass_minus_one_pass_wrong_image", "words: one pass, gain by the image"),
        ("words_steps_minus_frequent", "words: step by step, gain over the most frequent"),
        ("words_frequent", "words: most frequent"),
        ("question_colour_wrong_image", "question: colour, wrong image"),
    ],
)
def test_measures_are_told_in_words(metric, words):
    assert in_words(metric) == words


def test_tasks_and_pairs_have_the_names_that_people_know():
    assert subject("cifar100-cifar10") == "CIFAR-100 against CIFAR-10"
    assert subject("digits-heldout") == "digits against held-out digits"
    assert (subject("imagenet"), subject("colour")) == ("ImageNet", "colour")
    photos = load_run("photos")
    assert label(photos, "m3ae-b100-texts") == "M3AE, plain text too"
    assert label(photos, "clip-b35") == "CLIP, 35 epochs"


def test_an_ordering_breaks_at_most_before_its_second_side():
    assert ledger.whole("M3AE, ViT-L > MAE, ViT-L").striptags() == "M3AE, ViT-L > MAE, ViT-L"
    assert ledger.whole("A > B").count('class="whole"') == 2


def test_a_yield_that_is_not_quite_all_is_not_told_as_all():
    assert [yields.share(one) for one in (1.0, 5999 / 6000, 0.952)] == ["100.0 %", "99.98 %", "95.2 %"]


def test_inner_pieces_of_a_caption_follow_their_word_without_a_space():
    caption = ["a", ["spray", False, "spray"], ["##ing", True, "##s"], {"chosen": "##er"}, "dog"]
    assert pictures.words(caption).striptags() == "a spraying ser dog"


def test_a_figure_says_which_of_its_settings_are_not_the_papers(run):
    text = text_of(page.differs(run, "figure3"))
    assert "data.image.size_px 256 48" in text
    assert "language." not in text  # nothing of Figure 3 depends on it
    Path("config/same.yaml").write_text("extends: paper\n")
    assert "Every setting behind this figure" in page.differs(load_run("same"), "figure3")


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], capture_output=True, check=True)


def test_curves_are_held_against_the_committed_log_and_not_against_themselves(run):
    assert "no reference log" in reference.over_reference(run)
    made.write_pretrain(run, "mae-b100")
    make_curves(run)
    git("init", "-q")
    git("add", "reports")
    git("commit", "-qm", "logs")
    assert "image loss 0.00 %" in reference.over_reference(run)
    log = run.paths.step_log("mae-b100")
    first, *rest = log.read_text().splitlines()
    line = json.loads(first)
    changed = {**line, "image_loss": 1.25 * line["image_loss"]}
    log.write_text("\n".join([json.dumps(changed), *rest]) + "\n")
    make_curves(run)  # writes the log anew, as every run does
    assert "image loss 25.00 %" in reference.over_reference(run)
