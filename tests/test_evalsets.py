import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from m3ae.config.datasets import files_of, load_dataset
from m3ae.config.evaluation import EvalSplit
from m3ae.config.run import Run
from m3ae.data.evalsets.evalsets import EvalImages, check_evalset, list_split
from m3ae.data.evalsets.listing import Listing
from m3ae.errors import UserError
from m3ae.files import sha256_of
from raw_shards import ROOT, encoded, picture, project

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
REGISTRY = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text())
CLASSES = ["cat", "dog", "cow"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run that probes `pets`: 7 training pictures in two files, 3 test pictures."""
    run = project(tmp_path, monkeypatch)
    monkeypatch.setenv("M3AE_DATA_ROOT", str(tmp_path / "originals"))
    splits = [EvalSplit(dataset="pets", split=split) for split in ("train", "test")]
    monkeypatch.setattr(Run, "eval_splits", property(lambda _: splits))
    write_pets("train-0", [0, 1, 2, 0, 1])
    write_pets("train-1", [2, 2])
    write_pets("test", [1, 0, 2])
    register()
    return run


def pet(row: int) -> bytes:
    return encoded(picture(20, 20, row), "PNG")


def write_pets(name: str, labels: list[int | None], **columns):
    """One Parquet file, in row groups of 2; rows are numbered by their place in the file."""
    path = Path("originals/pets") / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": pet(i), "path": f"{i}.png"} for i in range(len(labels))]
    pq.write_table(pa.table({"image": images, "kind": labels} | columns), path, row_group_size=2)
    return path


def register(**test):
    """Write the registry's entry for `pets`."""
    splits = {
        "train": {"path": "pets/train-*.parquet", "count": 7},
        "test": {"path": "pets/test.parquet", **test},
    }
    entry = {"title": "Pets", "source": "a friend", "licence": "free", "image": "image"}
    entry |= {"labels": {"kind": CLASSES}, "splits": splits}
    Path("config/datasets.yaml").write_text(yaml.safe_dump({"pets": entry}))


def test_the_listing_names_files_counts_and_checksums(run):
    check_evalset(run, "pets")
    listing = Listing.model_validate_json(run.paths.evalset("pets").read_bytes())
    folder = Path("originals/pets")
    train = [(file.name, file.count, file.sha256) for file in listing.splits["train"].files]
    assert train == [
        (f"train-{i}.parquet", n, sha256_of(folder / f"train-{i}.parquet")) for i, n in ((0, 5), (1, 2))
    ]
    assert {split: part.count for split, part in listing.splits.items()} == {"train": 7, "test": 3}
    assert listing.labels == {"kind": 3}
    first = run.paths.evalset("pets").read_bytes()
    check_evalset(run, "pets")
    assert run.paths.evalset("pets").read_bytes() == first


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_images_and_labels_come_in_the_order_of_the_rows(run, batch_size):
    check_evalset(run, "pets")
    images = EvalImages(run, "pets", "train")
    assert len(images) == 7
    labels = images.labels("kind")
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 2]
    batches = list(images.batches(batch_size))
    assert max(map(len, batches)) <= batch_size
    flat = [image for batch in batches for image in batch]
    expected = [picture(20, 20, row) for row in (0, 1, 2, 3, 4, 0, 1)]
    assert [image.tobytes() for image in flat] == [image.tobytes() for image in expected]
    assert all(image.mode == "RGB" for image in flat)


def test_plain_binary_images_and_narrow_labels_are_read_too(run):
    write_pets("test", [1, 0], image=[pet(0), pet(1)], kind=pa.array([1, 0], pa.int8()))
    check_evalset(run, "pets")
    images = EvalImages(run, "pets", "test")
    assert images.labels("kind").tolist() == [1, 0]
    assert [image.tobytes() for image in next(images.batches(9))] == [
        picture(20, 20, i).tobytes() for i in (0, 1)
    ]


def test_a_wrong_count_or_checksum_is_refused_with_expected_and_got(run):
    register(count=4)
    with pytest.raises(UserError, match=r"test.parquet: expected 4 rows, found 3; get it again: a friend"):
        check_evalset(run, "pets")
    register(count=3, sha256="0" * 64)
    found = sha256_of(Path("originals/pets/test.parquet"))
    with pytest.raises(UserError, match=rf"test.parquet: expected sha256 {'0' * 64}, found {found}"):
        check_evalset(run, "pets")
    assert not run.paths.evalset("pets").exists()
    register(count=3, sha256=found)
    check_evalset(run, "pets")


