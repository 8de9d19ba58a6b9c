import hashlib
import json
import pickle
import subprocess
import sys
import threading
import tracemalloc
import unicodedata
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer
from tokenizers import __version__ as tokenizers_version

from m3ae.config import Run, load_run
from m3ae.data import wordfile
from m3ae.data.bertvocab import BERT_VOCAB
from m3ae.data.clean.captions import normalise_caption
from m3ae.data.index import IndexWriter
from m3ae.data.manifest import CAPTIONS, INDEX, Manifest, Shard, Yield, write_manifest
from m3ae.data.source.lists import read_rows
from m3ae.data.tokens import Tokens, load_tokenizer, make_tokens
from m3ae.data.wordfile import WordFile, WordWriter
from m3ae.data.wordpiece import bert_tokenizer, encode, train_tokenizer
from m3ae.errors import UserError
from m3ae.files import sha256_of
from raw_shards import project

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
VOCAB, REAL_ROWS = SHARED / "text" / BERT_VOCAB, SHARED / "text" / "cc3m_val_urls.tsv"
needs_vocab = pytest.mark.skipif(
    not VOCAB.is_file(), reason="the vocabulary of bert-base-uncased is not here"
)
TEXTS = [
    ["A red Three, large, on the left!", "three"],
    ["the blue five at the bottom"],
    ["Two digits: a white zero and a black seven", "zero & seven", "a café"],
]


