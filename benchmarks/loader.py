"""The loader beside webdataset's stock pipeline, torchvision's ImageFolder and img2dataset's raw shards.

    python benchmarks/loader.py > benchmarks/results/loader.md

Crops of 256 px (RandomResizedCrop 0.2 to 1, bicubic, flip), batches of 64, one core, no worker processes, all
files in memory (page cache). The contenders take turns in one process, a few batches each, so that whatever
else the machine does meets all of them; what counts is the processor time of each turn against ours of the
same round. Theirs end with ToTensor and Normalize, as in everybody's recipe; ours are bytes, which the device
normalises, and have words and masks too. A line of its own adds our normalisation on the same core.

Then the pixels: the crops against Pillow's, over the same images.
"""

import io
import os
import platform
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the writer of raw shards is the tests'
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
import webdataset
from made_photographs import make_run, photographs
from PIL import Image
from torch.utils.data import DataLoader

from m3ae.config import Run
from m3ae.config.paths import data_root
from m3ae.data.stream.augment import draw_crop, training_view
from m3ae.data.stream.decode import Box, image_size, shrinking, shrunk_edges
from m3ae.data.stream.loader import load_steps
from m3ae.data.stream.stream import Stream
from m3ae.records import processor
from m3ae.torchvision_ops import make_importable
from m3ae.train.objective import Normaliser
from raw_shards import Answer, write_shard

NUMBER, BATCH, BATCHES, ROUNDS = 512, 64, 2, 20
SETS = {  # short sides and quality of the JPEGs
    "a": ("clean shards as `paper` makes them", (256, 256), 95),
    "b": ("originals", (512, 640), 90),
}
OURS, NORMALISED, STOCK, RAW, FOLDER = CONTENDERS = (
    "m3ae",
    "m3ae, normalised on this core",
    "webdataset, stock",
    "webdataset, stock, on img2dataset's raw shards",
    "torchvision ImageFolder, DataLoader",
)


def stock_transform(run: Run):
    """The recipe of the authors' data.py, in torchvision's words."""
    from torchvision import transforms

    image = run.settings.data.image
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(
                image.size_px, tuple(image.crop_scale), interpolation=transforms.InterpolationMode.BICUBIC
            ),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(image.mean, image.std),
        ]
    )


def webdataset_batches(tars: list[str], words: str, run: Run) -> Iterator:
    """webdataset as its documentation shows it."""
    dataset = webdataset.WebDataset(tars, shardshuffle=False).repeat().decode("pil").to_tuple("jpg", words)
    dataset = dataset.map_tuple(stock_transform(run), lambda same: same).batched(BATCH)
    return iter(webdataset.WebLoader(dataset, batch_size=None, num_workers=0))


def folder_batches(folder: Path, run: Run) -> Iterator:
    """torchvision's ImageFolder in torch's DataLoader, shuffled."""
    from torchvision.datasets import ImageFolder

    loader = DataLoader(ImageFolder(str(folder), stock_transform(run)), BATCH, shuffle=True, drop_last=True)
    return (batch for _ in count() for batch in loader)


def our_batches(run: Run, normalise: bool) -> Iterator:
    """Ours, as training reads."""
    normaliser = Normaliser(run.settings.data.image)
    batches = load_steps(Stream(run, run.models_of("m3ae")[0]), BATCH, 0, 2**40, workers=0)
    return ((normaliser(batch.image), batch) if normalise else batch for batch in batches)


def contenders(run: Run, folder: Path, jpegs: list[bytes]) -> dict[str, Iterator]:
    """Endless batches of each."""
    raw = folder / f"{run.name}-raw.tar"
    write_shard(raw, list(enumerate(Answer(jpeg) for jpeg in jpegs)))
    clean = [str(path) for path in sorted(run.paths.shards("train").glob("*.tar"))]
    return {
        OURS: our_batches(run, normalise=False),
        NORMALISED: our_batches(run, normalise=True),
        STOCK: webdataset_batches(clean, "json", run),
        RAW: webdataset_batches([str(raw)], "json", run),
        FOLDER: folder_batches(data_root() / f"{run.name}-images", run),
    }


