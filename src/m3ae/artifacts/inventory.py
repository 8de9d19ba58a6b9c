"""Which file is what: kind, model, and the record that vouches for its bytes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from m3ae.artifacts.jobs import jobs
from m3ae.artifacts.work import Job
from m3ae.config.run import Run
from m3ae.data.manifest import PACKED
from m3ae.errors import UserError
from m3ae.packing import ENCODER, PACKED_ENCODER

KINDS = {
    ENCODER: "encoders",
    PACKED_ENCODER: "encoders",
    "features.safetensors": "features",
    "layers.safetensors": "layers",
    "pairs.safetensors": "pairs",
    "probe.safetensors": "heads",
    "steps.jsonl": "steps",
    "manifest.json": "manifests",
}
OF_STAGE = {"clean": "shards", "tokens": "tokens", "texts": "tokens", "evalset": "evalsets"}
# Under which names records state the bytes of a file: as their own result, or as what they read.
OWN = {
    ENCODER: "weights_sha256",
    "features.safetensors": "features_sha256",
    "layers.safetensors": "layers_sha256",
    "pairs.safetensors": "pairs_sha256",
    "probe.safetensors": "probe_sha256",
    "steps.jsonl": "steps_sha256",
}


@dataclass(frozen=True)
class Artifact:
    """A file that a run makes, whether it is here or not."""

    kind: str
    """encoders, features, layers, pairs, heads, steps, records, manifests, shards, tokens, evalsets or
    reports."""
    model: str | None
    path: Path
    record: Path | None
    """The record or manifest that states its SHA-256; a record vouches for itself. None if nothing does."""
    sha256: str | None
    """As stated there; of packed weights that of the file which was packed."""


class Statements:
    """What the records that are here say of files: SHA-256 by path, and who says it."""

    def __init__(self, all_jobs: list[Job]) -> None:
        self.made: dict[Path, str] = {}
        """As stated by the record of the job that makes the file."""
        self.found: dict[Path, tuple[str, Path]] = {}
        for job in all_jobs:  # makers come before readers, and are believed first
            for record in job.records:
                content = read_plain(record)
                try:
                    own, read = dict(own_files(record, content, job)), dict(read_by(content, job))
                except (AttributeError, KeyError, TypeError) as error:
                    raise unfit(record, f"not what {job.stage} writes ({error!r})") from None
                self.made |= own
                for path, sha256 in [*own.items(), *read.items()]:
                    self.found.setdefault(path, (sha256, record))

    def of(self, path: Path) -> tuple[str | None, Path | None]:
        """The SHA-256 of a file and its witness; (None, None) if no record speaks of it."""
        return self.found.get(path, (None, None))

    def captions(self, manifest: Path) -> str | None:
        """SHA-256 of the captions beside a manifest of clean shards."""
        return self.made.get(manifest.with_name("captions.parquet"))


def read_plain(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no file. Raises UserError, one line, if it is broken."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise unfit(path, f"not JSON ({error})") from None
    return content if isinstance(content, dict) else {}


def unfit(path: Path, what: str, target: str | None = None) -> UserError:
    """The line that stops a command at a file that cannot be believed; ``target`` makes it, else its path."""
    again = f"restore the file, or remove it and make it again: snakemake {target or path}"
    return UserError(f"{path}: {what}; {again}")


def own_files(record: Path, content: dict[str, Any], job: Job) -> Iterator[tuple[Path, str]]:
    """What the record (or manifest, or receipt) of a job says of the files that the job makes."""
    if job.stage == "clean":
        folder, shards = record.parent, content.get("shards", [])
        named = {"index.arrow": "index_sha256", "captions.parquet": "captions_sha256"}
        yield from ((folder / name, content[key]) for name, key in named.items() if key in content)
        yield from ((folder / shard["name"], shard["sha256"]) for shard in shards)
    elif job.stage == "tokens":
        splits = content.get("splits", {})
        yield from ((record.with_name(f"{split}.arrow"), splits[split]["sha256"]) for split in splits)
    elif job.stage == "texts":
        yield from ((path, content["sha256"]) for path in job.outputs[:1] if content)
    elif job.model is None:  # a receipt
        yield from ((Path(name), sha256) for name, sha256 in content.get("outputs", {}).items())
    else:
        said = {**content.get("provenance", {}), **content.get("details", {})}
        yield from ((path, said[OWN[path.name]]) for path in job.outputs if OWN.get(path.name) in said)


def read_by(content: dict[str, Any], job: Job) -> Iterator[tuple[Path, str]]:
    """What a record says of the files that the job read."""
    inputs = content.get("inputs", {})
    if job.model:
        yield from ((path, inputs[name]) for name, path in job.inputs.items() if name in inputs)


class Inventory:
    """The jobs of a run, and what its records say."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.jobs = list(jobs(run))

    @cached_property
    def statements(self) -> Statements:
        """Read when first asked for: some hundred small files."""
        return Statements(self.jobs)

    def artifacts(self) -> Iterator[Artifact]:
        """Every file, in the order of the workflow; of shards those that manifests name; packed ones too."""
        for job in self.jobs:
            for path in dict.fromkeys([*job.outputs, *job.records, *shards(job), *packed_weights(job)]):
                plain = path.with_name(ENCODER) if path.name == PACKED_ENCODER else path
                sha256, witness = self.statements.of(plain)
                if path in job.records:
                    witness = path
                yield Artifact(kind_of(job, path), job.model, path, witness, sha256)


def inventory(run: Run) -> list[Artifact]:
    """Every file of a run that its records, manifests and receipts speak of, and the records themselves."""
    return list(Inventory(run).artifacts())


def shards(job: Job) -> list[Path]:
    """The tars beside a manifest of clean shards, and the file that holds them packed, if it lies there."""
    if job.stage != "clean":
        return []
    manifest = job.records[0]
    packed = manifest.with_name(PACKED)
    named = [manifest.with_name(shard["name"]) for shard in read_plain(manifest).get("shards", [])]
    return [*named, packed] if packed.is_file() else named


def packed_weights(job: Job) -> list[Path]:
    """The file that holds the encoder of a job packed, if it lies there."""
    packed = [path.with_name(PACKED_ENCODER) for path in job.outputs if path.name == ENCODER]
    return [path for path in packed if path.is_file()]


def kind_of(job: Job, path: Path) -> str:
    """What a file is."""
    if "reports" in path.parts[:1]:
        return "reports"
    fallback = "records" if job.model else "manifests"
    return KINDS.get(path.name, OF_STAGE.get(job.stage, fallback))
