"""The registry of evaluation sets: complete, and its classes agree with lists that others publish."""

import importlib.util
from pathlib import Path

import pytest
import yaml

from m3ae.config import load_run
from m3ae.config.classes import Classes, read_classes
from m3ae.config.datasets import REGISTRY, evalset_stage, load_dataset, load_datasets
from m3ae.data.evalsets.overview import overview
from m3ae.errors import UserError
from raw_shards import ROOT, project

ENTRIES = yaml.safe_load((ROOT / REGISTRY).read_text())
PUBLISHED = [name for name, entry in ENTRIES.items() if not entry.get("made_here")]
# Images per split, as the papers or the sets' pages state them.
COUNTS = {
    "imagenet-1k": {"train": 1_281_167, "validation": 50_000},
    "imagenet-v2": {"test": 10_000},
    "imagenet-r": {"test": 30_000},
    "imagenet-a": {"test": 7_500},
    "imagenet-sketch": {"test": 50_889},
    "cifar10": {"train": 50_000, "test": 10_000},
    "cifar100": {"train": 50_000, "test": 10_000},
    "svhn": {"train": 73_257, "test": 26_032, "extra": 531_131},
    "mnist": {"train": 60_000, "test": 10_000},
    "dtd": {"train": 1_880, "val": 1_880, "test": 1_880},
    "tiny-imagenet": {"train": 100_000, "val": 10_000},
}
NUM_CLASSES = {
    **dict.fromkeys(["imagenet-1k", "imagenet-v2", "imagenet-sketch"], 1000),
    **dict.fromkeys(["imagenet-r", "imagenet-a", "tiny-imagenet"], 200),
    **{"cifar10": 10, "cifar100": 100, "svhn": 10, "mnist": 10, "dtd": 47},
}


@pytest.fixture(autouse=True)
def in_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


def timm_list(name: str) -> list[str]:
    """A list of WordNet ids that timm ships; timm is not imported."""
    folder = importlib.util.find_spec("timm").submodule_search_locations[0]
    return (Path(folder) / "data" / "_info" / f"{name}.txt").read_text().split()


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_says_what_it_is_where_it_comes_from_and_under_which_terms(name):
    dataset = load_dataset(name)
    assert min(len(text) for text in (dataset.title, dataset.source, dataset.licence)) > 3
    assert dataset.splits
    for label in dataset.labels:
        names = dataset.classes_of(label).names
        assert len(set(names)) == len(names) == dataset.num_classes(label) > 1
    if dataset.form == "folder":
        folders = dataset.class_folders()
        assert len(set(folders)) == len(folders) == dataset.num_classes(dataset.label)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_set_states_the_count_of_every_split(name):
    dataset = load_dataset(name)
    for split in dataset.splits.values():
        assert split.count is not None
        assert split.per_class is None or split.count == split.per_class * dataset.num_classes(
            next(iter(dataset.labels))
        )


@pytest.mark.parametrize("name", COUNTS)
def test_the_sets_of_the_field_have_their_published_sizes_and_can_be_downloaded(name):
    dataset = load_dataset(name)
    assert {split: part.count for split, part in dataset.splits.items()} == COUNTS[name]
    assert dataset.num_classes(next(iter(dataset.labels))) == NUM_CLASSES[name]
    assert dataset.get is not None
    assert all(Path(part.path).parts[0] == dataset.get.to for part in dataset.splits.values())


def test_imagenet_is_numbered_by_wordnet_id_as_everywhere():
    classes = read_classes(Classes(of="imagenet"))
    assert classes.wnids == timm_list("imagenet_synsets") == sorted(classes.wnids)
    assert classes.parent_indices == list(range(1000))
    assert classes.names[:2] == ["tench, Tinca tinca", "goldfish, Carassius auratus"]


@pytest.mark.parametrize(("subset", "short"), [("imagenet-a", "a"), ("imagenet-r", "r")])
def test_subsets_of_imagenet_are_the_published_ones_in_their_order(subset, short):
    classes = read_classes(Classes(of="imagenet", subset=subset))
    assert classes.wnids == timm_list(f"imagenet_{short}_synsets")
    assert classes.parent_indices == [int(index) for index in timm_list(f"imagenet_{short}_indices")]


def test_the_classes_of_tiny_imagenet_are_200_of_the_1000_sorted():
    everything = read_classes(Classes(of="imagenet"))
    classes = read_classes(Classes(of="imagenet", subset="tiny-imagenet"))
    assert len(classes.wnids) == len(set(classes.wnids)) == 200
    assert classes.wnids == sorted(classes.wnids)
    assert classes.wnids == [everything.wnids[index] for index in classes.parent_indices]
    assert classes.names == [everything.names[index] for index in classes.parent_indices]