def turn(batches: Iterator) -> tuple[float, float]:
    """Milliseconds per sample of one turn: of the processor, and of the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(BATCHES):
        next(batches)
    per_sample = 1e3 / (BATCH * BATCHES)
    return (time.process_time() - cpu) * per_sample, (time.perf_counter() - wall) * per_sample


def measure(made: dict[str, Iterator]) -> dict[str, np.ndarray]:
    """(rounds, 2) times of each contender."""
    for batches in made.values():
        turn(batches)  # warm-up
    rounds = [{name: turn(batches) for name, batches in made.items()} for _ in range(ROUNDS)]
    return {name: np.array([times[name] for times in rounds]) for name in made}


def interval(ratios: np.ndarray) -> str:
    """Median and 95 % bootstrap interval."""
    draws = np.median(np.random.default_rng(0).choice(ratios, (2000, len(ratios))), axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{np.median(ratios):.2f} [{low:.2f}, {high:.2f}]"


def print_speed(times: dict[str, np.ndarray]) -> None:
    """The table of one set."""
    print("| | processor, ms/sample | clock, ms/sample | samples/s per core | time over ours |")
    print("|---|---|---|---|---|")
    for name, values in times.items():
        cpu, wall = np.median(values, axis=0)
        ratio = interval(values[:, 0] / times[OURS][:, 0])
        print(f"| {name} | {cpu:.2f} | {wall:.2f} | {1e3 / cpu:,.0f} | {ratio} |")


Edges = tuple[float, float, float, float]


def pillow_crop(jpeg: bytes, edges: Edges, size_px: int, rows_first: bool) -> np.ndarray:
    """Pillow's crop and resize of the whole decoded image."""
    image = Image.open(io.BytesIO(jpeg)).convert("RGB").crop(edges)
    if rows_first:
        image = image.resize((size_px, image.height), Image.Resampling.BICUBIC)
    return np.asarray(image.resize((size_px, size_px), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def differences(run: Run, jpegs: list[bytes], size_px: int) -> dict[str, list[np.ndarray]]:
    """Our crops minus Pillow's, by the kind of decoding and of Pillow's crop."""
    image = run.settings.data.image.model_copy(update={"size_px": size_px})
    found: dict[str, list[np.ndarray]] = {}
    for sample, jpeg in enumerate(jpegs):
        low, high = image.crop_scale
        crop = draw_crop(image_size(jpeg), (low, high), image.flip, 0, 0, sample)
        ours = training_view(jpeg, image, 0, 0, sample)[:, :, :: -1 if crop.flip else 1].astype(int)
        box = Box(*crop[:4])
        factor, exact = shrinking(box, size_px), shrunk_edges(box, 1)
        if factor == 1:
            kinds = {"as they are": (exact, False), "as they are; Pillow rows first": (exact, True)}
        else:
            kinds = {"shrunk": (exact, False)}
        for kind, (edges, rows_first) in kinds.items():
            found.setdefault(kind, []).append(ours - pillow_crop(jpeg, edges, size_px, rows_first))
    return found


def print_differences(name: str, size_px: int, found: dict[str, list[np.ndarray]]) -> None:
    """Lines of the table of differences."""
    for kind, arrays in found.items():
        errors = np.abs(np.stack(arrays))
        noise = (errors.astype(float) ** 2).mean(axis=(1, 2, 3))
        decibel = [10 * np.log10(255**2 / max(value, 1e-9)) for value in (noise.mean(), noise.max())]
        print(
            f"| {name} | {size_px} | {kind} | {len(arrays)} | {errors.max()} | {errors.mean():.4f} | "
            f"{(errors > 1).mean():.1e} | {decibel[0]:.1f} | {decibel[1]:.1f} |"
        )


def main() -> None:
    """Print the tables."""
    warnings.filterwarnings("ignore")
    make_importable()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    config = Path(__file__).parents[1] / "config"
    names = ("torch", "simplejpeg", "pillow", "webdataset", "torchvision", "numpy")
    print("# The loader on one core, beside others'\n")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"{time.strftime('%Y-%m-%d')}, {processor()}, 1 of {os.cpu_count()} cores,", end=" ")
    print(f"Python {platform.python_version()}, {versions}.")
    print("`python benchmarks/loader.py`: what is compared, and how, is said there.\n")
    print(f"{ROUNDS} rounds of {BATCH * BATCHES} samples each; medians, and the median ratio of processor")
    print("times in the same round with its 95 % bootstrap interval. Where the clock runs ahead of the")
    print("processor, other jobs shared the core.", flush=True)
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(config, folder / "config")
        os.chdir(folder)
        os.environ.pop("M3AE_DATA_ROOT", None)
        for key, (title, sides, quality) in SETS.items():
            jpegs = photographs(NUMBER, sides, quality)
            weight = sum(map(len, jpegs)) / len(jpegs) / 1e3
            run = make_run(folder, f"loader-{key}", jpegs, sides[1])
            print(f"\n## ({key}) {title}: short side {sides[0]} to {sides[1]} px,", end=" ")
            print(f"quality {quality}, {weight:.0f} kB each\n")
            print_speed(measure(contenders(run, folder, jpegs)))
            lines += [(key, size_px, differences(run, jpegs[:256], size_px)) for size_px in (256, 64)]
        os.chdir("/")
    print("\n## Difference to Pillow (levels of 255)\n")
    print("| set | crop, px | decoded | crops | max | mean | share above 1 | PSNR, dB | worst crop, dB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for line in lines:
        print_differences(*line)


if __name__ == "__main__":
    main()
