"""What `m3ae data download` notes about a split whose images lie in files, in ``raw/{split}.json``."""

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from m3ae.config import Run
from m3ae.config.sources import num_heldout, source_of
from m3ae.data.source.heldout import hash_of
from m3ae.errors import UserError, first_finding
from m3ae.files import sha256_of, write_text


class RawReport(BaseModel):
    """Written when every file of the source is there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    """Of the source: `webdataset`, `folder`, `hdf5`."""
    files: int
    bytes: int
    images: int | None
    """Images in the files, both sides of a split by hashes; None where counting them would read all."""
    heldout_bound: str | None
    """Largest hash that is held out (hexadecimal); None where no hash splits these files."""
    list_sha256: str
    """Of the list of files."""


class Side(NamedTuple):
    """The side of a split by hashes that is read."""

    bound: bytes
    is_heldout: bool

    def takes(self, identities: list[str]) -> bool:
        """Whether an image belongs to this side: held out if one of its identities is."""
        return any(hash_of(identity) <= self.bound for identity in identities) == self.is_heldout


def side_of(report: RawReport, split: str) -> Side | None:
    """The side that ``split`` is of; None where it has the files for itself."""
    if report.heldout_bound is None:
        return None
    return Side(bytes.fromhex(report.heldout_bound), split == "heldout")


def write_report(run: Run, split: str, report: RawReport) -> None:
    """Write the report of a split."""
    write_text(run.paths.download(split), report.model_dump_json(indent=1) + "\n")


def read_report(run: Run, split: str) -> RawReport:
    """The report of a split.

    Raises UserError, one line, if it is missing or broken, or if it speaks of other files.
    """
    path = run.paths.download(split)
    again = f"run m3ae data download --run {run.name} --split {split}"
    try:
        report = RawReport.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: expected the report of a download, found nothing; {again}") from None
    except ValidationError as error:
        raise UserError(f"{path}: not a report of local files ({first_finding(error)}); {again}") from None
    source, is_split = source_of(run, split), num_heldout(run, split) is not None
    if report.kind != source.kind or (report.heldout_bound is not None) != is_split:
        raise UserError(f"{path}: made for other settings of the source; {again}")
    listed = run.paths.list(split)
    if not listed.is_file() or sha256_of(listed) != report.list_sha256:
        raise UserError(f"{path}: {listed} has changed since; {again}")
    return report
