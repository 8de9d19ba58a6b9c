"""``manifest.json``: what a folder of clean shards holds, and what it was made from."""

from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from m3ae.errors import UserError, first_finding
from m3ae.files import write_text

MANIFEST = "manifest.json"
INDEX = "index.arrow"
CAPTIONS = "captions.parquet"
ORIGINS = "origins.parquet"
ORIGIN = "origin.json"
REJECTED = "rejected.parquet"
PACKED = "shards.tar.xz"
FORMAT: Final = 2


class Entry(BaseModel):
    """A part of the manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Shard(Entry):
    """One tar."""

    name: str
    count: int
    """Samples in it."""
    bytes: int
    sha256: str


class Yield(Entry):
    """How much of the list came through."""

    rows: int
    """Captions that the source lists; an image may have several. Without captions, its images."""
    images: int
    """Distinct images that the source lists (by URL, file name or row)."""
    received: int
    """Images whose bytes came, whatever they were."""
    kept: int
    share: float
    """``kept / images``."""


class Manifest(Entry):
    """Written last: where it lies, the shards are whole.

    Says nothing of the kind of source, of URLs or of the machine: that is in ``origin.json``,
    ``origins.parquet`` and ``rejected.parquet``. The same samples give the same manifest, wherever they
    came from.
    """

    format: Literal[2]
    split: str
    count: int
    shards: list[Shard]
    yield_: Yield = Field(validation_alias=AliasChoices("yield_", "yield"), serialization_alias="yield")
    rejected: dict[str, int]
    """Images that gave no sample, by reason. With ``count`` they add up to ``yield.images``."""
    index_sha256: str
    captions_sha256: str
    inputs: dict[str, str]
    """``received``: SHA-256 over the received images and captions, in the order of the source."""
    settings: dict[str, Any]
    """The stage's identity, as in the workflow."""

    @model_validator(mode="after")
    def adds_up(self) -> Self:
        """Check that no sample is counted twice or lost."""
        in_shards = sum(shard.count for shard in self.shards)
        if in_shards != self.count:
            raise ValueError(f"count is {self.count}, but its shards hold {in_shards}")
        accounted = self.count + sum(self.rejected.values())
        if accounted != self.yield_.images:
            raise ValueError(f"{self.yield_.images} images, but {accounted} kept and rejected")
        return self


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest atomically, the same bytes for the same content."""
    write_text(path, manifest.model_dump_json(by_alias=True, indent=1) + "\n")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest. Raises UserError, one line, if it is missing or broken."""
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such manifest; the workflow makes it: snakemake {path}") from None
    except ValidationError as error:
        raise UserError(
            f"{path}: not a manifest ({first_finding(error)}); rebuild it: snakemake --force {path}"
        ) from None
