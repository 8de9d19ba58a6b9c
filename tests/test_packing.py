"""Encoders that were published packed are unpacked by whoever reads them: the same bytes, or one line."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from dvc.repo import Repo
from safetensors.torch import load_file, save_file

from m3ae.artifacts.listing import listing
from m3ae.artifacts.push import push
from m3ae.artifacts.recognise import recognise
from m3ae.artifacts.store import dvc_file, read_entries
from m3ae.artifacts.verify import findings, present, selected
from m3ae.cli.main import main
from m3ae.config import load_run
from m3ae.errors import UserError
from m3ae.evaluate.encoder import checked_encoder
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import load_encoder, save_encoder
from m3ae.packing import ENCODER, HEADER, PACKED_ENCODER, SHA256, finding, hash_in, pack, unpacked
from m3ae.pretrained.load import load_pretrained
from test_artifacts import clone, commit, project, write_encoder  # noqa: F401  (project is a fixture)
from trained_files import vouch_for_encoder

MODEL = "m3ae-b100"


def weights(path, dtype=torch.float16, seed=0):
    """A small encoder at ``path``, in half precision."""
    torch.manual_seed(seed)
    model = M3AE(Architecture(32, 1, 2, 32, 1, 2, image_px=16, patch_px=8, vocab_size=50))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_encoder(model.to(dtype), path)
    return path


@pytest.fixture
def encoder(tmp_path):
    return weights(tmp_path / ENCODER)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_what_was_packed_comes_back_to_the_byte(tmp_path, dtype):
    path = weights(tmp_path / ENCODER, dtype)
    before = path.read_bytes()
    packed = pack(path)
    assert packed.name == PACKED_ENCODER
    assert packed.stat().st_size < 0.95 * len(before)
    path.unlink()
    assert unpacked(path).read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == [PACKED_ENCODER, ENCODER]


def test_tensors_of_several_precisions_come_back(tmp_path):
    tensors = {"a": torch.randn(3, 5), "b": torch.randn(7).half(), "c": torch.randn(()).bfloat16()}
    save_file(tensors, tmp_path / ENCODER)
    pack(tmp_path / ENCODER)
    (tmp_path / ENCODER).unlink()
    found = load_file(unpacked(tmp_path / ENCODER))
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_the_same_weights_are_packed_once_and_others_anew(encoder):
    first = pack(encoder)
    content, time_ns = first.read_bytes(), first.stat().st_mtime_ns
    assert pack(encoder).stat().st_mtime_ns == time_ns
    first.unlink()
    assert pack(encoder).read_bytes() == content
    weights(encoder, seed=1)
    assert pack(encoder).read_bytes() != content


def test_a_file_that_is_no_safetensors_is_left_as_it_is(tmp_path):
    for content in (b"", b"short", bytes(1000), (5).to_bytes(8, "little") + b"[1,2]rest"):
        (tmp_path / ENCODER).write_bytes(content)
        assert pack(tmp_path / ENCODER) == tmp_path / ENCODER
    assert not (tmp_path / PACKED_ENCODER).exists()


def test_every_reader_unpacks_first(encoder):
    expected = load_encoder(encoder).state_dict()
    pack(encoder)
    for read in (load_encoder, load_pretrained, lambda path: load_pretrained(path.with_name(PACKED_ENCODER))):
        encoder.unlink()
        read(encoder)
        assert all(torch.equal(load_encoder(encoder).state_dict()[name], expected[name]) for name in expected)


def test_only_an_encoders_own_file_is_looked_for(tmp_path):
    pack(weights(tmp_path / ENCODER))
    with pytest.raises(UserError, match=r"other\.safetensors: no such weights"):
        load_encoder(tmp_path / "other.safetensors")


def edited(packed):
    """Changed tensors under the hash of the old ones."""
    table = pq.ParquetFile(packed).read()
    words = pa.array([bytes(2)] * table.num_rows, pa.binary(2))
    pq.write_table(pa.Table.from_arrays([words], schema=table.schema), packed)


BROKEN = {
    "cut off": (lambda packed: packed.write_bytes(packed.read_bytes()[:-900]), "cannot be unpacked"),
    "empty": (lambda packed: packed.write_bytes(b""), "cannot be unpacked"),
    "a web page": (lambda packed: packed.write_bytes(b"<html>not found</html>"), "cannot be unpacked"),
    "another table": (lambda packed: pq.write_table(pa.table({"a": [1]}), packed), "cannot be unpacked"),
    "other tensors": (edited, r"expected weights of sha256 \w{12}, found \w{12}"),
    "a column of text": (
        lambda packed: pq.write_table(
            pa.table({"words": ["a"]}).replace_schema_metadata({HEADER: b"", SHA256: b"0" * 64}), packed
        ),
        "cannot be unpacked",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_packed_file_is_named_and_nothing_is_written(encoder, kind):
    damage, message = BROKEN[kind]
    packed = pack(encoder)
    encoder.unlink()
    damage(packed)
    with pytest.raises(
        UserError, match=rf"encoder\.parquet: {message}.*bring it again.*or remove it"
    ) as raised:
        load_encoder(encoder)
    assert "\n" not in str(raised.value)
    assert [file.name for file in encoder.parent.iterdir()] == [PACKED_ENCODER]


def test_a_packed_file_is_held_against_the_hash_of_the_record(encoder):
    packed = pack(encoder)
    assert finding(packed, hash_in(packed)) is None
    assert "expected weights of sha256 000000000000" in finding(packed, "0" * 64)


@pytest.fixture
def published(project, monkeypatch):  # noqa: F811
    """The run of a fresh clone in which nothing but the lists and the embedded remote lies."""
    run = load_run("micro")
    weights(run.paths.encoder(MODEL))
    vouch_for_encoder(run, MODEL)
    push(run)
    clone(project, monkeypatch)
    return run


def dvc_pull():
    Repo(".").pull()


def test_encoders_are_published_packed_in_git_and_as_they_are_elsewhere(project, tmp_path):  # noqa: F811
    run = load_run("micro")
    with Repo(".").config.edit("repo") as config:
        config["remote"]["lab"] = {"url": str(tmp_path / "lab")}
    weights(run.paths.encoder(MODEL))
    vouch_for_encoder(run, MODEL)
    for remote, name in ((None, PACKED_ENCODER), ("lab", ENCODER), (None, PACKED_ENCODER)):
        push(run, ["encoders"], [MODEL], remote=remote)
        assert [entry.path.name for entry in read_entries(dvc_file("micro", "encoders"))] == [name]


def test_after_dvc_pull_the_workflow_and_every_command_find_the_encoder(published):
    encoder = published.paths.encoder(MODEL)
    dvc_pull()
    assert not encoder.exists()
    line = next(line for line in listing(published, ["encoders"], [MODEL]))
    assert (line.path, line.places, line.published) == (str(encoder), ["here", "cache", "embedded"], True)
    checked_encoder(published, MODEL)
    encoder.unlink()
    recognise(published)
    assert encoder.is_file()
    assert list(findings(present(selected(published, ["encoders"])), "verifying")) == []


def test_artifacts_pull_unpacks(published):
    result = CliRunner().invoke(main, ["artifacts", "pull", "--run", "micro", "--kind", "encoders"])
    assert result.exit_code == 0
    assert published.paths.encoder(MODEL).is_file()


def test_a_packed_encoder_of_which_the_record_does_not_speak_stays_packed(published):
    """Trained again and killed, or a record of other weights: what is published must not pass for it."""
    dvc_pull()
    encoder = published.paths.encoder(MODEL)
    published.paths.record(MODEL, "pretrain").unlink()
    recognise(published)
    assert not encoder.exists()
    weights(encoder, seed=1)
    vouch_for_encoder(published, MODEL)
    encoder.unlink()
    recognise(published)
    assert not encoder.exists()
    wrong = list(findings(present(selected(published, ["encoders"], [MODEL])), "verifying"))
    assert len(wrong) == 1
    assert "encoder.parquet: expected weights of sha256" in wrong[0]


def test_an_encoder_that_was_swapped_by_hand_is_left_and_noticed(published):
    dvc_pull()
    encoder = published.paths.encoder(MODEL)
    weights(encoder, seed=1)
    own = encoder.read_bytes()
    recognise(published)
    assert encoder.read_bytes() == own  # planned again with a line: nobody's file is taken away
    with pytest.raises(UserError, match=r"encoder\.safetensors: expected the weights \w{12} that"):
        checked_encoder(published, MODEL)


def test_an_encoder_of_ones_own_is_replaced_by_force_alone(published):
    dvc_pull()
    encoder = published.paths.encoder(MODEL)
    weights(encoder, seed=1)
    own = encoder.read_bytes()
    for options, stays in (([], True), (["--force"], False)):
        arguments = ["artifacts", "pull", "--run", "micro", "--kind", "encoders", *options]
        assert CliRunner().invoke(main, arguments).exit_code == 0
        assert (encoder.read_bytes() == own) is stays


def test_a_packed_encoder_without_a_record_is_not_pushed(published):
    dvc_pull()
    published.paths.record(MODEL, "pretrain").unlink()
    with pytest.raises(UserError, match=r"encoder\.parquet: no record speaks of it"):
        push(published, ["encoders"], [MODEL])


def test_a_second_clone_pushes_what_it_has_packed(published, monkeypatch, tmp_path):
    dvc_pull()
    before = read_entries(dvc_file("micro", "encoders"))
    shutil.rmtree("data/store")
    push(published, ["encoders"])
    assert read_entries(dvc_file("micro", "encoders")) == before
    commit()
