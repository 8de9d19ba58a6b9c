import unicodedata

import pytest

from m3ae.config import load_run
from m3ae.data.clean.captions import fit_captions, normalise_caption
from m3ae.data.clean.reasons import RejectionError

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # one emoji of three, joined
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # one word with a non-joiner


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  two\t words\r\n", "two words"),
        ("fish &amp; chips &lt;3", "fish & chips <3"),
        ("rock &amp;amp; roll", "rock & roll"),
        ("don&amp;#39;t &amp;amp;quot;stop&amp;amp;quot;", 'don\'t "stop"'),
        ("AT&T and R & D", "AT&T and R & D"),
        ("cafe\u0301", "caf\u00e9"),
        ("\ufb01sh", "\ufb01sh"),  # NFC, not NFKC: a ligature stays
        ("a\x00b\x07c\x85d", "a b c d"),
        ("a&#0;b&#x1f;c", "a\ufffdbc"),  # HTML's own rules for entities of control characters
        ("<PERSON> at the beach", "<PERSON> at the beach"),
        ("&lt;PERSON&gt; at the beach", "<PERSON> at the beach"),
        ("non\u00a0breaking\u2003spaces\u2028and lines", "non breaking spaces and lines"),
        ("\ud800 lone half", "lone half"),
        ("&nbsp;&#9;", ""),
        ("so\u00adft hy\u00adphens", "soft hyphens"),
        ("\ufeffmark and zero\u200bwidth", "mark and zerowidth"),
        ("left \u202eright\u202c \u2066iso\u2069", "left right iso"),
        (f"a {FAMILY} of three", f"a {FAMILY} of three"),
        (PERSIAN, PERSIAN),
        ("stray \u200d joiners\u200c here", "stray joiners here"),
        ("icon \ue001 font", "icon font"),
        ("heart \u2764\ufe0f stays", "heart \u2764\ufe0f stays"),
    ],
)
def test_captions_are_normalised(text, expected):
    assert normalise_caption(text) == expected
    assert normalise_caption(expected) == expected


def test_what_is_normalised_is_unicode_nfc_without_anything_invisible():
    every = "".join(chr(code) for code in range(0x20000))
    text = normalise_caption("x".join(every))
    assert unicodedata.is_normalized("NFC", text)
    assert {unicodedata.category(char) for char in text} & {"Cc", "Cs", "Co", "Zl", "Zp"} == set()
    assert {char for char in text if unicodedata.category(char) == "Cf"} == {"\u200c", "\u200d"}
    assert {char for char in text if char.isspace()} == {" "}
    text.encode("utf-8")


def test_a_caption_escaped_a_million_times_takes_no_time():
    assert normalise_caption("&" + "amp;" * 250_000).startswith("&amp;amp;")


@pytest.fixture
def settings(in_project):
    return load_run("tiny").settings.data.clean.model_copy(
        update={"min_caption_chars": 3, "max_caption_chars": 10}
    )


@pytest.mark.parametrize(
    ("captions", "reason"),
    [
        ([], "caption_empty"),
        (["\u200b\u200b"], "caption_empty"),
        (["ab", "a" * 11], "caption_too_short"),
        (["a" * 11, "ab"], "caption_too_long"),
        (["\u00e9" * 11], "caption_too_long"),
    ],
)
def test_an_image_without_a_fit_caption_is_rejected_for_the_first(settings, captions, reason):
    with pytest.raises(RejectionError) as rejection:
        fit_captions(captions, settings)
    assert rejection.value.reason == reason


def test_bounds_count_characters_after_normalisation(settings):
    assert fit_captions(["e\u0301" * 10], settings) == ["\u00e9" * 10]
    assert fit_captions(["&amp;" * 3, "a  b", "ab\u200bc"], settings) == ["&&&", "a b", "abc"]


def test_equal_captions_of_an_image_are_kept_once_in_their_order(settings):
    assert fit_captions(["two", "one", "two ", "&#116;wo", "one"], settings) == ["two", "one"]
