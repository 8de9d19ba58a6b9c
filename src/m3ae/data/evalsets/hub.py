"""Evaluation sets from the Hugging Face hub: named and sized first, then downloaded and verified."""

from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm import tqdm

from m3ae.config.origins import Hub
from m3ae.errors import UserError
from m3ae.files import sha256_of

TIMEOUT_S = 30


class HubFile(NamedTuple):
    """A file of a repository, as the hub lists it."""

    name: str
    size: int
    sha256: str | None
    """For large files."""


def files_on_hub(origin: Hub) -> list[HubFile]:
    """The files that the registry's patterns name, with their sizes and checksums."""
    with plain_errors(origin):
        info = HfApi().dataset_info(
            origin.repo, revision=origin.revision, files_metadata=True, timeout=TIMEOUT_S
        )
    files = [
        HubFile(entry.rfilename, entry.size or 0, entry.lfs.sha256 if entry.lfs else None)
        for entry in info.siblings or []
        if any(fnmatch(entry.rfilename, pattern) for pattern in origin.files)
    ]
    if not files:
        raise UserError(
            f"{origin.page}: expected files {', '.join(origin.files)}, found none; "
            "the repository has changed: mend the registry's entry"
        )
    return files


def download_from_hub(origin: Hub, files: list[HubFile], root: Path) -> None:
    """Download into ``root``; goes on where an interrupted call stopped. Raises UserError on a wrong byte."""
    folder = root / origin.to
    with plain_errors(origin):
        snapshot_download(
            origin.repo,
            repo_type="dataset",
            revision=origin.revision,
            local_dir=folder,
            allow_patterns=origin.files,
            etag_timeout=TIMEOUT_S,
        )
    for file in tqdm(files, desc="checksums", unit="file", disable=None):
        verify(folder / file.name, file)


def verify(path: Path, file: HubFile) -> None:
    """Raise UserError unless a downloaded file has the size and the checksum that the hub lists."""
    size = path.stat().st_size if path.is_file() else -1
    if size != file.size:
        raise UserError(f"{path}: expected {file.size} bytes, found {max(size, 0)}; delete it and run again")
    if file.sha256 is not None and sha256_of(path) != file.sha256:
        raise UserError(f"{path}: expected sha256 {file.sha256}, found another; delete it and run again")


@contextmanager
def plain_errors(origin: Hub) -> Iterator[None]:
    """Say in one line what the hub refused and what to do."""
    try:
        yield
    except GatedRepoError:
        raise UserError(
            f"{origin.page}: access is denied; accept the terms there, then log in with: hf auth login"
        ) from None
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise UserError(
            f"{origin.page}: no such repository or revision, or it needs a login: hf auth login"
        ) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, HTTPError, ConnectionError, TimeoutError) as error:
        cause = " ".join(str(error).split())[:200]
        raise UserError(
            f"{origin.page}: cannot be reached ({type(error).__name__}: {cause}); check the network, "
            "then run the command again: it goes on where it stopped"
        ) from None
