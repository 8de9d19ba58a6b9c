"""`m3ae artifacts`: what is pushed can be pulled, whole or not at all, by it and by plain `dvc pull`."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from hashlib import md5
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from dvc.repo import Repo

from m3ae.artifacts.gc import remove, unused
from m3ae.artifacts.listing import listing
from m3ae.artifacts.pull import pull
from m3ae.artifacts.push import push
from m3ae.artifacts.store import Entry, dvc_file, read_entries, write_entries
from m3ae.artifacts.verify import findings, present, selected
from m3ae.cli.main import main
from m3ae.config import load_run
from m3ae.data.manifest import PACKED
from m3ae.data.shards import Pairs
from m3ae.errors import UserError
from made_shards import captions_of, jpegs, write_shards
from small_project import CHECKOUT, make_config
from trained_files import vouch_for_encoder

MODELS = ["m3ae-b100", "mae-b100"]
SETTINGS = (".dvc/config", ".dvc/.gitignore", ".gitignore", ".dvcignore")


def git(*arguments):
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "core.hooksPath=/dev/null"]
    subprocess.run(["git", *identity, *arguments], capture_output=True, check=True)


def write_encoder(run, model, content):
    """An encoder of made-up bytes, with the record that vouches for it."""
    path = run.paths.encoder(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    vouch_for_encoder(run, model)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder in git and DVC with two encoders and their records; the current one."""
    folder = tmp_path / "first"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in SETTINGS:
        Path(name).parent.mkdir(exist_ok=True)
        shutil.copy(CHECKOUT / name, name)
    make_config(folder)
    git("init", "-q", "-b", "main")
    run = load_run("micro")
    for number, model in enumerate(MODELS):
        write_encoder(run, model, bytes([number]) * 1000)
    return folder


def commit():
    git("add", "-A")
    git("commit", "-qm", "publish")


def clone(project, monkeypatch):
    """A fresh clone, now the current folder."""
    commit()
    second = project.parent / "second"
    subprocess.run(["git", "clone", "-q", str(project), str(second)], check=True)
    monkeypatch.chdir(second)
    return second


def objects(folder="data/store"):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def object_of(path, folder="data/store"):
    entry = next(e for e in read_entries(dvc_file("micro", "encoders")) if e.path == path)
    return Path(folder) / "files/md5" / entry.md5[:2] / entry.md5[2:]


def test_a_push_can_be_pulled_by_plain_dvc_in_a_fresh_clone(project, monkeypatch):
    run = load_run("micro")
    push(run)
    assert Repo(".").status() == {}
    assert not list(Path("results").rglob(".gitignore"))
    clone(project, monkeypatch)
    assert not run.paths.encoder("mae-b100").exists()
    with Repo(".") as repo:
        repo.pull()
        assert repo.status() == {}
    for model in MODELS:
        for path in (run.paths.encoder(model), run.paths.record(model, "pretrain")):
            assert path.read_bytes() == (project / path).read_bytes()
    assert not list(findings(present(selected(run)), "check"))
    assert subprocess.run(["git", "status", "--porcelain"], capture_output=True).stdout == b""


def test_lists_are_small_sorted_and_the_same_again(project):
    run = load_run("micro")
    files = push(run, ["encoders"]).files
    assert files == [Path("results/micro-encoders.dvc")]
    first = files[0].read_bytes()
    assert [entry.path for entry in read_entries(files[0])] == [run.paths.encoder(m) for m in MODELS]
    assert read_entries(files[0])[1].md5 == md5(b"\1" * 1000).hexdigest()
    again = push(run, ["encoders"])
    assert (again.num_sent, files[0].read_bytes()) == (0, first)


def test_a_part_is_pushed_and_the_rest_stays_listed(project):
    run = load_run("micro")
    push(run, ["encoders"], ["mae-b100"])
    push(run, ["encoders"], ["m3ae-b100"])
    assert [entry.model for entry in read_entries(dvc_file("micro", "encoders"))] == MODELS
    assert not dvc_file("micro", "records").exists()