@pytest.mark.parametrize("bad", [-1, 3, None])
def test_a_label_out_of_range_is_refused_with_its_row(run, bad):
    write_pets("test", [0, bad, 1])
    with pytest.raises(
        UserError, match=rf"test.parquet: row 1: expected 'kind' from 0 to 2, found {bad} \(1 such"
    ):
        check_evalset(run, "pets")


@pytest.mark.parametrize("broken", [pet(1)[:200], b"no image", None])
def test_a_broken_image_is_named_by_file_and_row(run, broken):
    cells = [{"bytes": data, "path": ""} for data in (pet(0), broken, pet(2))]
    write_pets("test", [0, 1, 2], image=cells)
    check_evalset(run, "pets")
    with pytest.raises(UserError, match=r"originals/pets/test.parquet: row 1: "):
        list(EvalImages(run, "pets", "test").batches(2))


def test_missing_columns_and_files_are_one_line(run):
    write_pets("test", [0, 1, 2]).write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"test.parquet: not a whole Parquet file"):
        check_evalset(run, "pets")
    pq.write_table(pa.table({"image": [b""], "other": [1]}), "originals/pets/test.parquet")
    with pytest.raises(UserError, match="expected a column 'kind', found image, other"):
        check_evalset(run, "pets")
    pq.write_table(pa.table({"image": [1], "kind": [1]}), "originals/pets/test.parquet")
    with pytest.raises(UserError, match="expected encoded images"):
        check_evalset(run, "pets")
    Path("originals/pets/test.parquet").unlink()
    with pytest.raises(UserError, match="found nothing; get it from a friend"):
        check_evalset(run, "pets")


def test_files_that_changed_since_the_check_are_refused(run):
    with pytest.raises(
        UserError, match=r"no such listing; the workflow makes it: snakemake data/tiny/evalsets"
    ):
        EvalImages(run, "pets", "test")
    check_evalset(run, "pets")
    write_pets("test", [0, 1])
    with pytest.raises(UserError, match=r"expected test.parquet \(3 rows\), found test.parquet \(2 rows\)"):
        EvalImages(run, "pets", "test")
    with pytest.raises(UserError, match="expected split 'val', found train, test"):
        EvalImages(run, "pets", "val")


def test_a_set_that_should_be_balanced_and_is_not_is_refused(run):
    write_pets("test", [0, 1, 2, 1])
    register(per_class=1)
    expected = r"test.parquet: expected 1 images of every 'kind', found 2 of 1 \(1 such classes\)"
    with pytest.raises(UserError, match=expected):
        check_evalset(run, "pets")
    write_pets("test", [2, 1, 0])
    check_evalset(run, "pets")


def test_a_listing_of_parquet_files_has_no_field_that_it_had_not_before(run):
    check_evalset(run, "pets")
    listing = json.loads(run.paths.evalset("pets").read_text())
    assert set(listing) == {"dataset", "title", "splits", "labels"}
    assert set(listing["splits"]["train"]) == {"files", "count"}


def test_a_set_that_the_run_does_not_use_is_refused(tmp_path, monkeypatch):
    run = project(tmp_path, monkeypatch)
    with pytest.raises(UserError, match="expected one that run 'tiny' uses: toy-scenes"):
        check_evalset(run, "cifar10")


@pytest.mark.parametrize("name", [name for name in REGISTRY if name.endswith("-subset")])
def test_local_copies_match_the_registry(name, tmp_path, monkeypatch):
    if not SHARED.is_dir():
        pytest.skip("no local copies beside the checkout")
    run = project(tmp_path, monkeypatch)
    monkeypatch.setenv("M3AE_DATA_ROOT", str(SHARED))
    dataset = load_dataset(name)
    for split, expected in dataset.splits.items():
        assert list_split(run.name, dataset, split).count == expected.count
        known = [dataset.classes_of(label).names for label in dataset.labels]
        brought = class_names(files_of(run.name, dataset, split)[0])
        assert brought is None or [first_word(brought)] == [first_word(names) for names in known]


def first_word(names: list[str]) -> list[str]:
    """Without what tells two of the same name apart (`crane (machine)`)."""
    return [name.partition(" (")[0] for name in names]


def class_names(path: Path) -> list[str] | None:
    """The class names that a file in the hub's format brings along."""
    metadata = pq.read_schema(path).metadata or {}
    features = json.loads(metadata.get(b"huggingface", b'{"info": {"features": {}}}'))["info"]["features"]
    return next((column["names"] for column in features.values() if "names" in column), None)
