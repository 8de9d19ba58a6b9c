"""Features, probes and scores of a small encoder, from Parquet files to records and printed lines."""

import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from click.testing import CliRunner
from PIL import Image
from sklearn.metrics import roc_auc_score

from m3ae.config import load_run
from m3ae.data.evalsets.evalsets import check_evalset
from m3ae.errors import UserError
from m3ae.evaluate.archive import Archive, write_archive
from m3ae.evaluate.features import extract_features, pool
from m3ae.evaluate.heads.probes import run_probes
from m3ae.evaluate.ood import run_ood
from m3ae.evaluate.probe import run_probe
from m3ae.evaluate.stored import Features, Layers
from m3ae.files import sha256_of
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import load_encoder, save_encoder
from m3ae.records import Record, read_record

CONFIG = Path(__file__).parents[1] / "config"
MODEL = "m3ae-b100"
COUNTS = {"scenes-train": 60, "scenes-test": 24, "textures-test": 18}

RUN = {
    "extends": "paper",
    "data": {"image": {"size_px": 16, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}},
    "heldout": {"images": []},
    "features": {"resize_px": 20},
    "architecture": {"patch_px": 8},
    "probe": {
        "tasks": [{"name": "shade", "dataset": "scenes", "train": "train", "test": "test", "label": "shade"}],
        "batch_size": 16,
        "epochs": 20,
        "warmup_epochs": 2,
        "base_lrs": [1.0, 10.0],
    },
    "ood": {
        "pairs": [{"name": "textures", "task": "shade", "out": {"dataset": "textures", "split": "test"}}]
    },
    "extended": {
        "rows": [MODEL],
        "probes": {"layers": 1},
        "detection": {
            "pairs": [{"name": "textures", "task": "shade", "out": {"dataset": "textures", "split": "test"}}]
        },
        "augmented": {"tasks": ["shade"], "epochs": 3, "finetune": {"epochs": 2, "batch_size": 20}},
        "shift": {"natural": []},
        "robustness": {"task": "shade"},
    },
    "clusters": {"task": "shade", "classes": [0, 1, 2]},
    "statistics": {"draws": 50},
}


def write_set(name, count, seed):
    """Scenes are grey in one of three shades, with some noise; textures are noise alone."""
    rng = np.random.default_rng(seed)
    shades, is_scene = np.arange(count) % 3, name.startswith("scenes")
    pixels = rng.integers(0, 60 if is_scene else 256, (count, 20, 24, 3))
    if is_scene:
        pixels += 80 * shades[:, None, None, None]
    table = {"image": [{"bytes": png(image.astype(np.uint8)), "path": None} for image in pixels]}
    if is_scene:
        table["shade"] = shades
    Path("data/little/source").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), f"data/little/source/{name}.parquet")


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def registry(labels, *splits, name):
    return {
        "title": name,
        "source": "made here",
        "licence": "none",
        "image": "image",
        "labels": labels,
        "splits": {split: {"path": f"{name}-{split}.parquet"} for split in splits},
        "made_here": True,
    }