def write_shards(run: Run, split: str, captions: list[list[str]]) -> None:
    """What tokens need of clean shards: captions, index and manifest; the tar is empty."""
    folder, count = run.paths.shards(split), len(captions)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "00000.tar").write_bytes(b"")
    with IndexWriter(folder / INDEX) as index:
        for _ in captions:
            index.add(0, 0, 0, 1, 1)
    hashes = [hashlib.sha256(str(texts).encode()).hexdigest() for texts in captions]
    pq.write_table(pa.table({"captions": captions, "sha256": hashes}), folder / CAPTIONS)
    manifest = Manifest(
        format=2,
        split=split,
        count=count,
        shards=[Shard(name="00000.tar", count=count, bytes=0, sha256=sha256_of(folder / "00000.tar"))],
        yield_=Yield(rows=sum(map(len, captions)), images=count, received=count, kept=count, share=1.0),
        rejected={},
        index_sha256=sha256_of(folder / INDEX),
        captions_sha256=sha256_of(folder / CAPTIONS),
        inputs={},
        settings={},
    )
    write_manifest(run.paths.manifest(split), manifest)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with three training pairs and one held-out pair, and captions of at most 6 tokens."""
    run = project(tmp_path, monkeypatch, tokens={"vocab_size": 60, "max_tokens": 6})
    write_shards(run, "train", TEXTS)
    write_shards(run, "heldout", TEXTS[:1])
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
    for id, captions in enumerate(TEXTS):
        got = tokens.captions(id)
        assert [list(words) for words in got] == [naive_ids(text, vocab)[:6] for text in captions]
        assert all(words.dtype == np.uint16 for words in got)
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


def manifest_of(run):
    return json.loads(run.paths.tokenizer.with_name("manifest.json").read_text())


def test_the_manifest_counts_what_a_naive_tokenizer_counts(run):
    make_tokens(run)
    tokenizer, manifest = load_tokenizer(run.paths.tokenizer), manifest_of(run)
    vocab = tokenizer.get_vocab()
    lengths = [len(naive_ids(text, vocab)) for texts in TEXTS for text in texts]
    stored = [id for texts in TEXTS for text in texts for id in naive_ids(text, vocab)[:6]]
    train = manifest["splits"]["train"]
    assert (train["pairs"], train["captions"], train["tokens"]) == (3, 6, len(stored))
    assert train["mean_length"] == pytest.approx(len(stored) / 6, abs=1e-3)
    assert train["cut_share"] == pytest.approx(sum(length > 6 for length in lengths) / 6, abs=1e-6)
    assert train["unknown_share"] == pytest.approx(stored.count(vocab["[UNK]"]) / len(stored), abs=1e-6)
    assert train["sha256"] == sha256_of(run.paths.tokens("train"))
    assert train["captions_sha256"] == sha256_of(run.paths.shards("train") / CAPTIONS)
    assert train["index_sha256"] == sha256_of(run.paths.shards("train") / INDEX)
    assert manifest["max_tokens"] == 6
    assert manifest["settings"] == run.stage("tokens")


def test_vocabulary_and_normalisation_are_hashed(run):
    make_tokens(run)
    tokenizer, found = load_tokenizer(run.paths.tokenizer), manifest_of(run)["tokenizer"]
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    listed = "".join(f"{piece}\n" for piece, _ in pieces).encode()
    assert found["vocab_sha256"] == hashlib.sha256(listed).hexdigest()
    assert (found["kind"], found["tokenizers"]) == ("trained", tokenizers_version)
    settings = json.loads(run.paths.tokenizer.read_text())
    del settings["model"]["vocab"]
    assert settings["normalizer"]["lowercase"] is True
    text = json.dumps(settings, sort_keys=True).encode()
    assert found["normalisation_sha256"] == hashlib.sha256(text).hexdigest()


def test_a_failed_call_leaves_no_manifest_of_older_tokens(run, monkeypatch):
    make_tokens(run)
    monkeypatch.setattr("m3ae.data.tokens.encode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make_tokens(run)
    assert not run.paths.tokenizer.with_name("manifest.json").exists()


def test_tokens_in_many_record_batches_are_the_same_tokens(run, monkeypatch):
    rng = np.random.default_rng(0)
    words = ["red", "blue", "zero", "seven", "left"]
    captions = [
        [" ".join(rng.choice(words, rng.integers(1, 7))) for _ in range(i % 3 + 1)] for i in range(50)
    ]
    write_shards(run, "train", captions)
    monkeypatch.setattr(wordfile, "BATCH_IDS", 20)
    monkeypatch.setattr("m3ae.data.tokens.BATCH_PAIRS", 4)
    make_tokens(run)
    with pa.memory_map(str(run.paths.tokens("train"))) as source:
        assert pa.ipc.open_file(source).num_record_batches > 5
    vocab, tokens = load_tokenizer(run.paths.tokenizer).get_vocab(), Tokens(run.paths.tokens("train"))
    for id, texts in enumerate(captions):
        assert [words.tolist() for words in tokens.captions(id)] == [naive_ids(t, vocab)[:6] for t in texts]
    everything = [id for texts in captions for text in texts for id in naive_ids(text, vocab)[:6]]
    assert tokens.counts().tolist() == [everything.count(id) for id in range(tokens.vocab_size)]
    with pytest.raises(IndexError, match="expected a number from 0 to 49"):
        tokens.captions(50)
    again = pickle.loads(pickle.dumps(tokens))  # as a spawned worker gets it
    assert [a.tolist() for a in again.captions(31)] == [a.tolist() for a in tokens.captions(31)]


@pytest.mark.parametrize(("vocab_size", "dtype"), [(1 << 16, np.uint16), ((1 << 16) + 1, np.int32)])
def test_ids_take_two_bytes_where_the_vocabulary_fits(tmp_path, vocab_size, dtype):
    path = tmp_path / "words.arrow"
    with path.open("wb") as file, WordWriter(file, "words", 1, vocab_size, {}) as writer:
        writer.add(np.array([vocab_size - 1, 0, 5]), np.array([1, 0, 2]))
    batch, place = WordFile(path, "words", 1, set()).row(0)
    assert batch.ids.dtype == dtype
    assert batch.ids.tolist() == [vocab_size - 1, 0, 5]
    assert (place, batch.starts[0].tolist()) == (0, [0, 1, 1, 3])


def test_reading_maps_the_file_and_copies_nothing(tmp_path):
    path = tmp_path / "words.arrow"
    ids = np.arange(30_000_000) % 30_000
    with path.open("wb") as file, WordWriter(file, "words", 1, 30_000, {}) as writer:
        for part in np.split(ids, 30):
            writer.add(part, np.full(100_000, 10))
    allocated = pa.total_allocated_bytes()
    tracemalloc.start()
    file = WordFile(path, "words", 1, set())
    assert len(file) == 3_000_000
    for number in range(0, len(file), 10_001):
        batch, place = file.row(number)
        start, end = batch.starts[0][place : place + 2]
        assert batch.ids[start:end].tolist() == [id % 30_000 for id in range(10 * number, 10 * number + 10)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 70e6
    assert pa.total_allocated_bytes() == allocated  # Arrow's own memory
    assert peak < 1e6  # Python's and NumPy's


def serve(routes):
    """A server on 127.0.0.1 that answers as the hub does."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            data = routes.get(self.path.split("?")[0])
            self.send_response(200 if data is not None else 404)
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", f'"{hashlib.sha256(data or b"").hexdigest()[:40]}"')
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            return data or b""

        def do_HEAD(self):
            self.answer()

        def do_GET(self):
            self.wfile.write(self.answer())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub's routes, an empty cache and an empty data root; closed at the end."""
    from huggingface_hub import constants

    routes = {}
    server = serve(routes)
    template = f"http://127.0.0.1:{server.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("M3AE_DATA_ROOT", str(tmp_path))
    yield routes
    server.shutdown()
    server.server_close()