def test_no_two_sets_lie_in_the_same_place():
    places = [
        (part["path"], part.get("listed_in", {}).get("path"))
        for entry in ENTRIES.values()
        for part in entry["splits"].values()
    ]
    assert len(places) == len(set(places))


def test_the_classes_of_toy_sets_are_those_that_are_drawn():
    from m3ae.data.source.toy.attributes import COLOURS, DIGITS, PLACES, SIZES

    labels = ENTRIES["toy-heldout-digits"]["labels"]
    assert labels == {"digit": [*DIGITS], "colour": [*COLOURS], "size": [*SIZES], "place": [*PLACES]}
    assert ENTRIES["toy-scenes"]["labels"] == {**labels, "digit": [*DIGITS[:8]]}


def test_the_page_on_data_says_which_run_uses_a_set():
    page = (ROOT / "data/README.md").read_text(encoding="utf-8")
    lines = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    for name, *_, users, _ in overview():
        cells = [cells for cells in lines if f"`{name}`" in cells[2]]
        if users != "-" and not name.startswith("toy-"):
            assert [cells[1] for cells in cells] == [", ".join(f"`{user}`" for user in users.split(", "))], (
                name
            )


def test_photos_full_reads_what_can_be_downloaded_and_nothing_else():
    run = load_run("photos-full")
    assert all(load_dataset(name).get for name in run.eval_datasets)
    tasks = {task.name: task for task in run.settings.probe.tasks}
    fixed = {task.name: task for task in load_run("photos").settings.probe.tasks}
    assert {name: task.dataset + "-subset" for name, task in tasks.items()} == {
        name: task.dataset for name, task in fixed.items()
    }


def test_every_set_that_a_run_uses_is_in_the_registry_with_its_split():
    for name in ("tiny", "photos", "photos-full", "paper"):
        for used in load_run(name).eval_splits:
            assert used.split in load_dataset(used.dataset).splits


def test_prose_is_no_part_of_a_stages_identity_but_paths_counts_and_classes_are(tmp_path, monkeypatch):
    run = project(tmp_path, monkeypatch)
    path = Path(REGISTRY)
    text, before = path.read_text(), evalset_stage(run, "imagenet-r")

    path.write_text(text.replace("MIT, as its repository", "MIT, like its repository"))
    assert evalset_stage(run, "imagenet-r") == before
    path.write_text(text.replace("path: imagenet-r, count: 30000", "path: imagenet-r, count: 30001"))
    assert evalset_stage(run, "imagenet-r") != before
    path.write_text(text)
    classes = Path("config/classes/imagenet.csv")
    classes.write_text(classes.read_text().replace("n01443537", "n01443538"))
    assert evalset_stage(run, "imagenet-r") != before


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"form": "folder"}, r"datasets\.yaml: svhn: value error, form folder: expected `folders`"),
        ({"image": None}, r"svhn: value error, form parquet: expected `image`"),
        ({"form": "zip"}, r"svhn\.form: input should be 'parquet' or 'folder'"),
        ({"get": {"kind": "ftp"}}, r"svhn\.get: .*'hub', 'archive'"),
        ({"licence": None}, r"svhn\.licence: "),
        ({"labels": {"label": {"of": "wordnet"}}}, r"config/classes/wordnet\.csv: no such list of classes"),
        (
            {"labels": {"label": {"of": "imagenet", "subset": "imagenet-o"}}},
            r"imagenet\.csv: expected a column 'imagenet-o', found index, wnid, name, imagenet-a",
        ),
    ],
)
def test_a_mistake_in_an_entry_is_one_line(tmp_path, monkeypatch, change, pattern):
    project(tmp_path, monkeypatch)
    Path(REGISTRY).write_text(yaml.safe_dump({"svhn": {**ENTRIES["svhn"], **change}}))
    with pytest.raises(UserError, match=pattern) as caught:
        load_datasets()["svhn"].num_classes("label")
    assert "\n" not in str(caught.value)


def test_a_list_of_classes_with_a_label_missing_is_refused(tmp_path, monkeypatch):
    project(tmp_path, monkeypatch)
    path = Path("config/classes/imagenet.csv")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:5] + lines[6:]))
    with pytest.raises(UserError, match=r"column 'index': expected each of 0, 1, 2, ... once"):
        read_classes(Classes(of="imagenet"))
