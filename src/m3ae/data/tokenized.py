"""What tokens and passages share: a file of word pieces that belongs to the tokenizer beside it."""

from pathlib import Path
from typing import Any

from m3ae.data.wordfile import WordFile
from m3ae.errors import UserError
from m3ae.files import sha256_of


class TokenizedRows:
    """The rows of a file of word pieces, mapped into memory.

    Raises UserError, one line, if it is missing or broken, or not made with the tokenizer beside it.
    """

    def __init__(self, path: Path, column: str, depth: int, facts: set[str]) -> None:
        self.path = Path(path)
        self._file = WordFile(self.path, column, depth, facts)
        self.tokenizer_sha256 = self._file.facts["tokenizer_sha256"]
        self.vocab_size = int(self._file.facts["vocab_size"])
        self.max_tokens = int(self._file.facts["max_tokens"])
        self._check_tokenizer()

    def __len__(self) -> int:
        return len(self._file)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)  # a spawned process maps the file itself

    def _check_tokenizer(self) -> None:
        path = self.path.with_name("tokenizer.json")
        if path.is_file() and sha256_of(path) != self.tokenizer_sha256:
            raise UserError(f"{self.path}: made with another tokenizer than {path}; {self._file.again}")
