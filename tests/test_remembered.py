"""A bootstrap that is remembered is the one that would be drawn."""

import numpy as np
import pytest

import made_records as made
from m3ae.errors import UserError
from m3ae.records import Items
from m3ae.report import remembered
from m3ae.report.verdicts import paired


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """`paired` without its memory of this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return paired.__wrapped__


def sides(better=0.6, worse=0.5):
    return tuple((Items.pack(made.hits(share)),) for share in (better, worse))


def kept():
    return sorted(remembered.FOLDER.glob("*.json"))


def test_the_second_answer_is_the_first_to_the_last_bit(drawn):
    first = drawn(*sides(), 100, 0.95, 0)
    assert len(kept()) == 1
    assert drawn(*sides(), 100, 0.95, 0) == first == drawn.__wrapped__(*sides(), 100, 0.95, 0)


OTHERS = [
    (*sides(0.7), 100, 0.95, 0),
    (*reversed(sides()), 100, 0.95, 0),
    (*sides(), 101, 0.95, 0),
    (*sides(), 100, 0.9, 0),
    (*sides(), 100, 0.95, 1),
]


@pytest.mark.parametrize("other", OTHERS)
def test_other_items_or_settings_are_drawn(drawn, other):
    drawn(*sides(), 100, 0.95, 0)
    assert drawn(*other) == drawn.__wrapped__(*other)
    assert len(kept()) == 2


def test_other_code_is_drawn_again(drawn, monkeypatch):
    drawn(*sides(), 100, 0.95, 0)
    monkeypatch.setattr(remembered, "code", lambda function: "changed")
    drawn(*sides(), 100, 0.95, 0)
    assert len(kept()) == 2


@pytest.mark.parametrize("text", ["", "[1, 2]", "nothing", "[1, 2, null]"])
def test_a_broken_file_is_drawn_anew(drawn, text):
    first = drawn(*sides(), 100, 0.95, 0)
    kept()[0].write_text(text)
    assert drawn(*sides(), 100, 0.95, 0) == first
    assert np.isfinite(first).all()


def test_where_nothing_can_be_written_it_is_drawn_each_time(drawn):
    remembered.FOLDER.parent.write_text("a file stands in the way")
    assert drawn(*sides(), 100, 0.95, 0) == drawn(*sides(), 100, 0.95, 0)


def scored(labels):
    scores = np.random.default_rng(0).normal(size=labels.size).astype(np.float16)
    return tuple(map(Items.pack, (labels.ravel().astype(np.uint8), scores, np.array([len(labels)]))))


def test_average_precisions_over_other_labels_are_no_pair(drawn):
    labels = np.random.default_rng(1).random((30, 2)) < 0.5
    assert drawn(scored(labels), scored(labels), 50, 0.95, 0) == (0, 0, 0)
    for others, got in ((~labels, "other ones"), (labels[:20], "30 and 20 images")):
        with pytest.raises(UserError, match=f"expected the same images and labels, got {got}; make both"):
            drawn(scored(labels), scored(others), 50, 0.95, 0)
