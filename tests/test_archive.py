"""Archives: any reader opens them, nothing half-written stays, and no more is read than is used."""

import errno
import os

import numpy as np
import pytest
from safetensors.numpy import load_file

from m3ae.errors import UserError
from m3ae.evaluate.archive import Archive, Form, new_archive, write_archive

ARRAYS = {
    "half": np.arange(6, dtype=np.float16).reshape(2, 3),
    "labels": np.array([3, 1, 2], np.int64),
    "bytes": np.array([1, 2, 3], np.uint8),
    "single": np.linspace(0, 1, 5, dtype=np.float32),
    "nothing": np.empty((0, 4), np.float32),
}


def test_the_library_reads_what_is_written_here(tmp_path):
    path = tmp_path / "some.safetensors"
    write_archive(path, ARRAYS, {"why": "a test"})
    found = load_file(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert Archive(path, "features").facts == {"why": "a test"}


def test_the_order_in_which_arrays_are_named_changes_no_byte(tmp_path):
    write_archive(tmp_path / "a", ARRAYS, {"x": 1, "y": 2})
    write_archive(tmp_path / "b", dict(reversed(ARRAYS.items())), {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_arrays_are_maps_and_changes_to_them_stay_in_memory(tmp_path):
    path = tmp_path / "some.safetensors"
    write_archive(path, ARRAYS, {})
    before = path.read_bytes()
    array = Archive(path, "features").array("labels")
    assert isinstance(array, np.memmap)
    array[0] = 99
    assert path.read_bytes() == before


def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "some.safetensors"
    write_archive(path, ARRAYS, {"old": True})
    before = path.read_bytes()

    def fill():
        with new_archive(path, {"x": Form("float32", (3,))}, {}) as arrays:
            arrays["x"][:] = 1
            raise KeyError

    with pytest.raises(KeyError):
        fill()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_a_full_disk_is_one_line_before_anything_is_computed(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    path = tmp_path / "some.safetensors"
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        write_archive(path, ARRAYS, {})
    assert not os.listdir(tmp_path)


def test_a_truncated_file_and_a_missing_array_say_what_to_do(tmp_path):
    path = tmp_path / "some.safetensors"
    write_archive(path, ARRAYS, {})
    with pytest.raises(UserError, match=r"expected an array 'more', found none; .* m3ae features"):
        Archive(path, "features").array("more")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"not a whole archive of this project"):
        Archive(path, "features")
