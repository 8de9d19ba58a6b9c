"""The members of a WebDataset tar, sample by sample, read as a stream: nothing is ever extracted to disk."""

import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, TypeVar

from m3ae.data.source.files import as_utf8
from m3ae.errors import UserError

T = TypeVar("T")
MEMBER = re.compile(r"(?:\./)*((?:.*/)?[^./][^./]*)\.([^/]+)", re.DOTALL)
"""WebDataset cuts a name at the first dot after its folder: key, ending."""


class TarSample(NamedTuple):
    """The members of one key, by ending."""

    key: str
    members: dict[str, tarfile.TarInfo]
    tar: tarfile.TarFile

    def read(self, ending: str) -> bytes:
        """The bytes of a member. Raises ReadError if the tar ends before it does."""
        member = self.members[ending]
        file = self.tar.extractfile(member)
        data = b"" if file is None else file.read()
        if len(data) != member.size:
            raise tarfile.ReadError(f"unexpected end of data in {as_utf8(member.name)}")
        return data


def each_sample(path: Path, read: Callable[[TarSample], T], skipped: Counter[str]) -> Iterator[T]:
    """What ``read`` makes of each sample of a tar: neighbours with the same key, in the tar's order.

    A key that comes again later is named ``key#2``; bytes of a name that are no UTF-8 stand as %XX in it.
    ``skipped`` counts members that are no plain files, or whose names leave the tar. Raises UserError, one
    line, if the tar is broken or cut off.
    """
    seen: Counter[str] = Counter()
    try:
        with tarfile.open(path, "r:", encoding="utf-8") as tar:
            for found, group in groupby(plain_members(tar, skipped), lambda named: named[0]):
                key = as_utf8(found)
                seen[key] += 1
                name = key if seen[key] == 1 else f"{key}#{seen[key]}"
                members: dict[str, tarfile.TarInfo] = {}
                for _, ending, member in group:
                    members.setdefault(as_utf8(ending.lower()), member)
                yield read(TarSample(name, members, tar))
            check_end(tar)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(
            f"{path}: broken tar ({error}); bring it again, or take it out of the source and "
            "run m3ae data source again"
        ) from None


def plain_members(tar: tarfile.TarFile, skipped: Counter[str]) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """Key, ending and member of each plain file, in memory for one member at a time."""
    for member in tar:
        tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
        if (problem := problem_of(member)) is not None:
            skipped[problem] += 1
        elif (match := MEMBER.fullmatch(member.name)) is not None:
            yield match[1], match[2], member
        elif not member.isdir():
            skipped["name"] += 1


def problem_of(member: tarfile.TarInfo) -> str | None:
    """Why a member is not looked at; folders are none."""
    if member.issym() or member.islnk():
        return "link"
    if member.isdev():
        return "device"
    if member.name.startswith("/") or ".." in member.name.split("/"):
        return "outside"
    return None


def check_end(tar: tarfile.TarFile) -> None:
    """Raise ReadError unless the tar ends as tars do, with a block of zeros.

    Python takes a damaged header for the end, which would lose all samples behind it.
    """
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    block = tar.fileobj.read(tarfile.BLOCKSIZE)
    if block != bytes(tarfile.BLOCKSIZE):
        what = "damaged header" if block else "no end mark"
        raise tarfile.ReadError(f"{what} at byte {tar.offset}")
