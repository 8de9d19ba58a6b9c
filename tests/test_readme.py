"""The README says what the records say (its table: test_results_page.py), and names what is there."""

import re

from m3ae.config import load_run
from m3ae.records import read_record
from small_project import CHECKOUT

README = (CHECKOUT / "README.md").read_text()


def test_it_is_short():
    assert len(README.splitlines()) < 150


def test_its_held_out_numbers_are_the_records(in_project):
    run = load_run("photos")
    text = " ".join(README.split())
    m3ae = read_record(run.paths.record("m3ae-b100", "heldout")).metrics
    mae = read_record(run.paths.record("mae-b100", "heldout")).metrics
    for value in (m3ae["image_error"], m3ae["image_error_mean_visible"], mae["image_error"]):
        assert f"{value.value:.3f}" in text
    for name in ("word_accuracy", "word_accuracy_unigram"):
        assert f"{m3ae[name].value:.1f} %" in text
    gain, caption = m3ae["word_accuracy_image_gain"], m3ae["image_error_caption_gain"]
    assert f"+{gain.value:.1f} points [{gain.low:+.1f}, {gain.high:+.1f}]" in text
    assert f"{caption.value:.4f} [{caption.low:.4f}, {caption.high:.4f}]" in text


def test_every_link_of_the_documents_leads_somewhere():
    for path in [
        CHECKOUT / "README.md",
        *(CHECKOUT / "docs").glob("*.md"),
        CHECKOUT / "benchmarks/README.md",
    ]:
        for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if not link.startswith("http"):
                assert (path.parent / link).exists(), f"{path.name}: {link}"
