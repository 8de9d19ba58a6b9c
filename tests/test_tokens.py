import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from m3ae.data.clean.clean import clean_split
from m3ae.data.tokens import Tokens, load_tokenizer, make_tokens
from m3ae.data.wordpiece import BERT_VOCAB, bert_tokenizer, train_tokenizer
from m3ae.errors import UserError
from raw_shards import Answer, encoded, picture, project, write_raw

VOCAB = Path(__file__).parents[1].parent / "shared" / "data" / "text" / BERT_VOCAB
CAPTIONS = [
    ["A red Three, large, on the left!", "three"],
    ["the blue five at the bottom"],
    ["Two digits: a white zero and a black seven", "zero & seven", "a café"],
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with three training pairs and one held-out pair, and captions of at most 6 tokens."""
    run = project(tmp_path, monkeypatch, tokens={"vocab_size": 60, "max_tokens": 6})
    for split, captions in (("train", CAPTIONS), ("heldout", CAPTIONS[:1])):
        answers = [Answer(encoded(picture(40, 40, i)), texts) for i, texts in enumerate(captions)]
        write_raw(run, split, answers)
        clean_split(run, split)
    return run


def word_pieces(word: str, vocab: dict[str, int]) -> list[str]:
    """Greedy longest match first, as BERT's paper code describes it."""
    pieces, start = [], 0
    while start < len(word):
        ends = [end for end in range(len(word), start, -1) if ("##" * (start > 0) + word[start:end]) in vocab]
        if not ends:
            return ["[UNK]"]
        pieces.append("##" * (start > 0) + word[start : ends[0]])
        start = ends[0]
    return pieces


def naive_ids(text: str, vocab: dict[str, int]) -> list[int]:
    """Lower case, no accents, punctuation apart, then word pieces."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    apart = "".join(c if c.isalnum() or c.isspace() else f" {c} " for c in plain)
    return [vocab[piece] for word in apart.split() for piece in word_pieces(word, vocab)]


def test_tokens_match_a_naive_word_piece_and_are_cut(run):
    make_tokens(run)
    vocab = load_tokenizer(run.paths.tokenizer).get_vocab()
    tokens = Tokens(run.paths.tokens("train"))
    assert len(tokens) == 3
    for id, captions in enumerate(CAPTIONS):
        got = tokens.captions(id)
        assert [list(words) for words in got] == [naive_ids(text, vocab)[:6] for text in captions]
        assert all(words.dtype == np.int32 for words in got)
    assert tokens.vocab_size == len(vocab) <= 60
    assert len(Tokens(run.paths.tokens("heldout"))) == 1


def test_padding_is_0_and_no_text_gives_it(run):
    make_tokens(run)
    tokenizer = load_tokenizer(run.paths.tokenizer)
    assert tokenizer.token_to_id("[PAD]") == 0
    assert tokenizer.token_to_id("[UNK]") == 1
    assert 0 not in tokenizer.encode("[PAD] pad [PAD]", add_special_tokens=False).ids


def test_training_gives_the_same_bytes_in_every_process(tmp_path):
    """The library alone does not: its hash maps are seeded anew in each process."""
    program = (
        "import sys\n"
        "from m3ae.data.wordpiece import train_tokenizer\n"
        "words = [f'{a}{b}{c}ing' for a in 'bdgkpt' for b in 'aeiou' for c in 'lmnrs']\n"
        "captions = [' '.join(words[i::7]) for i in range(7)]\n"
        "sys.stdout.write(train_tokenizer(lambda: captions, 90).to_str())\n"
    )
    results = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
        for _ in range(4)
    }
    assert len(results) == 1
    assert Tokenizer.from_str(results.pop().decode()).get_vocab_size() == 90


def test_remaking_tokens_gives_the_same_bytes(run):
    paths = [run.paths.tokenizer, run.paths.tokens("train"), run.paths.tokens("heldout")]
    make_tokens(run)
    first = [path.read_bytes() for path in paths]
    make_tokens(run)
    assert [path.read_bytes() for path in paths] == first


def test_a_vocabulary_smaller_than_the_alphabet_is_refused():
    captions = ["abc bc c"]  # 7 pieces at least: [PAD] [UNK] a b c ##b ##c
    with pytest.raises(UserError, match=r"data.tokens.vocab_size: expected at least 7, .* got 6"):
        train_tokenizer(lambda: captions, 6)
    assert train_tokenizer(lambda: captions, 7).get_vocab_size() == 7


def test_a_bert_vocabulary_is_checked_and_its_place_named(tmp_path, monkeypatch):
    monkeypatch.setenv("M3AE_DATA_ROOT", str(tmp_path))
    with pytest.raises(UserError, match=r"expected the vocabulary.*google-bert/bert-base-uncased"):
        bert_tokenizer()
    (tmp_path / BERT_VOCAB).write_text("[PAD]\n[UNK]\n")
    with pytest.raises(UserError, match=r"expected 30522 lines, the first \[PAD\], found 2"):
        bert_tokenizer()


@pytest.mark.skipif(not VOCAB.is_file(), reason="the vocabulary of bert-base-uncased is not here")
def test_bert_tokens_match_a_naive_word_piece(monkeypatch):
    monkeypatch.setenv("M3AE_DATA_ROOT", str(VOCAB.parents[1]))
    tokenizer = bert_tokenizer()
    vocab = {line: i for i, line in enumerate(VOCAB.read_text(encoding="utf-8").split("\n")[:-1])}
    for text in ("Strawberries and tar on a CAFÉ table!", "view of <PERSON>'s unbelievableness", "a 你好 b"):
        spaced = text.replace("你", " 你 ").replace("好", " 好 ")
        assert tokenizer.encode(text, add_special_tokens=False).ids == naive_ids(spaced, vocab)
    # Known ids of bert-base-uncased: "hello world" is 7592 2088.
    assert tokenizer.encode("Hello world", add_special_tokens=False).ids == [7592, 2088]


def test_tokens_of_other_shards_are_refused(run):
    make_tokens(run)
    write_raw(run, "train", [Answer(encoded(picture(40, 40, i)), ["other"]) for i in range(3)])
    clean_split(run, "train")
    with pytest.raises(UserError, match=r"made from other shards than .*; snakemake --force"):
        Tokens(run.paths.tokens("train"))
    write_raw(run, "train", [Answer(encoded(picture(40, 40, 1)), ["other"])])
    clean_split(run, "train")
    with pytest.raises(UserError, match=r"train.arrow: expected 1 rows, .* found 3"):
        Tokens(run.paths.tokens("train"))


def test_missing_and_broken_files_are_one_line(run):
    with pytest.raises(
        UserError, match=r"no such tokenizer; snakemake data/tiny/tokens/tokenizer.json makes it"
    ):
        load_tokenizer(run.paths.tokenizer)
    with pytest.raises(UserError, match="no such tokens"):
        Tokens(run.paths.tokens("train"))
    run.paths.tokenizer.parent.mkdir(parents=True)
    run.paths.tokenizer.write_text("{}")
    with pytest.raises(UserError, match="not a tokenizer"):
        load_tokenizer(run.paths.tokenizer)
    run.paths.tokens("train").write_text("no parquet")
    with pytest.raises(UserError, match="not a Parquet file"):
        Tokens(run.paths.tokens("train"))
    run.paths.manifest("heldout").unlink()
    with pytest.raises(UserError, match="no such manifest"):
        make_tokens(run)
