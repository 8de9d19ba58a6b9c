"""Clean shards made of pictures and captions at once, without a source, for tests of the stream."""

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from m3ae.config import Run, load_run
from m3ae.data.index import IndexWriter
from m3ae.data.manifest import CAPTIONS, INDEX, MANIFEST, Manifest, Shard, Yield, write_manifest
from m3ae.files import sha256_of
from raw_shards import encoded, picture
from small_project import WORDS, make_config

NUM_PAIRS, NUM_IMAGES, NUM_LINES = 23, 7, 30
KINDS = {"pairs": 4.0, "images": 1.5, "texts": 2.0}


def jpegs(num: int, first_seed: int = 0) -> list[bytes]:
    """Pictures that no other seed gives."""
    return [encoded(picture(32, 32, seed)) for seed in range(first_seed, first_seed + num)]


def write_shards(folder: Path, images: list[bytes], captions: list[list[str]], per_shard: int = 5) -> None:
    """Tars of ``per_shard`` samples, index, captions and manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = []
    with IndexWriter(folder / INDEX) as index:
        for start in range(0, len(images), per_shard):
            path = folder / f"{len(shards):05d}.tar"
            some = images[start : start + per_shard]
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
                for id, image in enumerate(some, start):
                    member = tarfile.TarInfo(f"{id:08d}.jpg")
                    member.size = len(image)
                    index.add(len(shards), tar.offset + tarfile.BLOCKSIZE, len(image), 32, 32)
                    tar.addfile(member, io.BytesIO(image))
            size, digest = path.stat().st_size, sha256_of(path)
            shards.append(Shard(name=path.name, count=len(some), bytes=size, sha256=digest))
    table = pa.table({"captions": pa.array(captions, pa.list_(pa.string())), "sha256": ["0"] * len(images)})
    pq.write_table(table, folder / CAPTIONS)
    write_manifest(folder / MANIFEST, manifest_of(folder, len(images), shards))


def manifest_of(folder: Path, num: int, shards: list[Shard]) -> Manifest:
    """The manifest of a folder where every sample was kept."""
    return Manifest(
        format=2,
        split=folder.name,
        count=num,
        shards=shards,
        yield_=Yield(rows=num, images=num, received=num, kept=num, share=1.0),
        rejected={},
        index_sha256=sha256_of(folder / INDEX),
        captions_sha256=sha256_of(folder / CAPTIONS),
        inputs={},
        settings={},
    )


def captions_of(num: int, seed: int = 0) -> list[list[str]]:
    """One caption or two for each picture."""
    rng = np.random.default_rng(seed)
    return [[" ".join(rng.choice(WORDS, 6)) for _ in range(1 + i % 2)] for i in range(num)]


def make_stream_project(
    folder: Path, mixture: dict[str, float] | None = None, epochs: float = 8, **pretrain: Any
) -> Run:
    """The run `micro` in the current folder: shards of pairs and of images alone, tokens, passages."""
    from m3ae.data.passages import make_passages
    from m3ae.data.tokens import make_tokens

    if not (folder / "config").exists():
        (folder / "text.txt").write_text("\n\n".join(c[0] for c in captions_of(NUM_LINES, 1)))
    data = {
        "image": {"size_px": 24, "crop_scale": [0.3, 1.0], "flip": True},
        "images": {"kind": "folder", "images": "none"},
        "texts": {"files": str(folder / "text.txt"), "max_tokens": 9},
    }
    recipe = {
        "mixture": mixture or KINDS,
        "mask_scope": "sample",
        "unpaired_text_loss_weight": 0.5,
        **pretrain,
    }
    models = {name: {"epochs": epochs} for name in ("m3ae-b100", "mae-b100")}
    make_config(folder, data=data, pretrain=recipe, batch_size=11, models=models)
    run = load_run("micro")
    if not run.paths.shards("train").exists():
        write_shards(run.paths.shards("train"), jpegs(NUM_PAIRS), captions_of(NUM_PAIRS))
        write_shards(run.paths.shards("heldout"), jpegs(3, 500), captions_of(3))
        write_shards(run.paths.shards("images"), jpegs(NUM_IMAGES, 900), [[]] * NUM_IMAGES)
        make_tokens(run)
        make_passages(run)
    return run