def test_a_part_is_pulled(project, monkeypatch):
    run = load_run("micro")
    push(run)
    clone(project, monkeypatch)
    assert pull(run, ["encoders"], ["mae-b100"])[:2] == (1, 0)
    assert run.paths.encoder("mae-b100").is_file()
    assert not run.paths.encoder("m3ae-b100").exists()
    assert pull(run, ["encoders"])[:2] == (1, 1)
    with pytest.raises(UserError, match=r"nothing like that is published; what is: encoders \(2\)"):
        pull(run, ["features"])


def test_what_does_not_match_its_record_is_not_pushed(project):
    run = load_run("micro")
    run.paths.encoder("mae-b100").write_bytes(b"swapped")
    with pytest.raises(UserError, match=r"1 of \d do not match:\n.*mae-b100/encoder.*expected sha256"):
        push(run)
    assert not objects()
    assert not dvc_file("micro", "encoders").exists()


def test_verify_names_each_that_does_not_match_and_exits_with_one(project):
    run = load_run("micro")
    assert CliRunner().invoke(main, ["artifacts", "verify", "--run", "micro"]).exit_code == 0
    for model in MODELS:
        run.paths.encoder(model).write_bytes(b"swapped")
    result = CliRunner().invoke(main, ["artifacts", "verify", "--run", "micro"])
    assert result.exit_code == 1
    for model in MODELS:
        assert f"results/micro/{model}/encoder.safetensors: expected sha256" in result.output


def test_one_changed_digit_of_a_record_is_a_finding(project):
    path = load_run("micro").paths.record("mae-b100", "pretrain")
    path.write_text(path.read_text().replace('"seeds": [\n  42', '"seeds": [\n  43'))
    assert "was edited" in CliRunner().invoke(main, ["artifacts", "verify", "--run", "micro"]).output


def test_a_record_under_another_models_name_is_a_finding(project):
    paths = load_run("micro").paths
    paths.record("mae-b100", "pretrain").write_bytes(paths.record("m3ae-b100", "pretrain").read_bytes())
    said = CliRunner().invoke(main, ["artifacts", "verify", "--run", "micro", "--kind", "records"]).output
    assert f"{paths.record('mae-b100', 'pretrain')}: is the record of results/micro/m3ae-b100/pre" in said


@pytest.mark.parametrize("content", [b"corrupted", b"\1" * 500, b""], ids=["corrupted", "truncated", "empty"])
@pytest.mark.parametrize("by", ["us", "dvc"])
def test_a_damaged_object_is_named_and_not_used(project, monkeypatch, content, by):
    run = load_run("micro")
    push(run, ["encoders"])
    clone(project, monkeypatch)
    path = run.paths.encoder("mae-b100")
    object_of(path).write_bytes(content)
    if by == "us":
        with pytest.raises(UserError, match=r"mae-b100/encoder.*damaged in 'embedded'\n1 of 2 were brought"):
            pull(run)
    else:
        with pytest.raises(Exception, match=r"mae-b100/encoder"), Repo(".") as repo:
            repo.pull()
    assert not path.exists()
    assert not leftovers()
    assert run.paths.encoder("m3ae-b100").is_file()
    git("checkout", "data/store")
    assert pull(run)[:2] == (1, 1)
    assert path.read_bytes() == b"\1" * 1000


def leftovers():
    """Files under a temporary name."""
    return [path for folder in ("results", ".dvc/cache", "data") for path in Path(folder).rglob(".*")]


def test_a_damaged_object_is_sent_again(project):
    run = load_run("micro")
    push(run, ["encoders"])
    object_of(run.paths.encoder("mae-b100")).write_bytes(b"truncat")
    assert push(run, ["encoders"]).num_sent == 1
    assert object_of(run.paths.encoder("mae-b100")).read_bytes() == b"\1" * 1000


