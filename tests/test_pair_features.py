"""Features of the run's own pairs: as of one pair at a time, refused where a hash does not fit, streamed."""

import tracemalloc

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from m3ae.artifacts.cache import Hashes
from m3ae.artifacts.inventory import Inventory
from m3ae.artifacts.matching import judge, second_settings
from m3ae.artifacts.work import Job
from m3ae.cli.evaluate import pairs as pairs_command
from m3ae.config import Run
from m3ae.config.models import RunSettings
from m3ae.data.images import normalise, view
from m3ae.data.shards import Pairs
from m3ae.data.tokens import Tokens
from m3ae.errors import UserError
from m3ae.evaluate.concepts import run_concepts
from m3ae.evaluate.language.captions import run_language
from m3ae.evaluate.pairs import extract, labels, stored
from m3ae.evaluate.pairs.extract import extract_pairs
from m3ae.evaluate.pairs.labels import fill_labels
from m3ae.evaluate.pairs.stored import PairFeatures, places_of
from m3ae.files import sha256_of
from m3ae.model.weights import load_encoder
from m3ae.model.whole import load_clip
from m3ae.records import read_record
from m3ae.train.loop import pretrain
from made_shards import captions_of, jpegs, write_shards
from small_project import make_micro
from test_language import SETTINGS

