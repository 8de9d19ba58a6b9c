"""Text without images: documents, paragraphs, headings, passages of at most so many word pieces."""

import json
import pickle
import tracemalloc
from itertools import chain
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from m3ae.cli.main import main
from m3ae.config import load_run
from m3ae.data import passages as passages_module
from m3ae.data import texts as texts_module
from m3ae.data.bertvocab import BERT_VOCAB
from m3ae.data.passages import Packer, Passages, make_passages, packed
from m3ae.data.texts import Begins, read_lines, text_files
from m3ae.data.wordpiece import bert_tokenizer, encode, train_tokenizer
from m3ae.errors import UserError
from m3ae.files import sha256_of
from raw_shards import project

SHARED = Path(__file__).parents[1].parent / "shared" / "data" / "text"
WORDS = ["red", "green", "blue", "yellow", "large", "small", "zero", "one", "two", "left", "right"]
BOOK = """ = Alpha =

 = = First = =

red green blue
yellow large

small zero one two

 = Beta =
left right red
"""


@pytest.fixture(scope="module")
def tokenizer():
    """One word of `WORDS` is one word piece, and so are `=` and single letters."""
    others = ["alpha", "beta", "first", "=", *"abcdefghijklmnopqrstuvwxyz"]
    return train_tokenizer(lambda: [" ".join([*WORDS, *others])] * 50, 400)


def make_run(folder, monkeypatch, tokenizer, **files):
    """A run with these files of text below its data root, and a tokenizer."""
    run = project(folder, monkeypatch, texts={"files": "corpus/*", "max_tokens": 8})
    (folder / "originals/corpus").mkdir(parents=True)
    monkeypatch.setenv("M3AE_DATA_ROOT", str(folder / "originals"))
    for name, text in files.items():
        (folder / "originals/corpus" / name.replace("_", ".")).write_text(text, encoding="utf-8")
    run.paths.tokenizer.parent.mkdir(parents=True)
    run.paths.tokenizer.write_text(tokenizer.to_str(pretty=True) + "\n")
    return run


def passages_of(text, tokenizer, max_tokens, folder):
    """Passages of a made-up file, as lists of ids; and the number of documents."""
    path = folder / "text.txt"
    path.write_text(text, encoding="utf-8")
    packer = Packer(max_tokens)
    return joined(packed(read_lines(path), tokenizer, packer)), packer.documents


def joined(passages):
    return list(chain.from_iterable(passages))


def words_of(passages, tokenizer):
    return [" ".join(tokenizer.id_to_token(id) for id in passage) for passage in passages]


def test_passages_end_at_documents_then_paragraphs_then_lines_and_headings_stay(tokenizer, tmp_path):
    passages, documents = passages_of(BOOK, tokenizer, 20, tmp_path)
    assert documents == 2
    assert words_of(passages, tokenizer) == [
        "= alpha = = = first = = red green blue yellow large small zero one two",
        "= beta = left right red",
    ]
    passages, _ = passages_of(BOOK, tokenizer, 13, tmp_path)  # heading and first paragraph have 13
    assert words_of(passages, tokenizer) == [
        "= alpha = = = first = = red green blue yellow large",
        "small zero one two",
        "= beta = left right red",
    ]
    passages, _ = passages_of(BOOK, tokenizer, 11, tmp_path)  # they no longer fit: cut at the line's end
    assert words_of(passages, tokenizer) == [
        "= alpha = = = first = = red green blue",
        "yellow large small zero one two",
        "= beta = left right red",
    ]


def test_a_long_line_is_cut_at_every_max_tokens_and_its_rest_takes_what_follows(tokenizer, tmp_path):
    passages, _ = passages_of("red " * 10 + "\n\nblue blue\n\nleft left left", tokenizer, 4, tmp_path)
    assert words_of(passages, tokenizer) == [
        "red red red red",
        "red red red red",
        "red red blue blue",
        "left left left",
    ]


def made_up_text(rng, num_lines):
    """Lines of 0 to 30 words, headings of every level, blank lines, odd spaces and line ends."""
    lines = []
    for _ in range(num_lines):
        words = " ".join(rng.choice(WORDS, rng.integers(0, 30)))
        marks = " ".join("=" * rng.integers(1, 4))
        lines.append(
            rng.choice([words, words, words, "", " \t", f"\n {marks} {words} {marks} \n", words + "\r"])
        )
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(12))
def test_passages_joined_are_the_word_pieces_of_the_whole_text(tokenizer, tmp_path, seed):
    rng = np.random.default_rng(seed)
    text, max_tokens = made_up_text(rng, 150), int(rng.integers(1, 40))
    passages, _ = passages_of(text, tokenizer, max_tokens, tmp_path)
    assert joined(passages) == encode(tokenizer, [text])[0]
    assert all(1 <= len(passage) <= max_tokens for passage in passages)