def test_the_mirror_has_what_the_first_remote_lacks(project, monkeypatch):
    run = load_run("micro")
    push(run, ["encoders"])
    clone(project, monkeypatch)
    shutil.copytree("data/store", project.parent / "elsewhere")
    one, other = (object_of(run.paths.encoder(model)) for model in MODELS)
    one.unlink()
    other.write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"(?s)not in 'embedded'\n.*damaged in 'embedded'\n0 of 2"):
        pull(run)
    with Repo(".").config.edit("repo") as config:
        config["remote"]["mirror"] = {"url": str(project.parent / "elsewhere")}
    assert pull(run).brought == 2
    assert run.paths.encoder("m3ae-b100").read_bytes() == bytes(1000)


def test_a_mirror_that_does_not_answer_is_named(project, monkeypatch):
    run = load_run("micro")
    push(run, ["encoders"])
    clone(project, monkeypatch)
    object_of(run.paths.encoder("mae-b100")).unlink()
    with Repo(".").config.edit("repo") as config:
        config["remote"]["mirror"] = {"url": "/proc/none"}
    with pytest.raises(UserError, match=r"not in 'embedded', not in 'mirror'\n1 of 2 were brought"):
        pull(run)


def full_after(num):
    """`shutil.copyfile` on a disk that is full after ``num`` files."""
    copyfile, done = shutil.copyfile, []

    def copy(source, target):
        if len(done) == num:
            Path(target).write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        done.append(target)
        return copyfile(source, target)

    return copy


@pytest.mark.parametrize("num", [0, 1, 2, 3], ids=["cache-1", "cache-2", "remote-1", "remote-2"])
def test_a_push_to_a_full_disk_is_one_line_and_a_second_goes_on(project, monkeypatch, num):
    run = load_run("micro")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full_after(num))
        result = CliRunner().invoke(main, ["artifacts", "push", "--run", "micro", "--kind", "encoders"])
    assert result.exit_code == 1
    assert "No space left on device" in result.output
    assert not dvc_file("micro", "encoders").exists()
    assert not leftovers()
    assert push(run, ["encoders"]).num_sent == (1 if num == 3 else 2)
    assert len(objects()) == 2


@pytest.mark.parametrize("num", [0, 1, 2, 3], ids=["cache-1", "place-1", "cache-2", "place-2"])
def test_a_pull_to_a_full_disk_is_one_line_and_a_second_goes_on(project, monkeypatch, num):
    run = load_run("micro")
    push(run, ["encoders"])
    clone(project, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full_after(num))
        result = CliRunner().invoke(main, ["artifacts", "pull", "--run", "micro"])
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "cannot be written (No space left on device)" in result.output
    assert [run.paths.encoder(model).exists() for model in MODELS] == [num > 1, False]
    assert not leftovers()
    assert pull(run)[:2] == (2 - num // 2, num // 2)


def test_a_pull_replaces_nothing_unasked(project, monkeypatch):
    run = load_run("micro")
    push(run, ["encoders"])
    clone(project, monkeypatch)
    mine = run.paths.encoder("mae-b100")
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"trained here")
    with pytest.raises(UserError, match=r"mae-b100/encoder.*differs from what is published"):
        pull(run)
    assert mine.read_bytes() == b"trained here"
    assert pull(run, force=True).brought == 2
    assert mine.read_bytes() == b"\1" * 1000


def test_the_embedded_remote_stays_below_its_limit(project, monkeypatch):
    run = load_run("micro")
    monkeypatch.setattr("m3ae.artifacts.push.LIMIT", 1500)
    push(run, ["encoders"], ["mae-b100"])
    with pytest.raises(UserError, match=r"data/store would hold 2.0 kB, of which 1.0 kB new.*1.5 kB"):
        push(run, ["encoders"])
    assert len(objects()) == 1
    assert [entry.model for entry in read_entries(dvc_file("micro", "encoders"))] == ["mae-b100"]


