"""A push that is killed at any moment leaves nothing half written that anybody would use."""

import os
import shutil
import signal
from collections.abc import Callable
from hashlib import md5
from itertools import count
from pathlib import Path

import m3ae.artifacts.remote
import m3ae.files
from m3ae.artifacts.pull import pull
from m3ae.artifacts.push import push
from m3ae.artifacts.store import dvc_file, read_entries
from m3ae.artifacts.verify import findings, present, selected
from m3ae.config import load_run
from test_artifacts import MODELS, objects, project  # noqa: F401

ENCODERS = ["encoders"]
LIST = dvc_file("micro", "encoders")
FOLDERS = ("data/store", ".dvc/cache", "results")


def dying(call: Callable, when: int, half: bool) -> Callable:
    """``call``, in whose place the process dies the ``when``-th time; with ``half`` a file copied."""
    calls = count(1)

    def replaced(source, target):
        if next(calls) == when:
            if half:
                content = Path(source).read_bytes()
                Path(target).write_bytes(content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return call(source, target)

    return replaced


def push_killed(run, when: int, half: bool) -> bool:
    """Push in a process that dies at a rename, or within a copy; whether it lived."""
    child = os.fork()
    if child == 0:
        try:
            if half:
                m3ae.artifacts.remote.shutil.copyfile = dying(shutil.copyfile, when, half)
            else:
                m3ae.files.os.replace = dying(os.replace, when, half)
            push(run, ENCODERS)
            os._exit(0)
        finally:
            os._exit(1)  # never back into pytest
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code == 0


def check_what_others_see():
    """Every object has the bytes of its name, and what lists name is there."""
    there = [path for path in objects() if not path.name.startswith(".")]
    assert all(md5(path.read_bytes()).hexdigest() == path.parent.name + path.name for path in there)
    listed = {entry.md5 for entry in read_entries(LIST)}
    assert listed <= {path.parent.name + path.name for path in there}


def test_a_push_killed_anywhere_goes_on(project):  # noqa: F811
    run, num_kills = load_run("micro"), 0
    for half in (False, True):
        for when in count(1):
            for folder in ("data/store", ".dvc/cache"):
                shutil.rmtree(folder, ignore_errors=True)
            LIST.unlink(missing_ok=True)
            if push_killed(run, when, half):
                break
            num_kills += 1
            check_what_others_see()
            push(run, ENCODERS)
            check_what_others_see()
            assert not [path for folder in FOLDERS for path in Path(folder).rglob(".*")]
            assert not list(findings(present(selected(run, ENCODERS)), "verifying"))
    assert num_kills == 2 + 2 + 1 + 2 + 2  # two objects to the cache and the remote, and the list
    for model in MODELS:
        run.paths.encoder(model).unlink()
    assert pull(run, ENCODERS).brought == 2