ADDRESS = "/google-bert/bert-base-uncased/resolve/main/vocab.txt"


@needs_vocab
def test_the_bert_vocabulary_is_fetched_from_the_hub_where_there_is_none(hub):
    hub[ADDRESS] = VOCAB.read_bytes()
    assert bert_tokenizer().get_vocab_size() == 30522
    hub.clear()  # a second call needs no network
    assert bert_tokenizer().token_to_id("hello") == 7592


def test_another_vocabulary_is_refused_wherever_it_comes_from(hub, tmp_path):
    hub[ADDRESS] = b"[PAD]\n[UNK]\nhello\n"
    with pytest.raises(UserError, match=r"vocab.txt: expected the vocabulary .*30522 lines.* found 3 lines"):
        bert_tokenizer()
    (tmp_path / BERT_VOCAB).write_text("[PAD]\n[UNK]\n")
    with pytest.raises(UserError, match=rf"{BERT_VOCAB}: expected .* found 2 lines"):
        bert_tokenizer()


def test_without_network_one_line_says_how_to_get_the_bert_vocabulary(hub, tmp_path, capfd):
    with pytest.raises(UserError, match=r"found nothing there nor on the Hugging Face hub") as caught:
        bert_tokenizer()
    assert f"hf download google-bert/bert-base-uncased vocab.txt; then copy it to {tmp_path}" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@needs_vocab
def test_bert_tokens_match_a_naive_word_piece(monkeypatch):
    monkeypatch.setenv("M3AE_DATA_ROOT", str(SHARED))
    tokenizer = bert_tokenizer()
    vocab = {line: i for i, line in enumerate(VOCAB.read_text(encoding="utf-8").split("\n")[:-1])}
    for text in ("Strawberries and tar on a CAFÉ table!", "view of <PERSON>'s unbelievableness", "a 你好 b"):
        spaced = text.replace("你", " 你 ").replace("好", " 好 ")
        assert encode(tokenizer, [text]) == [naive_ids(spaced, vocab)]
    # Known ids of bert-base-uncased: "hello world" is 7592 2088.
    assert encode(tokenizer, ["Hello world"]) == [[7592, 2088]]


@pytest.fixture(scope="module")
def bert():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("M3AE_DATA_ROOT", str(SHARED))
        return bert_tokenizer()


@pytest.fixture(scope="module")
def real_captions():
    """Every row of a real list, parsed and normalised."""
    return [normalise_caption(row.caption) for row in read_rows(REAL_ROWS)]


