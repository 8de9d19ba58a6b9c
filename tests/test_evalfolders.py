"""Evaluation sets in folders: found, numbered and refused as the registry says."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from m3ae.config.datasets import load_dataset
from m3ae.config.evaluation import EvalSplit
from m3ae.config.run import Run
from m3ae.data.evalsets.evalsets import EvalImages, check_evalset, list_split
from m3ae.data.evalsets.listing import Listing
from m3ae.data.images import decode_rgb
from m3ae.errors import UserError
from raw_shards import encoded, picture, project

WNIDS = ["n02000001", "n01000002", "n03000003", "n00000004"]  # the list's order is not the alphabet's
NAMES = ["cat", "dog", "cow", "axolotl"]
SUBSET = {"n01000002": 1, "n00000004": 0}  # its own order again
FOLDER = Path("originals/pets")
CONTENT = {"cat": ["b.JPEG", "a.png"], "dog": ["deep/c.jpg"], "cow": ["1.jpg", "10.jpg", "2.jpg"]}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run that uses the set `pets`, test split, and a list of four classes in `config/classes`."""
    run = project(tmp_path, monkeypatch)
    monkeypatch.setenv("M3AE_DATA_ROOT", str(tmp_path / "originals"))
    used = [EvalSplit(dataset="pets", split="test")]
    monkeypatch.setattr(Run, "eval_splits", property(lambda _: used))
    rows = [
        f"{index},{wnid},{name},{SUBSET.get(wnid, '')}"
        for index, (wnid, name) in enumerate(zip(WNIDS, NAMES, strict=True))
    ]
    Path("config/classes/animals.csv").write_text("\n".join(["index,wnid,name,few", *rows]) + "\n")
    return run


def register(folders="name", labels=("cat", "dog", "cow"), **split):
    """Write the registry's entry for `pets`."""
    entry = {"title": "Pets", "source": "a friend", "licence": "free", "form": "folder", "folders": folders}
    classes = labels if isinstance(labels, dict) else list(labels)
    entry |= {"labels": {"kind": classes}, "splits": {"test": {"path": "pets", **split}}}
    Path("config/datasets.yaml").write_text(yaml.safe_dump({"pets": entry}))


def write(name: str, data: bytes) -> None:
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_pets() -> list[tuple[int, str]]:
    """Class folders with some images and with what is no image; the images in the order that is promised."""
    for label, (folder, names) in enumerate(CONTENT.items()):
        for i, name in enumerate(names):
            write(f"{folder}/{name}", encoded(picture(20, 20, 10 * label + i), "PNG"))
    for other in ("README.txt", "cat/boxes.txt", "cow/._1.jpg", "__MACOSX/x.jpg"):
        write(other, b"no image")
    order = [(0, "cat/a.png"), (0, "cat/b.JPEG"), (1, "dog/deep/c.jpg")]
    return order + [(2, f"cow/{name}.jpg") for name in ("1", "10", "2")]


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_images_come_by_class_then_by_name(run, batch_size):
    order = write_pets()
    register(count=6)
    check_evalset(run, "pets")
    images = EvalImages(run, "pets", "test")
    assert len(images) == 6
    assert images.labels("kind").tolist() == [label for label, _ in order]
    assert images.labels("kind").dtype == np.int64
    flat = [image for batch in images.batches(batch_size) for image in batch]
    expected = [Image.open(FOLDER / name).convert("RGB") for _, name in order]
    assert [image.tobytes() for image in flat] == [image.tobytes() for image in expected]
    assert images.parent_indices("kind") is None


def test_the_listing_says_what_was_hashed_and_hashes_contents_on_request(run):
    order = write_pets()
    register(count=6)
    check_evalset(run, "pets")
    listed = Listing.model_validate_json(run.paths.evalset("pets").read_bytes()).splits["test"]
    lines = [f"{name}\t{(FOLDER / name).stat().st_size}\t{label}\n" for label, name in order]
    assert listed.count == 6
    assert listed.folder.names_and_sizes_sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert listed.folder.contents_sha256 is None
    assert listed.folder.total_bytes == sum((FOLDER / name).stat().st_size for _, name in order)

    check_evalset(run, "pets", full=True)
    listed = Listing.model_validate_json(run.paths.evalset("pets").read_bytes()).splits["test"]
    sums = [hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() + "\n" for _, name in order]
    assert listed.folder.contents_sha256 == hashlib.sha256("".join(sums).encode()).hexdigest()
    EvalImages(run, "pets", "test")