WORDS = {"red": ["red"], "size": ["large", "small"]}
CONCEPTS = {"words": WORDS, "penalties": [1.0, 100.0], "validation_share": 0.3}
LANGUAGE = SETTINGS | {"other_captions": True, "counting": None}
METHODS = {"m3ae-b100": ["image", "text", "joint"], "clip-b": ["image", "text"], "mae-b100": ["image"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two blocks deep, with one model of each method, `concepts` and `captions`."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run = make_micro(
            folder,
            rows=[*METHODS, "supervised-b"],
            models={name: {"epochs": 0.2} for name in METHODS},
            data={"tokens": {"vocab_size": 60}},  # words in pieces: captions of several lengths
            architecture={
                "sizes": {"b": {"width": 16, "depth": 2, "heads": 2}},
                "decoder": {"width": 16, "depth": 1, "heads": 2},
            },
            clip={"text": {"width": 12, "depth": 1, "heads": 2}, "embedding_dim": 8},
        )
        run = changed(run, concepts=CONCEPTS, language=LANGUAGE)
        for name in METHODS:
            pretrain(run, name)
        yield run


@pytest.fixture
def run(whole):
    """The same without any archive."""
    for model in METHODS:
        whole.paths.pairs(model).unlink(missing_ok=True)
    return whole


def changed(run, **changes):
    return Run(run.name, RunSettings.model_validate(run.settings.plain() | changes))


def one_pair(run, split, id):
    """A pair as a model reads it, alone: no padding, no batch."""
    shards, image = Pairs(run.paths.shards(split)), run.settings.data.image
    pixels = view(shards.image(id), run.settings.features.resize_px, image.size_px)
    words = Tokens(run.paths.tokens(split)).captions(id)[0].astype(np.int64)
    return torch.from_numpy(normalise(pixels[None], image.mean, image.std)), torch.from_numpy(words[None])


@torch.no_grad()
def tokens_alone(run, model, seen, image, text):
    """What the encoder gives for one pair, through its front door."""
    path = run.paths.encoder(model)
    if model == "clip-b" and seen == "text":
        tower, kept = load_clip(path).text_tower, []
        tower.encoder.norm.register_forward_hook(lambda _, __, out: kept.append(out))
        cls = tower(text, torch.zeros_like(text, dtype=torch.bool))
        assert torch.equal(cls, kept[0][:, 0])
        return kept[0][0].numpy()
    shown = {"image": (image,), "text": (None, text), "joint": (image, text)}[seen]
    return load_encoder(path).encode(*shown)[0].numpy()


@pytest.mark.parametrize("model", METHODS)
def test_cls_and_mean_are_those_of_each_pair_passed_alone(run, model):
    extract_pairs(run, model)
    found = PairFeatures(run, model)
    assert found.kinds() == METHODS[model]
    for seen in METHODS[model]:
        ids = found.ids("heldout", seen)
        lengths = set()
        for place, id in list(enumerate(ids))[:12]:
            image, text = one_pair(run, "heldout", id)
            tokens = tokens_alone(run, model, seen, image, text)
            for pooling, expected in (("cls", tokens[0]), ("mean", tokens[1:].mean(axis=0))):
                got = found.features("heldout", seen, pooling)[place]
                np.testing.assert_allclose(got, expected, atol=1e-5)
            lengths.add(text.shape[1])
        assert seen == "image" or len(lengths) > 1  # else nothing was padded


def test_the_block_before_the_last_is_stored_as_the_sweep_of_heads_reads_it(run):
    extract_pairs(run, "m3ae-b100")
    stack = PairFeatures(run, "m3ae-b100").array("train/joint/features")
    assert stack.shape[1:] == (2, 2, 16)
    net, inputs, kept = load_encoder(run.paths.encoder("m3ae-b100")), one_pair(run, "train", 3), []
    net.encoder.blocks[0].register_forward_hook(lambda _, __, out: kept.append(net.encoder.norm(out)))
    with torch.no_grad():
        net.encode(*inputs)
    place = PairFeatures(run, "m3ae-b100").ids("train", "joint").tolist().index(3)
    np.testing.assert_allclose(stack[place, 0, 0], kept[0][0, 0], atol=1e-5)
    np.testing.assert_allclose(stack[place, 0, 1], kept[0][0, 1:].mean(dim=0), atol=1e-5)


def test_all_images_are_there_and_the_captions_that_are_asked_for(run):
    extract_pairs(run, "m3ae-b100")
    found, shards = PairFeatures(run, "m3ae-b100"), Pairs(run.paths.shards("train"))
    assert found.ids("train", "image").tolist() == list(range(len(shards)))
    asked = found.ids("train", "text")
    assert asked.tolist() == found.ids("train", "joint").tolist() != sorted(asked.tolist())
    assert {len(shards.captions(int(id))) for id in asked} == {2}  # others are to label them
    images = found.features("train", "image", "cls")
    assert np.array_equal(found.features("train", "image", "cls", asked), images[asked])


def test_labels_are_what_the_captions_name(run):
    extract_pairs(run, "m3ae-b100")
    found = PairFeatures(run, "m3ae-b100")
    for split in ("train", "heldout"):
        shards = Pairs(run.paths.shards(split))
        for seen, first in (("image", 0), ("text", 1), ("joint", 1)):
            said = [" ".join(shards.captions(int(id))[first:]).split() for id in found.ids(split, seen)]
            expected = [["red" in words, "large" in words or "small" in words] for words in said]
            assert found.labels(split, seen, WORDS).tolist() == expected
            assert np.any(expected) and not np.all(expected)


def test_labels_that_are_read_in_parts_are_those_of_the_whole(run, monkeypatch):
    folder, ids = run.paths.shards("train"), np.array([49, 0, 31, 7])
    asked = [{name: np.zeros(4, np.uint8) for name in WORDS} for _ in range(2)]
    for part, arrays in zip((1000, 3), asked, strict=True):
        monkeypatch.setattr(labels, "BATCH", part)
        fill_labels(folder, ids, slice(None), WORDS, arrays)
    assert all(np.array_equal(asked[0][name], asked[1][name]) for name in WORDS)
    said = [" ".join(Pairs(folder).captions(int(id))).split() for id in ids]
    assert asked[0]["red"].tolist() == ["red" in words for words in said]


def test_both_stages_read_one_archive_and_encode_nothing_again(run, monkeypatch):
    run_concepts(run, "m3ae-b100")
    made = run.paths.pairs("m3ae-b100").read_bytes()
    monkeypatch.setattr(stored, "extract_pairs", lambda *_: pytest.fail("the pairs were encoded again"))
    run_language(run, "m3ae-b100")
    run_concepts(run, "m3ae-b100")
    assert run.paths.pairs("m3ae-b100").read_bytes() == made
    for stage in ("concepts", "captions"):
        record = read_record(run.paths.record("m3ae-b100", stage))
        assert record.provenance["pairs_sha256"] == sha256_of(run.paths.pairs("m3ae-b100"))
        assert "pairs" not in record.inputs  # published records stay as they are


def test_captions_give_the_same_numbers_beside_concepts_and_without(run):
    metrics = []
    for settings in (run, changed(run, concepts=None)):
        run.paths.pairs("m3ae-b100").unlink(missing_ok=True)
        run_language(settings, "m3ae-b100")
        metrics.append(read_record(run.paths.record("m3ae-b100", "captions")).metrics)
    found = PairFeatures(changed(run, concepts=None), "m3ae-b100")
    assert found.ids("train", "image").tolist() == found.ids("train", "text").tolist()
    assert metrics[0] == metrics[1]


@pytest.mark.parametrize("model", ["mae-b100", "m3ae-b100"])
def test_a_run_without_texts_needs_no_word_pieces(run, monkeypatch, model):
    silent = changed(run, language=None)
    monkeypatch.setattr("m3ae.evaluate.language.pairs.Tokens", lambda _: pytest.fail("read word pieces"))
    extract_pairs(silent, model)
    found = PairFeatures(silent, model)
    assert found.kinds() == ["image"]
    assert set(found.facts["inputs"]) == {"weights", "train_manifest", "heldout_manifest"}


def test_what_no_stage_asks_for_is_refused(run):
    with pytest.raises(UserError, match=r"pairs of mae-b100: expected concepts, or language for a model"):
        extract_pairs(changed(run, concepts=None), "mae-b100")


def refused(run, model, match):
    """The one line with which both the reader and the stages refuse an archive."""
    for reader in (PairFeatures, run_concepts, run_language):
        with pytest.raises(UserError, match=match) as error:
            reader(run, model)
        assert "\n" not in str(error.value)
        assert "pairs.safetensors" in str(error.value)
        assert f"make it again with: m3ae pairs --run micro --model {model}" in str(error.value)


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_changed_byte_is_refused(run, place):
    extract_pairs(run, "clip-b")
    path = run.paths.pairs("clip-b")
    whole = bytearray(path.read_bytes())
    first = 8 + int.from_bytes(whole[:8], "little")
    at = {"first": first, "middle": (first + len(whole)) // 2, "last": len(whole) - 1}[place]
    whole[at] ^= 1
    path.write_bytes(whole)
    refused(run, "clip-b", r"a byte has changed: its hash is \w{12}, expected \w{12}")


def test_a_changed_fact_is_refused(run):
    extract_pairs(run, "clip-b")
    path = run.paths.pairs("clip-b")
    path.write_bytes(path.read_bytes().replace(b'"heldout/text/ids"', b'"heldout/text/idz"'))
    refused(run, "clip-b", "a byte has changed")


@pytest.mark.parametrize("file", ["train_manifest", "heldout_manifest", "train_tokens", "heldout_tokens"])
def test_other_pairs_or_word_pieces_are_refused(run, monkeypatch, file):
    extract_pairs(run, "m3ae-b100")
    honest = extract.sha256_of
    path = extract.pair_files(run, "m3ae-b100")[file]
    other = "f" * 64
    monkeypatch.setattr(extract, "sha256_of", lambda asked: other if asked == path else honest(asked))
    refused(run, "m3ae-b100", rf"made from {file} of \w{{12}}, expected f{{12}}")


def test_other_weights_are_refused(run):
    """Trained again after the archive was made: file and record agree, the archive is of earlier ones."""
    extract_pairs(run, "m3ae-b100")
    kept = {path: path.read_bytes() for path in run.paths.results("m3ae-b100").iterdir()}
    weights, record = run.paths.encoder("m3ae-b100"), run.paths.record("m3ae-b100", "pretrain")
    try:
        weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
        details = {**read_record(record).details, "weights_sha256": sha256_of(weights)}
        read_record(record).model_copy(update={"details": details}).write(record)
        refused(run, "m3ae-b100", rf"made from weights of \w{{12}}, expected {sha256_of(weights)[:12]}")
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


def test_other_settings_are_refused(run):
    extract_pairs(run, "m3ae-b100")
    fewer = changed(run, language={**LANGUAGE, "num_train": 10})
    refused(fewer, "m3ae-b100", "made with other settings than the run's")


def test_the_workflow_plans_concepts_again_for_an_archive_of_other_settings_or_bytes(run, tmp_path):
    run_concepts(run, "m3ae-b100")
    path, found = run.paths.pairs("m3ae-b100"), []
    for asked in (run, changed(run, language={**LANGUAGE, "num_train": 10})):
        found.append(judged(asked, tmp_path / "first.json"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    found.append(judged(run, tmp_path / "second.json"))
    as_made, other_settings, other_bytes = found
    assert as_made is None
    assert other_settings == "captions.num_train: made with 40, the run has 10"
    assert "concepts.json speaks of" in other_bytes


def judged(run, hashes):
    """What the workflow finds wrong with the files of a model's `concepts`."""
    inventory = Inventory(run)
    (job,) = (job for job in inventory.jobs if (job.stage, job.model) == ("concepts", "m3ae-b100"))
    assert run.paths.pairs("m3ae-b100") in job.outputs
    problem = judge(inventory, job, Hashes(hashes)).problem
    return problem and problem.what


def test_a_killed_pass_leaves_nothing_and_the_next_gives_the_same_bytes(run, monkeypatch):
    extract_pairs(run, "m3ae-b100")
    path = run.paths.pairs("m3ae-b100")
    expected = path.read_bytes()
    path.unlink()
    honest, calls = extract.show, []

    def killed(*asked):
        calls.append(asked)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return honest(*asked)

    monkeypatch.setattr(extract, "show", killed)
    with pytest.raises(KeyboardInterrupt):
        run_concepts(run, "m3ae-b100")
    assert not [file for file in path.parent.iterdir() if "pairs" in file.name]
    monkeypatch.setattr(extract, "show", honest)
    run_concepts(run, "m3ae-b100")
    assert path.read_bytes() == expected


def test_shards_that_are_not_here_are_named(run):
    path = run.paths.tokens("heldout")
    content = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(UserError, match=rf"{path}: no such file; make it with: snakemake {path}"):
            extract_pairs(run, "m3ae-b100")
    finally:
        path.write_bytes(content)


def test_the_command_says_what_it_stored(run):
    result = CliRunner().invoke(pairs_command, ["--run", "micro", "--model", "m3ae-b100"])
    assert result.exit_code == 0, result.output  # of the file's settings: captions of `tiny`
    assert "m3ae-b100 heldout: 25 pairs as joint, 16 features each" in result.output


def test_places_are_found_in_any_order():
    stored_ids = np.array([5, 2, 9, 7])
    assert places_of(np.array([7, 5, 9]), stored_ids).tolist() == [3, 0, 2]


def test_features_are_streamed(tmp_path, monkeypatch):
    """An archive of 3 MB is written with a peak below 1 MB; torch's batches, which do not grow, aside."""
    monkeypatch.chdir(tmp_path)
    run = make_micro(
        tmp_path,
        num=12,
        rows=["mae-b100"],
        models={"mae-b100": {"epochs": 0.2}},
        data={"image": {"size_px": 12}},
        architecture={
            "patch_px": 4,
            "sizes": {"b": {"width": 512, "depth": 1, "heads": 2}},
            "decoder": {"width": 16, "depth": 1, "heads": 2},
        },
    )
    run = changed(run, concepts=CONCEPTS)
    pretrain(run, "mae-b100")
    num = 700
    write_shards(run.paths.shards("train"), jpegs(1) * num, captions_of(num), per_shard=num)
    monkeypatch.setattr(extract, "BATCH", 8)
    monkeypatch.setattr(labels, "BATCH", 64)
    tracemalloc.start()
    try:
        extract_pairs(run, "mae-b100")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert run.paths.pairs("mae-b100").stat().st_size > 2.8e6
    assert peak < 1e6


@pytest.mark.parametrize("content", [b"", b"\x40" + bytes(7) + b"{}", b"\x02" + bytes(7) + b"{}"])
def test_an_archive_that_is_cut_off_ends_no_plan(tmp_path, content):
    """Its bytes, or its reader, tell; the plan must not stop with a stack trace."""
    archive = tmp_path / "pairs.safetensors"
    archive.write_bytes(content)
    job = Job("captions", "m3ae-b100", (tmp_path / "captions.json", archive), (), {}, list)
    assert second_settings(job, {"provenance": {}}) is None
