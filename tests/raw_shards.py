"""Made-up downloads in the layout of img2dataset's WebDataset writer, for the tests of cleaning."""

import io
import json
import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from m3ae.config import Run, load_run
from m3ae.config.load import merge
from m3ae.config.models import RunSettings

ROOT = Path(__file__).parents[1]


def project(folder: Path, monkeypatch: pytest.MonkeyPatch, **data: dict[str, Any]) -> Run:
    """A project folder with the run `tiny`, whose `data` settings are changed; makes it the current one."""
    shutil.copytree(ROOT / "config", folder / "config")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("M3AE_DATA_ROOT", raising=False)
    settings = merge(load_run("tiny").settings.plain(), {"data": data})
    return Run("tiny", RunSettings.model_validate(settings))


def picture(width: int, height: int, seed: int = 0, mode: str = "RGB") -> Image.Image:
    """A smooth picture that no other seed gives."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@dataclass
class Answer:
    """What the web answers for one URL: bytes, or an error."""

    image: bytes | None = None
    captions: list[str] = field(default_factory=lambda: ["a plain caption"])
    error: str | None = None
    exif: dict[str, str] | None = None

    def metadata(self, index: int) -> dict[str, Any]:
        status = "success" if self.error is None else "failed_to_download"
        return {
            "url": f"http://web.test/{index}.jpg",
            "captions": json.dumps(self.captions),
            "key": f"{index:09d}",
            "status": status,
            "error_message": self.error,
            "exif": None if self.exif is None else json.dumps(self.exif),
        }


def write_raw(run: Run, split: str, answers: list[Answer], order: int = 1, per_shard: int = 1000) -> None:
    """Write raw shards and the report; ``order`` = -1 stores the samples of a shard the other way round."""
    folder = run.paths.raw(split)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    numbered = list(enumerate(answers))
    for start in range(0, len(answers), per_shard):
        path = folder / f"{start // per_shard:05d}.tar"
        write_shard(path, numbered[start : start + per_shard][::order])
    downloaded = sum(answer.error is None for answer in answers)
    report = {
        "rows": sum(len(answer.captions) for answer in answers),
        "urls": len(answers),
        "downloaded": downloaded,
        "failed": {},
        "list_sha256": "0" * 64,
        "settings": run.stage("download"),
    }
    run.paths.download(split).write_text(json.dumps(report))


def write_shard(path: Path, numbered: list[tuple[int, Answer]]) -> None:
    """One raw tar and its list of outcomes."""
    with tarfile.open(path, "w") as tar:
        for index, answer in numbered:
            if answer.error is None:
                add(tar, f"{index:09d}.jpg", answer.image or b"")
                add(tar, f"{index:09d}.txt", (answer.captions or [""])[0].encode())
                add(tar, f"{index:09d}.json", json.dumps(answer.metadata(index)).encode())
    rows = [answer.metadata(index) for index, answer in numbered]
    # img2dataset states the types: a column without any value is still one of strings.
    schema = pa.schema([(name, pa.string()) for name in rows[0]])
    pq.write_table(pa.Table.from_pylist(rows, schema), path.with_suffix(".parquet"))


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file to a tar, dated by its length: real ones bear the time of the download."""
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(data), 1_700_000_000 + len(data)
    tar.addfile(member, io.BytesIO(data))
