"""Archives from the web, unpacked with suspicion: files and folders alone, nothing outside the folder."""

import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from m3ae.errors import UserError
from m3ae.files import new_folder

BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


def unpack(archive: Path, inside: str, folder: Path) -> None:
    """Make the archive's folder ``inside`` the new ``folder``, whole or not at all.

    Raises UserError for an archive that is broken, that holds a link, or that names a place outside.
    """
    with new_folder(folder) as partial:
        try:
            if archive.suffix.lower() == ".zip":
                unpack_zip(archive, inside, partial)
            else:
                unpack_tar(archive, inside, partial)
        except BROKEN as error:
            cause = " ".join(str(error).split())
            raise UserError(f"{archive}: does not unpack ({cause}); delete it and get it again") from None
        if not any(partial.iterdir()):
            raise UserError(f"{archive}: expected a folder {inside}, found none; mend the registry's entry")


def unpack_tar(archive: Path, inside: str, folder: Path) -> None:
    """Unpack a tar, compressed or not."""
    with tarfile.open(archive, "r:*") as tar:
        for member in tqdm(tar, desc=f"unpacking {archive.name}", unit=" files", disable=None):
            path = inner_path(archive, member.name, inside)
            if not (member.isfile() or member.isdir()):
                raise UserError(
                    f"{archive}: holds {member.name}, which is a link or a device; do not trust it"
                )
            if path is not None:
                tar.extract(member.replace(name=str(path)), folder, filter="data")


def unpack_zip(archive: Path, inside: str, folder: Path) -> None:
    """Unpack a zip."""
    with zipfile.ZipFile(archive) as file:
        for member in tqdm(file.infolist(), desc=f"unpacking {archive.name}", unit=" files", disable=None):
            path = inner_path(archive, member.filename, inside)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise UserError(f"{archive}: holds {member.filename}, which is a link; do not trust it")
            if path is None or member.is_dir():
                continue
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.open(member) as source, target.open("xb") as copy:
                shutil.copyfileobj(source, copy)


def inner_path(archive: Path, name: str, inside: str) -> PurePosixPath | None:
    """Where a member goes below the new folder; None for what lies beside ``inside``."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise UserError(f"{archive}: holds {name!r}, a place outside its folder; do not trust it")
    if not path.is_relative_to(inside) or path == PurePosixPath(inside):
        return None
    return path.relative_to(inside)
