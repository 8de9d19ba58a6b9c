"""Objects in DVC's cache and remotes: whole or absent, whatever happens on the way.

DVC is imported here alone, when it is used.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from m3ae.errors import UserError
from m3ae.files import atomic_path, remove_abandoned

EMBEDDED = Path("data/store")
"""The default remote, a folder in git."""
LIMIT = 20_000_000
"""Bytes that it may hold."""
MIRROR = "mirror"
"""Name of a second remote, asked for what the first does not have."""
HERE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # the fault of this machine, whatever the remote


class NotThere(UserError):
    """A remote does not have an object, or has a damaged one, or does not answer."""


class Objects:
    """A folder of objects by their MD5: the cache, or a remote."""

    def __init__(self, name: str, odb: Any) -> None:
        self.name, self.odb = name, odb

    @cached_property
    def folder(self) -> Path | None:
        """Where the objects lie, if on this machine."""
        return Path(self.odb.path) if self.odb.fs.protocol == "local" else None

    def where(self, md5: str) -> str:
        """Path or address of an object."""
        return self.odb.oid_to_path(md5)

    def clean(self) -> None:
        """Remove what killed processes left of unfinished objects here."""
        if self.folder:
            remove_abandoned(self.folder, "??/.*")

    def has(self, md5: str, size: int) -> bool:
        """Whether a whole object is there: by its content on this machine, else by its size."""
        if self.folder:
            path = Path(self.where(md5))
            return path.is_file() and path.stat().st_size == size and md5_of(path) == md5
        try:
            return self.odb.fs.info(self.where(md5)).get("size") in (size, None)
        except FileNotFoundError:
            return False
        except Exception as error:  # whatever a library for clouds raises
            raise NotThere(f"{self.name}: does not answer ({short(error)})") from None

    def put(self, source: Path, md5: str) -> None:
        """Send a file. Raises UserError if it could not be sent whole."""
        if self.folder:
            with atomic_path(self.where(md5)) as partial:
                shutil.copyfile(source, partial)
            return
        try:
            self.odb.fs.put_file(str(source), self.where(md5))
        except Exception as error:
            raise NotThere(f"{self.name}: {source} was not sent ({short(error)})") from None

    def get(self, md5: str, target: Path) -> None:
        """Bring an object to ``target``, whole or not at all. UserError: the disk is full; NotThere: else."""
        with atomic_path(target) as partial:
            try:
                self.odb.fs.get_file(self.where(md5), str(partial))
            except FileNotFoundError:
                raise NotThere(f"not in {self.name!r}") from None
            except Exception as error:
                if isinstance(error, OSError) and error.errno in HERE:
                    raise
                raise NotThere(f"{self.name!r} does not answer ({short(error)})") from None
            if md5_of(partial) != md5:
                raise NotThere(f"damaged in {self.name!r}")


class Cache(Objects):
    """DVC's cache of this clone: read-only files, as DVC itself leaves them."""

    def add(self, source: Path, md5: str) -> Path:
        """Copy a file to the cache, if it is not there; where it lies then."""
        path = Path(self.where(md5))
        if not self.has(md5, source.stat().st_size):
            self.put(source, md5)
            os.chmod(path, 0o444)
        return path

    def bring(self, md5: str, size: int, remotes: list[Objects]) -> Path:
        """Bring an object from the first of the remotes that has it whole; where it lies then."""
        path = Path(self.where(md5))
        reasons = []
        if self.has(md5, size):
            return path
        for remote in remotes:
            try:
                remote.get(md5, path)
                os.chmod(path, 0o444)
                return path
            except NotThere as error:
                reasons.append(str(error))
        raise NotThere(", ".join(reasons))


class Project:
    """This clone as DVC sees it."""

    def __init__(self, repo: Any) -> None:
        self.repo = repo
        self.cache = Cache("the cache", repo.cache.local)

    def remote(self, name: str | None = None) -> Objects:
        """The remote of a name, or the default one. Raises UserError if there is none."""
        from dvc.exceptions import DvcException

        known = sorted(self.repo.config["remote"])
        name = name or self.repo.config["core"].get("remote")
        if name not in known:
            raise UserError(
                f"remote {name!r}: expected one of {', '.join(known) or '(none is configured)'}; "
                "add it with: dvc remote add NAME URL"
            )
        try:
            return Objects(name, self.repo.cloud.get_remote_odb(name))
        except DvcException as error:
            raise UserError(f"remote {name!r}: {short(error)}") from None

    def sources(self, name: str | None = None) -> list[Objects]:
        """Where objects are looked for: a remote, then the mirror if one is configured."""
        first = self.remote(name)
        if MIRROR in self.repo.config["remote"] and first.name != MIRROR:
            return [first, self.remote(MIRROR)]
        return [first]

    def referenced(self) -> set[str]:
        """MD5 of every object that a ``.dvc`` file of this working tree names."""
        used = self.repo.used_objs()
        return {hash_info.value for infos in used.values() for hash_info in infos}


@contextmanager
def opened(locked: bool = False) -> Iterator[Project]:
    """The project of the current folder, for this process alone if ``locked``.

    Raises UserError outside of a project, or if another process has locked it.
    """
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo

    try:
        repo = Repo(".")
    except DvcException as error:
        raise UserError(f"{Path.cwd()}: {short(error)}; run the command in the project folder") from None
    with repo, ExitStack() as stack:
        if locked:
            try:
                stack.enter_context(repo.lock)
            except LockError:
                raise UserError("another DVC command is at work in this project; try again later") from None
        yield Project(repo)


def is_embedded(remote: Objects) -> bool:
    """Whether a remote is the folder in git."""
    return remote.folder is not None and remote.folder.resolve().is_relative_to(EMBEDDED.resolve())


def md5_of(path: Path) -> str:
    """DVC's name of a file: the MD5 of its bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def short(error: Exception) -> str:
    """The first line of a library's message."""
    return (str(error) or type(error).__name__).splitlines()[0]