def test_another_remote_has_no_limit(project, monkeypatch):
    monkeypatch.setattr("m3ae.artifacts.push.LIMIT", 1500)
    with Repo(".").config.edit("repo") as config:
        config["remote"]["lab"] = {"url": str(project.parent / "lab")}
    assert push(load_run("micro"), ["encoders"], remote="lab").num_sent == 2
    assert not objects()
    assert len(objects(project.parent / "lab")) == 2
    with pytest.raises(UserError, match=r"remote 'labs': expected one of embedded, lab"):
        push(load_run("micro"), remote="labs")


def test_unused_objects_are_named_and_removed_only_if_asked(project):
    run = load_run("micro")
    push(run, ["encoders"])
    commit()
    before = objects()
    write_encoder(run, "mae-b100", b"trained again")
    push(run, ["encoders"])
    assert [found.size for found in unused()] == [1000]
    assert set(before) <= set(objects())
    remove(unused())
    assert (len(objects()), unused()) == (2, [])
    assert Repo(".").status(cloud=True) == {}


def test_what_is_in_git_is_not_pushed(project):
    run = load_run("micro")
    git("add", "-f", str(run.paths.record("mae-b100", "pretrain")))
    listed = [entry.path for entry in push(run, ["records"]).entries["records"]]
    assert listed == [run.paths.record("m3ae-b100", "pretrain")]


def test_pictures_and_captions_of_others_never_go_into_git(project):
    settings = Path("config/micro.yaml")
    settings.write_text(settings.read_text() + "data: {source: {kind: flickr8k, heldout_split: test}}\n")
    run = load_run("micro")
    with pytest.raises(UserError, match=r"shards of run 'micro' hold pictures or captions"):
        push(run, ["shards"])


def test_what_may_not_go_into_git_is_left_out_and_said(project):
    settings = Path("config/micro.yaml")
    settings.write_text(settings.read_text() + "data: {source: {kind: flickr8k, heldout_split: test}}\n")
    run = load_run("micro")
    for model in MODELS:  # whose data are others now
        write_encoder(run, model, b"encoder of " + model.encode())
    run.paths.tokenizer.parent.mkdir(parents=True)
    run.paths.tokenizer.write_text("{}")
    with Repo(".").config.edit("repo") as config:
        config["remote"]["lab"] = {"url": str(project.parent / "lab")}
    result = CliRunner().invoke(main, ["artifacts", "push", "--run", "micro"])
    assert "left out: tokens" in result.output
    assert not dvc_file("micro", "tokens").exists()
    assert push(run, ["tokens"], remote="lab").num_sent == 1


def test_verify_tells_what_was_made_again_since_the_push(project):
    run = load_run("micro")
    push(run, ["encoders"])
    write_encoder(run, "mae-b100", b"trained again")
    result = CliRunner().invoke(main, ["artifacts", "verify", "--run", "micro"])
    assert result.exit_code == 0
    assert "1 differ from what is published, such as results/micro/mae-b100/encoder" in result.output


def test_what_a_killed_push_left_is_cleared_away_and_never_in_git(project):
    run = load_run("micro")
    push(run, ["encoders"])
    commit()
    half = object_of(run.paths.encoder("mae-b100")).with_name(".half.x1y2")
    half.write_bytes(b"half")
    assert subprocess.run(["git", "status", "--porcelain"], capture_output=True).stdout == b""
    push(run, ["encoders"])
    assert not half.exists()


def test_what_a_killed_pull_left_is_cleared_away(project):
    run = load_run("micro")
    push(run, ["encoders"])
    path = run.paths.encoder("mae-b100")
    path.unlink()
    half = path.with_name(f".{path.name}.x1y2")
    half.write_bytes(b"half")
    assert pull(run, ["encoders"]).brought == 1
    assert [each.name for each in path.parent.glob("*encoder*")] == [path.name]
    assert not half.exists()