@pytest.mark.parametrize("seed", range(6))
def test_what_fits_is_kept_together(tokenizer, tmp_path, seed):
    """A passage ends early only where the next paragraph, or line of a long one, does not fit any more."""
    rng = np.random.default_rng(seed)
    paragraphs = [["red"] * int(rng.integers(1, 25)) for _ in range(40)]
    text = "\n\n".join(" ".join(words) for words in paragraphs)
    passages, _ = passages_of(text, tokenizer, 10, tmp_path)
    sizes, expected, room = [len(words) for words in paragraphs], [], 0
    for size in sizes:
        if size <= room:
            expected[-1] += size
        else:
            expected += [10] * (size // 10) + [size % 10] * (size % 10 > 0)
        room = 10 - expected[-1]
    assert [len(passage) for passage in passages] == expected


def test_a_formula_is_no_heading(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("two and two\n = 4 = \nfour\n\n== Sums ==\n\n = = = = \n\na = b\n")
    assert [(line.text.strip(), line.begins, line.is_heading) for line in read_lines(path)] == [
        ("two and two", Begins.DOCUMENT, False),
        ("= 4 =", Begins.LINE, False),
        ("four", Begins.LINE, False),
        ("== Sums ==", Begins.PARAGRAPH, True),
        ("= = = =", Begins.PARAGRAPH, False),
        ("a = b", Begins.PARAGRAPH, False),
    ]


@pytest.mark.parametrize("text", ["red blue " * 500, "你好" * 900, "é" * 1001, "x" * 3000])
def test_a_line_longer_than_the_buffer_loses_nothing(tmp_path, monkeypatch, text):
    monkeypatch.setattr(texts_module, "LINE_BYTES", 64)
    path = tmp_path / "text.txt"
    path.write_text(text + "\nend\n", encoding="utf-8")
    lines = [line.text for line in read_lines(path)]
    assert "".join(lines) == text + "\nend\n"
    assert max(len(line.encode()) for line in lines) <= 128
    if " " in text:
        assert all(line.split()[0] in ("red", "blue", "end") for line in lines)


@pytest.mark.parametrize("name", ["valid", "test"])
def test_wikitext_keeps_its_articles_and_every_word_piece_of_bert(monkeypatch, name):
    path = SHARED / f"wikitext-2-{name}.txt"
    if not path.is_file() or not (SHARED / BERT_VOCAB).is_file():
        pytest.skip("WikiText-2 and the vocabulary of bert-base-uncased are not here")
    monkeypatch.setenv("M3AE_DATA_ROOT", str(SHARED))
    tokenizer, packer = bert_tokenizer(), Packer(256)
    passages = joined(packed(read_lines(path), tokenizer, packer))
    assert packer.documents == 60  # articles, as published
    assert joined(passages) == encode(tokenizer, [path.read_text(encoding="utf-8")])[0]
    assert max(map(len, passages)) <= 256


def test_passages_are_made_read_and_described(tmp_path, monkeypatch, tokenizer):
    run = make_run(tmp_path, monkeypatch, tokenizer, a_txt=BOOK, b_txt="one two\n\nthree")
    make_passages(run)
    passages = Passages(run.paths.tokens("texts"))
    got = [passages.passage(i) for i in range(len(passages))]
    whole = encode(tokenizer, [BOOK, "one two three"])
    assert np.concatenate(got).tolist() == joined(whole)
    assert all(ids.dtype == np.uint16 and 1 <= len(ids) <= 8 for ids in got)
    assert (passages.max_tokens, passages.vocab_size) == (8, tokenizer.get_vocab_size())
    assert passages.tokenizer_sha256 == sha256_of(run.paths.tokenizer)
    facts = json.loads(run.paths.tokens("texts").with_name("texts.json").read_text())
    assert (facts["documents"], facts["passages"]) == (3, len(got))
    assert facts["tokens"] == sum(map(len, whole))
    assert [file["name"] for file in facts["files"]] == ["a.txt", "b.txt"]
    assert facts["files"][0]["sha256"] == sha256_of(tmp_path / "originals/corpus/a.txt")
    assert facts["sha256"] == sha256_of(run.paths.tokens("texts"))
    assert facts["settings"] == run.stage("texts")
    with pytest.raises(IndexError, match="expected a number from 0 to"):
        passages.passage(len(passages))
    assert pickle.loads(pickle.dumps(passages)).passage(1).tolist() == got[1].tolist()


def test_remaking_passages_gives_the_same_bytes(tmp_path, monkeypatch, tokenizer):
    run = make_run(tmp_path, monkeypatch, tokenizer, a_txt=BOOK, b_txt="one two")
    paths = [run.paths.tokens("texts"), run.paths.tokens("texts").with_name("texts.json")]
    make_passages(run)
    first = [path.read_bytes() for path in paths]
    make_passages(run)
    assert [path.read_bytes() for path in paths] == first


@pytest.mark.parametrize("kind", ["bytes", "uint8", "str"])
def test_hdf5_as_the_authors_have_it_gives_a_document_for_each_row(tmp_path, monkeypatch, tokenizer, kind):
    rows = ["red green\n\nblue", "", "two " * 19, "é left"]
    run = make_run(tmp_path, monkeypatch, tokenizer)
    with h5py.File(tmp_path / "originals/corpus/texts.hdf5", "w") as file:
        if kind == "uint8":
            text = file.create_dataset("text", (4,), h5py.vlen_dtype(np.uint8))
            for i, row in enumerate(rows):
                text[i] = np.frombuffer(row.encode(), np.uint8)
        else:
            dtype = h5py.string_dtype("utf-8" if kind == "str" else "ascii")
            file.create_dataset("text", data=[row.encode() for row in rows], dtype=dtype)
    make_passages(run)
    passages = Passages(run.paths.tokens("texts"))
    got = [passages.passage(i).tolist() for i in range(len(passages))]
    first, _, long, last = encode(tokenizer, rows)
    assert got == [first, long[:8], long[8:16], long[16:], last]  # nothing is cut away as the authors do
    assert json.loads(run.paths.tokens("texts").with_name("texts.json").read_text())["documents"] == 3


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch, tokenizer):
    monkeypatch.setattr(passages_module, "BATCH_CHARS", 20_000)
    peaks = []
    for copies in (100, 1_000):
        path = tmp_path / "text.txt"
        path.write_text((" ".join(WORDS * 20) + "\n\n") * copies)
        tracemalloc.start()
        assert sum(map(len, packed(read_lines(path), tokenizer, Packer(256)))) == copies
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_mistakes_are_one_line(tmp_path, monkeypatch, tokenizer):
    run = make_run(tmp_path, monkeypatch, tokenizer)
    corpus = tmp_path / "originals/corpus"

    def fails(match):
        with pytest.raises(UserError, match=match) as caught:
            make_passages(run)
        assert "\n" not in str(caught.value)

    fails(r"data.texts.files: expected files of text at .*corpus/\*, found none; put them there")
    (corpus / "a.txt").write_bytes(b"fine\nbro\xffken\n")
    fails(r"a.txt: expected UTF-8 text or HDF5, got byte 0xff at position 8")
    (corpus / "a.txt").write_text(" \n\n")
    fails(r"expected text in .*a.txt and its like, found no word")
    with h5py.File(corpus / "a.txt", "w") as file:
        file["caption"] = [1]
    fails(r"a.txt: expected a one-dimensional data set `text`, found caption")
    with h5py.File(corpus / "a.txt", "w") as file:
        file["text"] = [1.5]
    fails(r"a.txt: text: row 0: expected UTF-8, got float64")
    (corpus / "a.txt").write_bytes(b"\x89HDF\r\n\x1a\nand no more")
    fails(r"a.txt: expected UTF-8 text or HDF5, got a broken HDF5 file")
    assert not run.paths.tokens("texts").exists()
    with pytest.raises(UserError, match="no such word pieces"):
        Passages(run.paths.tokens("texts"))


def test_a_pattern_finds_files_below_the_data_root_or_an_absolute_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("M3AE_DATA_ROOT", str(tmp_path))
    for name in ("b/two.txt", "a/one.txt", "a/one.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert text_files("**/*.txt") == [tmp_path / "a/one.txt", tmp_path / "b/two.txt"]
    assert text_files(str(tmp_path / "b/*")) == [tmp_path / "b/two.txt"]


def test_the_command_makes_passages_or_says_that_the_run_has_none(tmp_path, monkeypatch, tokenizer):
    make_run(tmp_path, monkeypatch, tokenizer, a_txt=BOOK)
    result = CliRunner().invoke(main, ["data", "texts", "--run", "tiny"])
    assert result.exit_code == 1
    assert "data.texts: expected files of text, got null; name them in config/tiny.yaml" in result.output
    settings = "extends: tiny\ndata:\n  texts: {files: corpus/*, max_tokens: 8}\n"
    (tmp_path / "config/micro.yaml").write_text(settings)
    micro = load_run("micro").paths.tokenizer
    micro.parent.mkdir(parents=True)
    micro.write_text(tokenizer.to_str())
    result = CliRunner().invoke(main, ["data", "texts", "--run", "micro"])
    assert result.exit_code == 0, result.output
    assert "passages of" in result.output
    assert "from 2 documents" in result.output