def test_a_subset_has_labels_of_its_own_and_a_map_to_the_whole_list(run):
    for wnid in SUBSET:
        write(f"{wnid}/{wnid}.jpg", encoded(picture(9, 9)))
    register("wnid", {"of": "animals", "subset": "few"}, count=2, per_class=1)
    check_evalset(run, "pets")
    images = EvalImages(run, "pets", "test")
    assert images.labels("kind").tolist() == [0, 1]
    assert images.parent_indices("kind").tolist() == [3, 1]

    logits = np.array([[9.0, 0.0, 9.0, 1.0], [9.0, 1.0, 9.0, 0.0]])  # of all four classes
    restricted = logits[:, images.parent_indices("kind")]
    assert restricted.argmax(axis=1).tolist() == images.labels("kind").tolist()

    listed = Listing.model_validate_json(run.paths.evalset("pets").read_bytes())
    assert listed.labels == {"kind": 2}
    assert listed.classes["kind"].wnids == ["n00000004", "n01000002"]
    assert (listed.classes["kind"].parent, listed.classes["kind"].parent_indices) == ("animals", [3, 1])


def test_folders_named_by_number_are_numbers_not_text(run):
    """ImageNet-V2: 10 comes after 2, whatever a sorted list of folders says."""
    names = [f"{prefix}{i}" for i, prefix in enumerate(["x"] * 12)]
    rows = [f"{i},n{i:08d},{name}" for i, name in enumerate(names)]
    Path("config/classes/dozen.csv").write_text("\n".join(["index,wnid,name", *rows]))
    for i in range(12):
        write(f"{i}/x.jpg", encoded(picture(9, 9, i), "PNG"))
    register("index", {"of": "dozen"}, count=12)
    check_evalset(run, "pets")
    images = EvalImages(run, "pets", "test")
    assert images.labels("kind").tolist() == list(range(12))
    flat = [image for batch in images.batches(5) for image in batch]
    assert [image.tobytes() for image in flat] == [picture(9, 9, i).tobytes() for i in range(12)]


LISTS = {
    "a tab, as Tiny-ImageNet's": ("", "", "{file}\t{folder}\t0\t32\t44\t62"),
    "a comma and a header, as Kaggle's": (
        "ImageId,PredictionString\n",
        ".JPEG",
        "{stem},{folder} 85 1 499 272",
    ),
    "blanks": ("", "", "{file}  {folder}"),
}


@pytest.mark.parametrize("style", LISTS)
def test_a_flat_folder_is_labelled_by_its_published_list(run, style):
    header, suffix, line = LISTS[style]
    truth = {"v_3.JPEG": 2, "v_1.JPEG": 0, "v_2.JPEG": 2, "v_9.JPEG": 1}
    for i, name in enumerate(truth):
        write(f"images/{name}", encoded(picture(9, 9, i)))
    write("images/not-listed.JPEG", encoded(picture(9, 9, 99)))
    lines = [
        line.format(file=name, stem=Path(name).stem, folder=WNIDS[label]) for name, label in truth.items()
    ]
    write("truth.txt", (header + "\n".join(lines) + "\n").encode())
    listed_in = {"path": "pets/truth.txt", "header": bool(header), "suffix": suffix}
    register("wnid", {"of": "animals"}, path="pets/images", listed_in=listed_in, count=4)
    check_evalset(run, "pets")
    images = EvalImages(run, "pets", "test")
    assert images.labels("kind").tolist() == [0, 1, 2, 2]
    flat = next(images.batches(9))
    expected = [decode_rgb((FOLDER / "images" / f"v_{i}.JPEG").read_bytes()) for i in (1, 9, 2, 3)]
    assert [image.tobytes() for image in flat] == [image.tobytes() for image in expected]


def test_a_list_of_paths_takes_the_class_from_the_folder(run):
    """DTD: every partition is a list of `class/file` below the same images."""
    write_pets()
    write("labels/test1.txt", b"cow/10.jpg\ncat/a.png\n")
    register(path="pets", listed_in={"path": "pets/labels/test1.txt"}, count=2)
    check_evalset(run, "pets")
    assert EvalImages(run, "pets", "test").labels("kind").tolist() == [0, 2]


