"""`tiny`'s scenes: what captions and labels say is what the pictures show, and nothing leaks between sets."""

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from m3ae.config.data import ToySource
from m3ae.data.source.toy.attributes import COLOURS, DIGITS, PLACES, SIZES
from m3ae.data.source.toy.captions import describe
from m3ae.data.source.toy.digits import UNSEEN, digit_pools
from m3ae.data.source.toy.scenes import RGB, draw_scene, paint
from m3ae.data.source.toy.write import make_toy
from m3ae.errors import UserError
from whole_list import read_list

HOST = "http://127.0.0.1:8765"
SOURCE = ToySource(
    kind="toy", num_train=40, num_heldout=12, num_probe_train=60, num_probe_test=30,
    scene_px=48, jpeg_quality=85, heldout_digits=[8, 9], bad_share=0.2,
)  # fmt: skip
SETS = ("toy-scenes-train", "toy-scenes-test", "toy-heldout-digits-test", "toy-textures-test")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "source"
    make_toy(folder, SOURCE, 42, HOST)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"  # every set has the same codec
        return np.asarray(image.convert("RGB"), float)


def test_same_seed_same_bytes_and_another_seed_other_pictures(toy, tmp_path):
    make_toy(tmp_path / "again", SOURCE, 42, HOST)
    assert contents(tmp_path / "again") == contents(toy)
    make_toy(tmp_path / "other", SOURCE, 43, HOST)
    scenes = {path for path in contents(toy) if path.startswith("images/train/0")}
    assert len(scenes) == 40 and scenes.isdisjoint(contents(tmp_path / "other"))


def test_other_pictures_have_other_addresses(toy, tmp_path):
    """Downloads keep what they have of a list: the list must tell that the pictures are others."""
    make_toy(tmp_path / "other", SOURCE.model_copy(update={"jpeg_quality": 60}), 42, HOST)
    ours, others = (set(read_list(folder / "train.tsv")["url"]) for folder in (toy, tmp_path / "other"))
    assert {Path(url).name[0] for url in ours & others} <= {"d", "p", "t"}  # dead, page, ...: bad anyway
    assert len(ours - others) == 40


def test_pools_share_no_image_and_use_every_image_once():
    pools = digit_pools(42, [8, 9])
    used = np.concatenate([pool.ink for pool in pools.values()]).reshape(-1, 64)
    everything = load_digits().data / 16
    assert sorted(map(tuple, used)) == sorted(map(tuple, everything))
    for name, pool in pools.items():
        assert pool.classes == ([8, 9] if name == UNSEEN else list(range(8)))


def test_pools_are_stratified():
    for pool in (pool for name, pool in digit_pools(0, [8, 9]).items() if name != UNSEEN):
        counts = np.bincount(pool.digits)
        assert counts.max() - counts.min() <= 4


@pytest.mark.parametrize("heldout", [[], list(range(9)), list(range(10))])
def test_impossible_heldout_digits_are_refused(heldout):
    with pytest.raises(UserError, match="heldout_digits: expected one to eight"):
        digit_pools(42, heldout)


def test_heldout_digits_are_never_named_in_captions(toy):
    for split in ("train", "heldout"):
        text = (toy / f"{split}.tsv").read_text().lower()
        assert "eight" not in text
        assert "nine" not in text


def test_captions_name_only_what_is_in_the_scene():
    synonyms = {"large": "large|big|huge", "small": "small|little|tiny"}
    pool = digit_pools(42, [8, 9])["train"]
    for index in range(300):
        rng = np.random.default_rng(index)
        scene = draw_scene(rng, pool, may_have_two=True)
        text = describe(scene, rng).lower()
        words = set(re.findall("[a-z]+", text))
        assert words & set(DIGITS) == {DIGITS[figure.digit] for figure in scene.figures}
        assert words & set(COLOURS) <= {figure.colour for figure in scene.figures} | {scene.background}
        for size in set(SIZES) - {figure.size for figure in scene.figures}:
            assert not re.search(rf"\b({synonyms[size]})\b", text)


