"""Tars that were published packed are unpacked by whoever reads the shards: the same bytes, or one line."""

import lzma
import shutil
import tarfile
from io import BytesIO

import pytest

from m3ae.data.clean.verify import find_broken
from m3ae.data.manifest import PACKED, read_manifest
from m3ae.data.packed import finding, pack
from m3ae.data.shards import Pairs
from m3ae.errors import UserError
from made_shards import captions_of, jpegs, write_shards

NUM = 12
NAMES = ["00000.tar", "00001.tar", "00002.tar"]


@pytest.fixture(autouse=True)
def nothing_remote(monkeypatch):
    monkeypatch.delenv("M3AE_SHARDS_URL", raising=False)


@pytest.fixture
def folder(tmp_path):
    """Three tars and the packed file that holds them."""
    write_shards(tmp_path / "train", jpegs(NUM), captions_of(NUM))
    pack(tmp_path / "train")
    return tmp_path / "train"


def take_tars(folder):
    """The bytes of the tars, which are removed."""
    content = {name: (folder / name).read_bytes() for name in NAMES}
    for name in NAMES:
        (folder / name).unlink()
    return content


def write_packed(folder, members):
    with tarfile.open(folder / PACKED, "w:xz") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))


def test_missing_tars_are_unpacked_when_the_shards_are_read(folder):
    expected = take_tars(folder)
    assert [Pairs(folder).jpeg(id) for id in range(NUM)] == jpegs(NUM)
    assert {name: (folder / name).read_bytes() for name in NAMES} == expected
    assert sorted(path.name for path in folder.glob(".*")) == []


def test_checksums_of_packed_shards_can_be_verified(folder):
    take_tars(folder)
    assert find_broken(folder, read_manifest(folder / "manifest.json")) == []


def test_tars_that_are_there_are_left_alone(folder):
    (folder / "00001.tar").unlink()
    (folder / "00000.tar").write_bytes(b"of the user")
    with pytest.raises(UserError, match=r"00000\.tar: expected \d+ bytes, found 11"):
        Pairs(folder)
    assert (folder / "00000.tar").read_bytes() == b"of the user"
    assert (folder / "00001.tar").is_file()


def test_the_same_tars_give_the_same_bytes_and_are_packed_once(folder):
    before = (folder / PACKED).read_bytes()
    (folder / PACKED).unlink()
    made = pack(folder).stat().st_mtime_ns
    assert (folder / PACKED).read_bytes() == before
    assert pack(folder).stat().st_mtime_ns == made


def test_a_tar_that_is_not_the_manifests_is_not_packed(folder):
    (folder / PACKED).unlink()
    (folder / "00002.tar").write_bytes(b"another")
    with pytest.raises(UserError, match=r"00002\.tar: expected sha256 \w{12}, as manifest\.json states"):
        pack(folder)
    assert not (folder / PACKED).exists()


def edited(content):
    return content[:-1] + bytes([content[-1] ^ 1])


BROKEN = {
    "cut off": (lambda packed, tars: packed[: len(packed) // 2], r"cannot be unpacked"),
    "no archive": (lambda packed, tars: b"<html>not found</html>", r"cannot be unpacked"),
    "empty": (lambda packed, tars: b"", r"cannot be unpacked"),
    "no tar inside": (lambda packed, tars: lzma.compress(bytes(range(256)) * 8), r"cannot be unpacked"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_packed_file_is_named_and_nothing_half_written_stays(folder, kind):
    change, message = BROKEN[kind]
    content = (folder / PACKED).read_bytes()
    tars = take_tars(folder)
    (folder / PACKED).write_bytes(change(content, tars))
    with pytest.raises(UserError, match=rf"shards\.tar\.xz: {message}.*bring it again"):
        Pairs(folder)
    assert finding(folder / PACKED) is not None
    for path in folder.glob("*.tar"):  # what came before the break is whole
        assert path.read_bytes() == tars[path.name]


OTHERS = {
    "a changed byte": (
        lambda tars: {**tars, "00001.tar": edited(tars["00001.tar"])},
        r"00001\.tar: expected sha256",
    ),
    "another size": (lambda tars: {**tars, "00001.tar": b"short"}, r"expected the tars.*found '00001\.tar'"),
    "another name": (lambda tars: {**tars, "../../00003.tar": b"outside"}, r"found '\.\./\.\./00003\.tar'"),
    "one too few": (
        lambda tars: {name: tars[name] for name in NAMES[:2]},
        r"expected 00002\.tar, found no such",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_packed_file_with_other_tars_is_refused(folder, kind):
    change, message = OTHERS[kind]
    tars = take_tars(folder)
    write_packed(folder, change(tars).items())
    with pytest.raises(UserError, match=message):
        Pairs(folder)
    assert finding(folder / PACKED) is not None
    assert not (folder.parent.parent / "00003.tar").exists()
    for path in folder.glob("*.tar"):
        assert path.read_bytes() == tars[path.name]


def test_packed_shards_that_lie_behind_a_network_are_not_unpacked(folder, monkeypatch):
    take_tars(folder)
    monkeypatch.setenv("M3AE_SHARDS_URL", "http://127.0.0.1:9/shards")
    Pairs(folder)
    assert not list(folder.glob("*.tar"))


def test_a_copy_elsewhere_is_read_too(folder, tmp_path):
    take_tars(folder)
    shutil.copytree(folder, tmp_path / "copy")
    assert len(Pairs(tmp_path / "copy")) == NUM
