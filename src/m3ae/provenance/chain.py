"""The chain from records alone: a record names the hashes of what it read, and so who made that."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from m3ae.provenance.artifacts import DERIVED, MAKER, file_of, stated_by
from m3ae.records import Record


class Use(NamedTuple):
    """A record that read a file, and what it calls the file."""

    record: Path
    name: str


class Chain:
    """Records and files (by SHA-256) of a project: who made a file, who read it, where it lies."""

    def __init__(self, records: dict[Path, Record]) -> None:
        self.records = records
        self.makers: dict[str, list[Path]] = defaultdict(list)
        self.users: dict[str, list[Use]] = defaultdict(list)
        self.files: dict[str, list[Path]] = defaultdict(list)
        for path, record in records.items():
            for name, sha256 in stated_by(record).items():
                self.add_maker(sha256, path, file_of(record, name))
                if name == "pairs":  # no stage of its own: who finds none makes it, and all read it
                    self.users[sha256].append(Use(path, name))
        for path, record in records.items():
            for name, sha256 in record.inputs.items():
                self.users[sha256].append(Use(path, name))
                self.add_file(sha256, file_of(record, name))
                for maker in self.makers_of(record, name) if name in DERIVED else []:
                    self.add_maker(sha256, maker)

    def add_maker(self, sha256: str, maker: Path, file: Path | None = None) -> None:
        """Note who made a file, once."""
        if maker not in self.makers[sha256]:
            self.makers[sha256].append(maker)
        self.add_file(sha256, file)

    def add_file(self, sha256: str, file: Path | None) -> None:
        """Note where a file lies, once."""
        if file is not None and file not in self.files[sha256]:
            self.files[sha256].append(file)

    def makers_of(self, record: Record, name: str) -> list[Path]:
        """Records of the same model whose stage makes ``name`` and that read the same as ``record`` did.

        A guess, for those alone that state no hash of it; what others state is known already.
        """
        return [
            path
            for path, made in self.records.items()
            if (made.run, made.model, made.stage) == (record.run, record.model, MAKER[name])
            and name not in stated_by(made)
            and all(record.inputs.get(key, value) == value for key, value in made.inputs.items())
        ]

    def made_by(self, path: Path) -> list[str]:
        """The files that the stage of a record made, as far as any record names them."""
        return [sha256 for sha256, makers in self.makers.items() if path in makers]

    def is_broken(self, record: Record, name: str) -> bool:
        """Whether the file came from a stage of this project, but not from what its record now says."""
        return name in MAKER and not self.makers.get(record.inputs[name])