def test_the_list_says_where_artifacts_lie(project):
    run = load_run("micro")
    places = {line.path: line.places for line in listing(run, ["encoders"])}
    encoder, other = (run.paths.encoder(model).as_posix() for model in MODELS)
    assert places[encoder] == places[other] == ["here"]
    push(run, ["encoders"], ["mae-b100"])
    Path(other).unlink()
    Path(encoder).unlink()
    result = CliRunner().invoke(main, ["artifacts", "list", "--run", "micro", "--kind", "encoders", "--json"])
    lines = {line["path"]: line for line in json.loads(result.output)}
    assert (lines[other]["places"], lines[other]["size"]) == (["cache", "embedded"], 1000)
    assert lines.get(encoder, {"places": []})["places"] == []


def test_a_broken_list_is_named(project):
    write_entries(dvc_file("micro", "encoders"), [Entry(Path("a"), "0" * 32, 1)])
    assert read_entries(dvc_file("micro", "encoders")) == [Entry(Path("a"), "0" * 32, 1)]
    dvc_file("micro", "encoders").write_text("outs: [")
    with pytest.raises(UserError, match=r"results/micro-encoders.dvc: expected wdir"):
        pull(load_run("micro"))


def test_the_commands_start_without_dvc():
    code = (
        "import sys; from m3ae.cli.main import main; main.get_command(None, 'artifacts'); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"dvc", "torch", "numpy", "dvc.repo"} & set(loaded.split())


def test_kinds_are_checked():
    result = CliRunner().invoke(main, ["artifacts", "push", "--run", "tiny", "--kind", "encoder"])
    assert result.exit_code == 1
    assert "--kind encoder: expected one of" in result.output


@pytest.fixture
def server(tmp_path):
    """A folder served over HTTP on this machine, and its address."""
    handler = partial(QuietHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_a_mirror_over_http(project, monkeypatch, server):
    run = load_run("micro")
    push(run, ["encoders"])
    clone(project, monkeypatch)
    shutil.move("data/store", project.parent / "served")
    with Repo(".").config.edit("repo") as config:
        config["remote"]["mirror"] = {"url": server}
    assert [line.places for line in listing(run, ["encoders"], ["mae-b100"])] == [["mirror"]]
    object_of(run.paths.encoder("mae-b100"), project.parent / "served").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"not in 'embedded', damaged in 'mirror'\n1 of 2 were brought"):
        pull(run)
    assert run.paths.encoder("m3ae-b100").read_bytes() == bytes(1000)


@pytest.fixture
def with_shards(project, monkeypatch):
    """The project with a folder of clean shards, and a second remote without a limit."""
    monkeypatch.delenv("M3AE_SHARDS_URL", raising=False)
    with Repo(".").config.edit("repo") as config:
        config["remote"]["lab"] = {"url": str(project.parent / "lab")}
    folder = load_run("micro").paths.shards("train")
    write_shards(folder, jpegs(12), captions_of(12))
    return folder


def shards_listed():
    return {entry.path.name for entry in read_entries(dvc_file("micro", "shards"))}


def test_shards_are_published_packed_in_git_and_as_they_are_elsewhere(with_shards, project, monkeypatch):
    run, tars = load_run("micro"), {"00000.tar", "00001.tar", "00002.tar"}
    push(run, ["shards"], remote="lab")
    assert tars <= shards_listed()
    push(run, ["shards"])
    assert shards_listed() & {*tars, PACKED} == {PACKED}
    push(run, ["manifests"])
    expected = {name: (with_shards / name).read_bytes() for name in tars}
    clone(project, monkeypatch)
    assert "4 files brought" in CliRunner().invoke(main, ["artifacts", "pull", "--run", "micro"]).output
    assert not list(run.paths.shards("train").glob("*.tar"))
    assert len(Pairs(run.paths.shards("train"))) == 12
    assert {name: (run.paths.shards("train") / name).read_bytes() for name in tars} == expected


def test_a_packed_file_is_verified_by_what_it_holds(with_shards):
    run = load_run("micro")
    push(run, ["shards"])
    assert verified(run, "shards") == []
    write_shards(with_shards, jpegs(12, first_seed=50), captions_of(12))
    assert "shards.tar.xz: 00000.tar: expected sha256" in " ".join(verified(run, "shards"))


def verified(run, kind):
    return list(findings(present(selected(run, [kind])), "verifying"))
