"""The vocabulary of bert-base-uncased: found below the data root, or fetched from the Hugging Face hub."""

import hashlib
from pathlib import Path

from m3ae.config.paths import data_root
from m3ae.errors import UserError

BERT_VOCAB = "bert-base-uncased-vocab.txt"
REPOSITORY, FILE = "google-bert/bert-base-uncased", "vocab.txt"
SIZE = 30_522  # Devlin et al. 2018; the authors' data.py uses this tokenizer
SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"


def bert_vocab() -> dict[str, int]:
    """Piece -> id. Raises UserError, with the way to get the file, if it is nowhere or another one."""
    path = local_vocab() or fetch_vocab()
    pieces = path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    found = f"{len(pieces)} lines of sha256 {vocab_sha256(pieces)}"
    if found != f"{SIZE} lines of sha256 {SHA256}":
        raise UserError(
            f"{path}: expected the vocabulary of bert-base-uncased ({SIZE} lines of sha256 {SHA256}), "
            f"found {found}; {how_to_get_it()}"
        )
    return {piece: id for id, piece in enumerate(pieces)}


def vocab_sha256(pieces: list[str]) -> str:
    """The SHA-256 of a vocabulary's pieces, one a line, in the order of their ids."""
    return hashlib.sha256("".join(f"{piece}\n" for piece in pieces).encode()).hexdigest()


def local_vocab() -> Path | None:
    """The vocabulary below the data root, if it is there."""
    places = [data_root() / BERT_VOCAB, data_root() / "text" / BERT_VOCAB]
    return next((place for place in places if place.is_file()), None)


def fetch_vocab() -> Path:
    """The vocabulary in the hub's cache, downloaded once. Raises UserError where there is no way to it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # its warnings of every retry would hide our one line
    try:
        return Path(hf_hub_download(REPOSITORY, FILE))
    except Exception as error:  # the hub, its HTTP library and the cache each raise their own
        raise UserError(
            f"{data_root() / BERT_VOCAB}: expected the vocabulary of bert-base-uncased, found nothing there "
            f"nor on the Hugging Face hub ({type(error).__name__}); {how_to_get_it()}"
        ) from None


def how_to_get_it() -> str:
    """Where the file comes from and belongs."""
    return (
        f"on a machine with a network: hf download {REPOSITORY} {FILE}; "
        f"then copy it to {data_root() / BERT_VOCAB}"
    )
