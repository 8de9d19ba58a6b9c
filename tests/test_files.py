"""Files and folders are whole or absent, and what was there before survives every failure."""

import subprocess
import sys
from pathlib import Path

import pytest

from m3ae.errors import UserError
from m3ae.files import atomic_path, atomic_write, new_folder, remove_abandoned, write_text


def listing(folder):
    return {path.name: path.read_text() for path in sorted(folder.iterdir()) if path.is_file()}


def write_and_fail(path):
    with atomic_write(path, "w") as file:
        file.write("new")
        raise ZeroDivisionError


def replace(path, text, fails=False):
    with new_folder(path) as folder:
        (folder / "a").write_text(text)
        if fails:
            raise ZeroDivisionError


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError):
        write_and_fail(tmp_path / "a")
    assert listing(tmp_path) == {"a": "old"}


HOLD = """
import sys, time
from m3ae.files import atomic_path
with atomic_path("a") as partial:
    partial.write_text("half")
    print(partial, flush=True)
    time.sleep(600)
"""


def test_what_a_living_process_writes_is_not_abandoned_and_what_a_killed_one_left_is(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD], cwd=tmp_path, stdout=subprocess.PIPE) as writer:
        partial = tmp_path / writer.stdout.readline().decode().strip()
        remove_abandoned(tmp_path, ".a.*")
        assert partial.read_text() == "half"
        writer.kill()
    with atomic_path(tmp_path / "a") as own:
        remove_abandoned(tmp_path, ".a.*")
        assert list(tmp_path.iterdir()) == [own]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_is_as_private_as_its_user_wants(tmp_path, umask, mode):
    line = "from m3ae.files import write_text; write_text('a', '')"
    subprocess.run([sys.executable, "-c", line], cwd=tmp_path, umask=umask, check=True)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "deep/folder"
    replace(folder, "old")
    (folder / "b").write_text("what the next call does not make")
    replace(folder, "new")
    assert listing(folder) == {"a": "new"}
    assert list(folder.parent.iterdir()) == [folder]


def test_a_failure_while_it_is_filled_keeps_the_old_folder(tmp_path):
    replace(tmp_path / "folder", "old")
    with pytest.raises(ZeroDivisionError):
        replace(tmp_path / "folder", "new", fails=True)
    assert listing(tmp_path / "folder") == {"a": "old"}


def test_a_failure_between_the_two_renames_puts_the_old_folder_back(tmp_path, monkeypatch):
    replace(tmp_path / "folder", "old")
    rename = Path.rename

    def fail_for_the_new(self, target):
        if self.name.endswith(".partial"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new)
    with pytest.raises(UserError, match="the earlier content is kept"):
        replace(tmp_path / "folder", "new")
    assert listing(tmp_path / "folder") == {"a": "old"}


def test_a_kill_between_the_two_renames_is_mended_by_the_next_call(tmp_path):
    replace(tmp_path / "folder", "old")
    (tmp_path / "folder").rename(tmp_path / ".folder.old")
    with pytest.raises(ZeroDivisionError):
        replace(tmp_path / "folder", "new", fails=True)
    assert listing(tmp_path / "folder") == {"a": "old"}