def test_captions_vary_and_few_say_everything():
    scene = draw_scene(np.random.default_rng(3), digit_pools(42, [8, 9])["train"])
    captions = [describe(scene, np.random.default_rng(seed)) for seed in range(200)]
    assert len(set(captions)) > 60
    assert 0 < sum(scene.background in caption for caption in captions) < 190


def place_of(across: float, down: float) -> str:
    if max(abs(across), abs(down)) < 4.7:
        return "centre"
    if abs(across) > abs(down):
        return "left" if across < 0 else "right"
    return "top" if down < 0 else "bottom"


def test_ink_lies_where_the_place_says_and_as_large_as_the_size_says():
    pool = digit_pools(42, [8, 9])["train"]
    areas: dict[str, list[int]] = {size: [] for size in SIZES}
    agree = 0
    for index in range(200):
        rng = np.random.default_rng(index)
        scene = draw_scene(rng, pool)
        figure = scene.figures[0]
        pixels = paint(scene, rng, 48).astype(float)
        to_ink, to_ground = (
            np.linalg.norm(pixels - RGB[c], axis=2) for c in (figure.colour, scene.background)
        )
        y, x = np.nonzero(to_ink < to_ground)
        found = place_of(x.mean() - 23.5, y.mean() - 23.5)
        agree += found == figure.place
        areas[figure.size].append(len(y))
    assert agree >= 196  # of 200: a 7 has most of its ink at the top
    assert np.median(areas["large"]) > 1.8 * np.median(areas["small"])


def test_labels_of_the_sets_are_dense_and_all_classes_occur(toy):
    for name, digits in (("toy-scenes-train", range(8)), ("toy-heldout-digits-test", (8, 9))):
        table = pd.read_parquet(toy / f"{name}.parquet")
        assert set(table["digit"]) == set(digits)
        for label, names in (("colour", COLOURS), ("size", SIZES), ("place", PLACES)):
            assert set(table[label]) <= set(range(len(names)))
    assert list(pd.read_parquet(toy / "toy-textures-test.parquet")) == ["image"]


def test_digit_labels_are_dense_whatever_is_held_out(tmp_path):
    source = SOURCE.model_copy(update={"heldout_digits": [0, 1], "num_train": 8, "num_heldout": 8})
    make_toy(tmp_path / "source", source, 42, HOST)
    assert set(pd.read_parquet(tmp_path / "source/toy-scenes-train.parquet")["digit"]) == set(range(8))
    assert set(pd.read_parquet(tmp_path / "source/toy-heldout-digits-test.parquet")["digit"]) == {0, 1}


def test_every_set_has_its_count_and_the_same_codec_and_size(toy):
    for name, count in zip(SETS, (60, 30, 30, 30), strict=True):
        images = pd.read_parquet(toy / f"{name}.parquet")["image"]
        assert len(images) == count
        assert {decoded(image["bytes"]).shape for image in images} == {(48, 48, 3)}


def test_lists_have_every_scene_and_the_share_of_bad_rows(toy):
    pairs = read_list(toy / "train.tsv")
    names = [Path(url).name for url in pairs["url"]]
    assert all(re.fullmatch(r"\d{5}-[0-9a-f]{8}\.jpg", name) for name in names if name[0].isdigit())
    assert len({name for name in names if name[0].isdigit()}) == 40
    assert len(names) == 40 + 8
    assert names != sorted(names)
    assert 1 < pairs["captions"].str.len().mean() < 2


def test_bad_rows_are_what_they_are_called(toy):
    files = {p.name: p.read_bytes() for p in (toy / "images/train").iterdir()}
    good = {data for name, data in files.items() if name[0].isdigit()}
    assert not any(name.startswith("dead") for name in files)
    assert sum(name.startswith("duplicate") and data in good for name, data in files.items()) == 2
    assert sum(name.startswith("page") and b"<html>" in data for name, data in files.items()) == 2
    for name, data in files.items():
        if name.startswith("truncated"):
            with pytest.raises(OSError, match=r"(?i)truncated"):
                decoded(data)