@needs_vocab
@pytest.mark.skipif(not REAL_ROWS.is_file(), reason="the rows of Conceptual Captions are not here")
def test_every_real_row_is_parsed_normalised_and_tokenised_without_a_loss(bert, real_captions):
    assert len(real_captions) == sum(1 for _ in REAL_ROWS.open("rb")) == 15_833
    ids = encode(bert, real_captions)
    assert len(ids) == 15_833
    assert min(map(len, ids)) >= 1
    unknown = sum(words.count(bert.token_to_id("[UNK]")) for words in ids)
    assert unknown / sum(map(len, ids)) < 1e-4
    assert 0 not in set().union(*ids)  # padding stands for no word
    assert sum(len(words) > 64 for words in ids) / len(ids) < 0.001


@pytest.mark.slow
@needs_vocab
@pytest.mark.skipif(not REAL_ROWS.is_file(), reason="the rows of Conceptual Captions are not here")
def test_real_rows_give_the_ids_of_transformers_bert_tokenizer(bert, real_captions):
    from transformers import BertTokenizer

    theirs = BertTokenizer(vocab=bert.get_vocab(), do_lower_case=True)
    assert theirs("hello", add_special_tokens=False)["input_ids"] == [7592]
    cut = theirs(real_captions, add_special_tokens=False, truncation=True, max_length=64)["input_ids"]
    assert [words[:64] for words in encode(bert, real_captions)] == cut


def test_tokens_of_other_shards_are_refused(run):
    make_tokens(run)
    write_shards(run, "train", [["other"]] * 3)
    with pytest.raises(UserError, match=r"made from other captions than .*; snakemake --force"):
        Tokens(run.paths.tokens("train"))
    write_shards(run, "train", [["other"]])
    with pytest.raises(UserError, match=r"train.arrow: expected 1 rows, .* found 3"):
        Tokens(run.paths.tokens("train"))


def test_tokens_of_another_tokenizer_are_refused(run):
    make_tokens(run)
    run.paths.tokenizer.write_text(train_tokenizer(lambda: ["one two"], 60).to_str())
    with pytest.raises(UserError, match=r"train.arrow: made with another tokenizer than .*tokenizer.json"):
        Tokens(run.paths.tokens("train"))


def test_missing_and_broken_files_are_one_line(run):
    with pytest.raises(
        UserError, match=r"no such tokenizer; snakemake data/tiny/tokens/tokenizer.json makes it"
    ):
        load_tokenizer(run.paths.tokenizer)
    with pytest.raises(UserError, match="no such word pieces"):
        Tokens(run.paths.tokens("train"))
    make_tokens(run)
    data = run.paths.tokens("train").read_bytes()
    for broken in (b"no arrow", data[:-9], b""):
        run.paths.tokens("train").write_bytes(broken)
        with pytest.raises(UserError, match="not an Arrow file of word pieces") as caught:
            Tokens(run.paths.tokens("train"))
        assert "\n" not in str(caught.value)
    with run.paths.tokens("train").open("wb") as file, WordWriter(file, "tokens", 1, 9, {}) as writer:
        writer.add(np.array([1]), np.array([1]))
    with pytest.raises(UserError, match=r"expected one column 'tokens' of lists in 2 levels"):
        Tokens(run.paths.tokens("train"))
    run.paths.tokenizer.write_text("{}")
    with pytest.raises(UserError, match="not a tokenizer"):
        load_tokenizer(run.paths.tokenizer)
    run.paths.manifest("heldout").unlink()
    with pytest.raises(UserError, match="no such manifest"):
        make_tokens(run)


def test_the_command_says_what_it_made(run, in_micro):
    from click.testing import CliRunner

    from m3ae.cli.main import main

    result = CliRunner().invoke(main, ["data", "tokens", "--run", "micro"])
    assert result.exit_code == 0, result.output
    assert "train: 3 samples, 6 captions of" in result.output
    assert "heldout: 1 samples, 2 captions of" in result.output


@pytest.fixture
def in_micro(run, tmp_path):
    """The same shards under the name of a run that has a file."""
    (tmp_path / "config/micro.yaml").write_text("extends: tiny\n")
    for split in ("train", "heldout"):
        write_shards(load_run("micro"), split, TEXTS if split == "train" else TEXTS[:1])