def write_weights(run, seed=0):
    torch.manual_seed(seed)
    architecture = Architecture(
        width=16, depth=1, num_heads=2, decoder_width=8, decoder_depth=1, decoder_num_heads=2,
        image_px=16, patch_px=8, vocab_size=10, max_tokens=4,
    )  # fmt: skip
    save_encoder(M3AE(architecture), run.paths.encoder(MODEL))
    Record(
        run=run.name,
        model=MODEL,
        stage="pretrain",
        details={"weights_sha256": sha256_of(run.paths.encoder(MODEL))},
        settings=run.stage("pretrain", MODEL),
        inputs={},
        seeds=[seed],
    ).write(run.paths.record(MODEL, "pretrain"))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A project folder with a run, two evaluation sets and a random encoder."""
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    shutil.copy(CONFIG / "paper.yaml", "config")
    Path("config/little.yaml").write_text(yaml.safe_dump(RUN))
    sets = {
        "scenes": registry({"shade": ["dark", "grey", "light"]}, "train", "test", name="scenes"),
        "textures": registry({}, "test", name="textures"),
    }
    Path("config/datasets.yaml").write_text(yaml.safe_dump(sets))
    for seed, (name, count) in enumerate(COUNTS.items()):
        write_set(name, count, seed)
    run = load_run("little")
    for dataset in run.eval_datasets:
        check_evalset(run, dataset)
    write_weights(run)
    return run


@pytest.fixture
def evaluated(run):
    """The same after all three stages."""
    extract_features(run, MODEL)
    run_probe(run, MODEL)
    run_ood(run, MODEL)
    return run


def test_features_are_the_cls_of_each_image_passed_alone(run):
    extract_features(run, MODEL)
    rows = pq.read_table("data/little/source/scenes-test.parquet").to_pylist()
    encoder = load_encoder(run.paths.encoder(MODEL))
    got = Features(run, MODEL).features("scenes", "test")
    for row, feature in zip(rows, got, strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])), np.float64)
        pixels = pixels[2:18, 4:20]  # 20 x 24: the short side is right already, the centre is cut
        x = (pixels / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]
        x = torch.from_numpy(x.transpose(2, 0, 1)[None]).float()
        with torch.no_grad():
            np.testing.assert_allclose(feature, encoder.encode(x)[0, 0], atol=1e-5)


def test_labels_and_facts_are_stored_with_the_features(run):
    extract_features(run, MODEL)
    features = Features(run, MODEL)
    assert features.labels("scenes", "test", "shade", 3).tolist() == [0, 1, 2] * 8
    assert features.facts["settings"]["pooling"] == "cls"
    assert features.array("scenes/test/ids").tolist() == list(range(24))
    assert features.facts["inputs"] == read_record(run.paths.record(MODEL, "features")).inputs
    assert features.facts["inputs"]["textures"] == sha256_of(run.paths.evalset("textures"))
    record = read_record(run.paths.record(MODEL, "features"))
    assert record.provenance["features_sha256"] == sha256_of(run.paths.features(MODEL))
    assert record.provenance["layers_sha256"] == sha256_of(run.paths.layers(MODEL))
    assert record.details == {name.replace("-", "/"): {"count": n, "dim": 16} for name, n in COUNTS.items()}


def test_pooling_takes_cls_or_the_mean_of_the_patches():
    tokens = torch.arange(24.0).reshape(2, 4, 3)
    assert torch.equal(pool(tokens, "cls"), tokens[:, 0])
    assert torch.equal(pool(tokens, "mean"), (tokens[:, 1] + tokens[:, 2] + tokens[:, 3]) / 3)


def test_layers_are_both_poolings_of_each_block_after_the_last_norm(run):
    extract_features(run, MODEL)
    features, layers = Features(run, MODEL), Layers(run, MODEL)
    found = layers.representations("scenes", "test")
    assert list(found) == ["block1/cls", "block1/mean"]
    np.testing.assert_allclose(found["block1/cls"], features.features("scenes", "test"), rtol=1e-3, atol=1e-3)
    assert {array.dtype.name for array in found.values()} == {"float16"}
    assert layers.names == {"scenes/train/layers", "scenes/test/layers"}  # no task, no head


def test_features_of_another_data_set_are_refused(run):
    extract_features(run, MODEL)
    listing = run.paths.evalset("textures")
    listing.write_text(listing.read_text() + " ")
    for archive in (Features, Layers):
        with pytest.raises(UserError, match=r"made from another textures than .* lists"):
            archive(run, MODEL)
    listing.unlink()  # features may be all that was brought
    Features(run, MODEL)


def test_features_with_a_changed_byte_are_refused_before_a_probe_is_trained(run):
    extract_features(run, MODEL)
    path = run.paths.features(MODEL)
    whole = path.read_bytes()
    for archive, train in ((path, run_probe), (path, run_probes), (run.paths.layers(MODEL), run_probes)):
        kept = archive.read_bytes()
        archive.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        with pytest.raises(
            UserError, match=rf"{archive.name}: expected the bytes \w{{12}} that .* got \w{{12}}"
        ):
            train(run, MODEL)
        archive.write_bytes(kept)
    assert path.read_bytes() == whole
    run.paths.record(MODEL, "features").unlink()  # features may be all that was brought
    run_probe(run, MODEL)


def test_bf16_is_near_fp32_and_another_identity(run):
    extract_features(run, MODEL)
    wide = np.array(Features(run, MODEL).features("scenes", "test"))
    settings = run.settings.features.model_copy(update={"precision": "bf16"})
    half = replace(run, settings=run.settings.model_copy(update={"features": settings}))
    with pytest.raises(UserError, match=r"made with other settings"):
        Features(half, MODEL)
    extract_features(half, MODEL)
    found = Features(half, MODEL).features("scenes", "test")
    assert 0 < np.abs(found - wide).max() < 0.1


def test_the_same_weights_give_the_same_bytes(evaluated):
    paths = [evaluated.paths.features(MODEL), evaluated.paths.classifier(MODEL)]
    first = [path.read_bytes() for path in paths]
    extract_features(evaluated, MODEL)
    run_probe(evaluated, MODEL)
    assert [path.read_bytes() for path in paths] == first


def test_a_record_holds_what_its_accuracy_is_made_of(evaluated):
    record = read_record(evaluated.paths.record(MODEL, "probe-shade"))
    accuracy = record.metrics["accuracy"]
    correct = accuracy.items["correct"].unpack()
    assert correct.dtype == np.uint8
    assert len(correct) == accuracy.n == 24
    assert accuracy.value == pytest.approx(100 * correct.mean())
    assert accuracy.low <= accuracy.value <= accuracy.high
    assert accuracy.value > 60  # three shades are easy
    assert record.details["chance"] == pytest.approx(100 / 3)


def test_an_auroc_can_be_computed_again_from_its_record(evaluated):
    metrics = read_record(evaluated.paths.record(MODEL, "ood-textures")).metrics
    assert metrics.keys() == {"mahalanobis_auroc", "msp_auroc"}
    for metric in metrics.values():
        inside, outside = (metric.items[name].unpack() for name in ("in", "out"))
        assert inside.dtype == outside.dtype == np.float32
        assert (len(inside), len(outside), metric.n) == (24, 18, 42)
        truth = np.repeat([1, 0], [24, 18])
        expected = 100 * roc_auc_score(truth, np.concatenate([inside, outside]))
        assert metric.value == pytest.approx(expected, abs=1e-9)
    assert metrics["mahalanobis_auroc"].value > 80  # noise is far from shades


def test_commands_print_one_line_per_result(run):
    from m3ae.cli.evaluate import features, ood, probe

    lines = []
    for command in (features, probe, ood):
        result = CliRunner().invoke(command, ["--run", "little", "--model", MODEL])
        assert result.exit_code == 0, result.output
        lines += [line for line in result.output.splitlines() if line.startswith(MODEL)]
    assert lines[0] == "m3ae-b100 scenes/train: 60 images, 16 features each"
    accuracy = read_record(run.paths.record(MODEL, "probe-shade")).metrics["accuracy"]
    interval = f"{accuracy.value:.1f} % [{accuracy.low:.1f}, {accuracy.high:.1f}]"
    assert lines[3] == f"m3ae-b100 shade: accuracy {interval} (chance 33.3 %)"
    assert lines[4].startswith("m3ae-b100 textures: mahalanobis_auroc ")
    assert len(lines) == 6


def test_features_of_other_weights_are_refused(run):
    extract_features(run, MODEL)
    write_weights(run, seed=1)
    with pytest.raises(
        UserError, match=r"made from weights .* make it again with: m3ae features --run little"
    ):
        run_probe(run, MODEL)


def test_features_of_other_settings_are_refused(run):
    extract_features(run, MODEL)
    Path("config/little.yaml").write_text(yaml.safe_dump({**RUN, "features": {"resize_px": 24}}))
    with pytest.raises(UserError, match="made with other settings than the run's; make it again"):
        run_probe(load_run("little"), MODEL)


def test_probes_of_other_features_are_refused(evaluated):
    with_pooling = {**RUN, "features": {"pooling": "mean", "resize_px": 20}}
    Path("config/little.yaml").write_text(yaml.safe_dump(with_pooling))
    again = load_run("little")
    extract_features(again, MODEL)
    with pytest.raises(UserError, match="trained on other features"):
        run_ood(again, MODEL)


def test_weights_that_are_not_the_recorded_ones_are_refused(run):
    path = run.paths.encoder(MODEL)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(UserError, match=r"expected the weights \w{12} .* got \w{12}; train again"):
        extract_features(run, MODEL)


@pytest.mark.parametrize(
    ("missing", "stage", "way"),
    [
        (
            "results/little/m3ae-b100/encoder.safetensors",
            extract_features,
            "make them with: snakemake results/",
        ),
        (
            "data/little/evalsets/textures.json",
            extract_features,
            "make it with: snakemake data/little/evalsets/",
        ),
        ("results/little/m3ae-b100/features.safetensors", run_probe, "m3ae features --run little"),
        ("results/little/m3ae-b100/probe.safetensors", run_ood, "m3ae probe --run little"),
    ],
)
def test_a_missing_input_names_the_way_to_make_it(evaluated, missing, stage, way):
    Path(missing).unlink()
    with pytest.raises(UserError, match=way) as error:
        stage(evaluated, MODEL)
    assert missing in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_model_is_one_line(run):
    with pytest.raises(UserError, match="model 'm4ae': expected a model of run 'little'"):
        run_probe(run, "m4ae")


def test_an_encoder_that_gives_nan_is_refused_and_old_features_stay(run):
    extract_features(run, MODEL)
    before = run.paths.features(MODEL).read_bytes()
    broken = load_encoder(run.paths.encoder(MODEL))
    with torch.no_grad():
        broken.cls_token.fill_(float("nan"))
    save_encoder(broken, run.paths.encoder(MODEL))
    record = read_record(run.paths.record(MODEL, "pretrain"))
    details = {**record.details, "weights_sha256": sha256_of(run.paths.encoder(MODEL))}
    record.model_copy(update={"details": details}).write(run.paths.record(MODEL, "pretrain"))
    with pytest.raises(UserError, match="values that are not finite"):
        extract_features(run, MODEL)
    assert run.paths.features(MODEL).read_bytes() == before


def test_a_class_outside_the_registry_is_refused(run):
    extract_features(run, MODEL)
    with pytest.raises(UserError, match=r"shade of image 2: expected a class from 0 to 1, got 2"):
        Features(run, MODEL).labels("scenes", "test", "shade", 2)


@pytest.mark.parametrize("content", [b"", b"not an archive at all"])
def test_a_broken_archive_is_one_line(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="not a whole archive of this project"):
        Archive(tmp_path / "a.safetensors", "probe")


def test_an_archive_gives_back_arrays_and_facts(tmp_path):
    path, arrays = tmp_path / "a.safetensors", {"x": np.arange(6.0).reshape(2, 3), "y": np.arange(4)}
    write_archive(path, arrays, {"b": 1, "a": [1, "two"]})
    archive = Archive(path, "probe")
    assert archive.facts == {"a": [1, "two"], "b": 1}
    assert all(np.array_equal(archive.array(name), array) for name, array in arrays.items())
    with pytest.raises(UserError, match="expected an array 'z', found none; make it with: m3ae probe"):
        archive.array("z")
