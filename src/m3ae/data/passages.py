"""Text without images as passages of word pieces: made once, read by number.

A passage never crosses a document. Inside one, whole paragraphs are put together while they fit; a paragraph
that is too long for a passage is cut at the ends of its lines, and a line that is too long every
``max_tokens`` word pieces. A heading stays with what follows it. Nothing is lost but white space: the
passages of a document, joined, are its word pieces.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm

from m3ae.config import Run
from m3ae.config.data import Texts
from m3ae.data.texts import Begins, Line, read_lines, text_files
from m3ae.data.tokenfacts import TEXTS_FACTS, Tally, TextFile, TextsFacts, TokenizerFacts
from m3ae.data.tokenized import TokenizedRows
from m3ae.data.tokens import load_tokenizer
from m3ae.data.wordfile import WordWriter
from m3ae.data.wordpiece import encode, unknown_id
from m3ae.errors import UserError
from m3ae.files import atomic_write, sha256_of, write_text

BATCH_CHARS = 1 << 20
"""Characters that are cut into word pieces in one call."""
COLUMN, LEVELS = "passage", 1
FACTS = {"tokenizer_sha256", "vocab_size", "max_tokens"}


def make_passages(run: Run) -> None:
    """Cut the run's text without images into passages; and say in a file beside them what they are."""
    texts, facts_path = texts_of(run), run.paths.tokens("texts").with_name(TEXTS_FACTS)
    tokenizer = load_tokenizer(run.paths.tokenizer)
    files = text_files(texts.files)
    facts_path.unlink(missing_ok=True)
    documents, tally = write_passages(run, files, tokenizer)
    facts = TextsFacts(
        tokenizer=TokenizerFacts.of(run, tokenizer),
        max_tokens=texts.max_tokens,
        files=describe(files),
        documents=documents,
        passages=tally.lists,
        tokens=tally.tokens,
        mean_length=tally.mean_length,
        unknown_share=tally.unknown_share,
        sha256=sha256_of(run.paths.tokens("texts")),
        settings=run.stage("texts"),
    )
    write_text(facts_path, facts.model_dump_json(indent=1) + "\n")


def texts_of(run: Run) -> Texts:
    """The settings of the run's text without images. Raises UserError if it has none."""
    if run.settings.data.texts is None:
        raise UserError(f"data.texts: expected files of text, got null; name them in config/{run.name}.yaml")
    return run.settings.data.texts


def describe(files: list[Path]) -> list[TextFile]:
    """What the files are: their names below the folder that they share, sizes and hashes."""
    shared = Path(os.path.commonpath([path.parent for path in files]))
    return [
        TextFile(name=str(path.relative_to(shared)), bytes=path.stat().st_size, sha256=sha256_of(path))
        for path in files
    ]


def write_passages(run: Run, files: list[Path], tokenizer: Tokenizer) -> tuple[int, Tally]:
    """Write the passages of all files, in order; the number of documents, and counts of word pieces."""
    max_tokens, vocab_size = texts_of(run).max_tokens, tokenizer.get_vocab_size()
    facts = {
        "tokenizer_sha256": sha256_of(run.paths.tokenizer),
        "vocab_size": str(vocab_size),
        "max_tokens": str(max_tokens),
    }
    tally, packer = Tally(unknown_id(tokenizer)), Packer(max_tokens)
    with (
        atomic_write(run.paths.tokens("texts")) as file,
        WordWriter(file, COLUMN, LEVELS, vocab_size, facts) as writer,
        tqdm(desc="texts", unit="passage", unit_scale=True, disable=None) as progress,
    ):
        for passages in packed(chain.from_iterable(map(read_lines, files)), tokenizer, packer):
            lengths = np.array([len(passage) for passage in passages])
            ids = np.array(list(chain.from_iterable(passages)))
            writer.add(ids, lengths)
            tally.add(ids, len(passages))
            progress.update(len(passages))
        if not tally.lists:
            raise UserError(
                f"data.texts.files: expected text in {files[0]} and its like, found no word; name other files"
            )
    return packer.documents, tally


def packed(lines: Iterable[Line], tokenizer: Tokenizer, packer: "Packer") -> Iterator[list[list[int]]]:
    """The passages of a stream of lines, some at a time."""
    for batch in batches(lines):
        for line, words in zip(batch, encode(tokenizer, [line.text for line in batch]), strict=True):
            packer.add(words, line.begins, line.is_heading)
        if packer.passages:
            yield packer.take()
    packer.end_document()
    if packer.passages:
        yield packer.take()


def batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Lines in groups of about ``BATCH_CHARS`` characters."""
    batch: list[Line] = []
    chars = 0
    for line in lines:
        batch.append(line)
        chars += len(line.text)
        if chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


class Packer:
    """Puts the word pieces of lines together to passages of at most ``max_tokens``.

    Always: ``open`` (whole paragraphs) and ``lines`` (of the paragraph that is being read) fit into one.
    """

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self.documents = 0
        self.passages: list[list[int]] = []
        self.open: list[int] = []
        self.lines: list[list[int]] = []
        self.heading: list[int] = []

    def take(self) -> list[list[int]]:
        """The passages that are done; they leave the packer."""
        done, self.passages = self.passages, []
        return done

    def add(self, words: list[int], begins: Begins, is_heading: bool) -> None:
        """Add a line's word pieces."""
        if begins == Begins.DOCUMENT:
            self.end_document()
            self.documents += 1
        elif begins == Begins.PARAGRAPH and not self.heading:
            self.end_paragraph()
        if is_heading and len(self.heading) + len(words) < self.max_tokens:
            self.heading += words  # waits for what follows it
            return
        self._put(self.heading + words)
        self.heading = []

    def end_paragraph(self) -> None:
        """What comes next is another paragraph."""
        self.open += chain.from_iterable(self.lines)
        self.lines = []

    def end_document(self) -> None:
        """What comes next is another document."""
        self._put(self.heading)
        self.heading = []
        self.end_paragraph()
        self._close(self.open)
        self.open = []

    def _put(self, line: list[int]) -> None:
        """Append a line to the paragraph; close passages until what is left fits into one."""
        if line:
            self.lines.append(line)
        if len(self.open) + self._size() > self.max_tokens:
            self._close(self.open)
            self.open = []
        while self._size() > self.max_tokens:
            if len(self.lines) > 1:  # all lines but the last fitted before it came
                self._close(list(chain.from_iterable(self.lines[:-1])))
                self.lines = self.lines[-1:]
            else:
                self._close(self.lines[0][: self.max_tokens])
                self.lines = [self.lines[0][self.max_tokens :]]

    def _size(self) -> int:
        return sum(map(len, self.lines))

    def _close(self, passage: list[int]) -> None:
        if passage:
            self.passages.append(passage)


class Passages(TokenizedRows):
    """The passages of a run, by number, mapped into memory.

    Raises UserError, one line, if the file is missing or broken, or made with another tokenizer than lies
    beside it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, COLUMN, LEVELS, FACTS)

    def passage(self, number: int) -> np.ndarray:
        """The ids (uint16, or int32 for a large vocabulary) of a passage, 1 to ``max_tokens``."""
        batch, place = self._file.row(number)
        start, end = batch.starts[0][place : place + 2]
        return batch.ids[start:end]
