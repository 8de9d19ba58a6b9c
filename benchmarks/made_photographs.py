"""Photographs of realistic size and weight, and a run made of them, for the loader's benchmark.

scikit-learn ships two photographs (427 x 640). Random parts of them, at random aspects, enlarged or reduced,
with grain, stand for a crawl: as JPEGs they weigh per pixel about what photographs of the web do.
"""

import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from sklearn.datasets import load_sample_images

from m3ae.cli.main import main
from m3ae.config import Run, load_run
from m3ae.config.paths import data_root

ASPECTS = (4 / 3, 3 / 2, 1.0, 16 / 9, 3 / 4, 2 / 3)
SPLITS = ("train", "heldout")
GRAIN = 4  # standard deviation of the grain (levels)


def photographs(number: int, short_sides: tuple[int, int], quality: int) -> list[bytes]:
    """``number`` JPEGs whose short sides are spread evenly over a range."""
    rng = np.random.default_rng(0)
    images = [Image.fromarray(image) for image in load_sample_images().images]
    made = []
    for i in range(number):
        short, aspect = int(rng.integers(short_sides[0], short_sides[1] + 1)), float(rng.choice(ASPECTS))
        size = (round(short * max(aspect, 1)), round(short / min(aspect, 1)))
        image = random_part(images[i % 2], size, rng)
        grain = rng.normal(0, GRAIN, (size[1], size[0], 1))
        pixels = (np.asarray(image) + grain).clip(0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
        made.append(buffer.getvalue())
    return made


def random_part(image: Image.Image, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A random part of an image, of the aspect of ``size``, brought to that size."""
    height = min(image.height, image.width * size[1] / size[0]) * rng.uniform(0.6, 1.0)
    width = height * size[0] / size[1]
    x, y = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    return image.resize(size, Image.Resampling.BICUBIC, box=(x, y, x + width, y + height))


def make_run(project: Path, name: str, jpegs: list[bytes], short_side_px: int) -> Run:
    """Clean shards and tokens of a run with crops as in `paper`; the project is the current folder."""
    images = data_root() / f"{name}-images" / "photographs"
    images.mkdir(parents=True)
    for i, jpeg in enumerate(jpegs):
        (images / f"{i:08d}.jpg").write_bytes(jpeg)
    rows = [
        f"photographs/{i:08d}.jpg\ta photograph number {i} of a temple or of a flower"
        for i in range(len(jpegs))
    ]
    (data_root() / f"{name}.tsv").write_text("\n".join(["image\tcaption", *rows]) + "\n")
    (project / "config" / f"{name}.yaml").write_text(yaml.safe_dump(settings(name, short_side_px)))
    steps = ["source"] + [f"{step} --split {split}" for step in ("download", "clean") for split in SPLITS]
    for step in [*steps, "tokens"]:
        with redirect_stdout(sys.stderr):
            main(["data", *step.split(), "--run", name], standalone_mode=False)
    return load_run(name)


def settings(name: str, short_side_px: int) -> dict:
    """What the run changes in `tiny`: a folder of images, crops as in `paper`."""
    source = {"kind": "folder", "images": f"{name}-images", "train": f"{name}.tsv", "heldout": 8}
    return {
        "extends": "tiny",
        "data": {
            "source": source,
            "clean": {"short_side_px": short_side_px, "max_pixels": 100_000_000, "shard_samples": 10_000},
            "image": {"size_px": 256, "crop_scale": [0.2, 1.0], "flip": True},
        },
        "architecture": {"patch_px": 16},
        "features": {"resize_px": 256},
    }