BAD_LISTS = {
    "an image that is not there": (b"cat/z.png\n", r"cat/z.png: list.txt lists this image, found none; get"),
    "a class of another set": (b"cat/a.png\nmouse/a.png\n", r"list.txt: line 2: .*found 'mouse/a.png'"),
    "an image twice": (b"cat/a.png\ncat/a.png\n", r"list.txt: lists cat/a.png twice"),
    "a place outside": (b"../x.jpg cat\n", r"list.txt: expected images below the split's folder"),
    "no text": (b"\xff\xfe\x00", r"list.txt: expected the list of .*pets"),
}


@pytest.mark.parametrize("bad", BAD_LISTS)
def test_a_list_that_does_not_fit_is_refused_by_line_or_file(run, bad):
    content, pattern = BAD_LISTS[bad]
    write_pets()
    write("list.txt", content)
    register(listed_in={"path": "pets/list.txt"})
    with pytest.raises(UserError, match=pattern) as caught:
        check_evalset(run, "pets")
    assert "\n" not in str(caught.value)
    (FOLDER / "list.txt").unlink()
    with pytest.raises(UserError, match=r"list.txt: expected the list of .*; get it: a friend"):
        check_evalset(run, "pets")


def test_missing_extra_and_miscounted_folders_are_one_line(run):
    register()
    with pytest.raises(UserError, match=r"expected .*originals/pets, found nothing; get it from a friend"):
        check_evalset(run, "pets")
    write_pets()
    register(count=7)
    with pytest.raises(UserError, match=r"pets: expected 7 images, found 6; get it again: a friend"):
        check_evalset(run, "pets")
    register(count=6, per_class=2)
    with pytest.raises(UserError, match=r"expected 2 images of every 'kind', found 1 of 1 \(2 such"):
        check_evalset(run, "pets")
    register(count=6)
    write("mouse/x.jpg", encoded(picture(9, 9)))
    with pytest.raises(UserError, match=r"expected the 3 class folders of Pets alone, found mouse \(1 such"):
        check_evalset(run, "pets")
    shutil.rmtree(FOLDER / "mouse")
    shutil.rmtree(FOLDER / "dog")
    with pytest.raises(
        UserError, match=r"expected a folder dog \(label 1: dog\), found none \(1 of 3 lack\)"
    ):
        check_evalset(run, "pets")
    assert not run.paths.evalset("pets").exists()


@pytest.mark.parametrize("change", ["grown", "gone", "renamed"])
def test_files_that_changed_since_the_check_are_refused(run, change):
    write_pets()
    register()
    check_evalset(run, "pets")
    path = FOLDER / "cow/1.jpg"
    if change == "grown":
        path.write_bytes(path.read_bytes() + b"\0")
    elif change == "gone":
        path.unlink()
    else:
        path.rename(path.with_name("11.jpg"))
    with pytest.raises(UserError, match=r"pets.json: test: expected 6 images .* check the files again"):
        EvalImages(run, "pets", "test")


@pytest.mark.parametrize("broken", [b"", b"no image", encoded(picture(40, 40))[:300]])
def test_a_broken_image_is_named(run, broken):
    write_pets()
    write("dog/deep/c.jpg", broken)
    register()
    check_evalset(run, "pets")
    with pytest.raises(UserError, match=r"pets/dog/deep/c.jpg: the image does not decode .*; get the file"):
        list(EvalImages(run, "pets", "test").batches(2))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "P", "1", "I;16"])
def test_every_mode_becomes_rgb(run, mode):
    """ImageNet holds grey, CMYK and transparent images, some of them PNG files that are called JPEG."""
    image = picture(12, 12, 3).convert("L" if mode == "I;16" else mode)
    image = image.convert("I;16") if mode == "I;16" else image
    data = encoded(image, "JPEG" if mode == "CMYK" else "PNG")
    write_pets()
    write("dog/deep/c.jpg", data)
    register()
    check_evalset(run, "pets")
    flat = [image for batch in EvalImages(run, "pets", "test").batches(2) for image in batch]
    assert {image.mode for image in flat} == {"RGB"}
    assert flat[2].size == (12, 12)


def test_a_split_is_checked_by_hand_without_a_run(run):
    write_pets()
    register(count=6)
    listed = list_split(None, load_dataset("pets"), "test", full=True)
    assert (listed.count, listed.files) == (6, [])
    assert len(listed.folder.contents_sha256) == 64
