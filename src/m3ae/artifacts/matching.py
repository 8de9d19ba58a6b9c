"""Whether the files of a job are what its record says: its settings, its bytes, what it was made from."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from m3ae.artifacts.cache import Hashes
from m3ae.artifacts.evalsets import wrong_listing
from m3ae.artifacts.inventory import Inventory, read_plain, unfit
from m3ae.artifacts.work import Job
from m3ae.config.stages import sort_keys
from m3ae.records import HASH, content_hash, read_placed


class Problem(NamedTuple):
    """Why a job's files are not what the run asks for."""

    path: Path
    what: str
    """The key or file, what was found, what was expected."""


class Verdict(NamedTuple):
    """What the files of a job are."""

    job: Job
    params: list[Any]
    """What they were made with, in the order of ``job.params()``."""
    problem: Problem | None
    stated: frozenset[Path] = frozenset()
    """The inputs whose bytes a record states."""


def judge(inventory: Inventory, job: Job, hashes: Hashes) -> Verdict | None:
    """Compare a job's files with its records; None where nothing vouches for them.

    Raises UserError, one line, for a record that was edited.
    """
    if not job.records:
        return judge_listing(inventory, job, hashes)
    found = {path: checked(path, job) for path in job.records if path.is_file()}
    if not found:
        return None
    params = job.params()
    for path, content in found.items():
        made_with = made_params(job, content, params)
        if made_with != params:
            return Verdict(job, made_with, Problem(path, difference(made_with, params)))
    problem = wrong_bytes(inventory, job, hashes) or wrong_inputs(inventory, job, found, hashes)
    return Verdict(job, [problem.what] if problem else params, problem, stated_paths(job, found))


def judge_listing(inventory: Inventory, job: Job, hashes: Hashes) -> Verdict | None:
    """A listing has no record of its own: it is known by its bytes, from those who read it."""
    path = job.outputs[0]
    if what := wrong_listing(inventory.run, path, hashes):
        return Verdict(job, [what], Problem(path, what))
    sha256, _ = inventory.statements.of(path)
    if not sha256 or hashes.of(path) != sha256:
        return None
    return Verdict(job, job.params(), None, frozenset(job.inputs.values()))


def checked(path: Path, job: Job) -> dict[str, Any]:
    """A record, manifest or receipt as plain JSON. Raises UserError if its own hash says it was edited."""
    if job.model:
        return read_placed(path).model_dump(mode="json")
    content = read_plain(path)
    # The `sha256` of a manifest may be that of what lies beside it.
    if job.has_receipt and HASH in content and content[HASH] != content_hash(content):
        raise unfit(path, "was edited", job.stage)
    return content


def made_params(job: Job, content: dict[str, Any], params: list[Any]) -> list[Any]:
    """The parameters as a record states them, where it does; else those of the run."""
    stated = [sort_keys(content.get("settings")), *params[1:]]
    if len(params) == 2 and job.stage in ("features", "concepts", "captions"):
        stated[1] = sort_keys(second_settings(job, content) or params[1])
    return stated


def second_settings(job: Job, content: dict[str, Any]) -> Any:
    """How layers or pairs were made: from the record, or from the archive (not every record says it).

    None where neither does. An archive that is cut off is found by its bytes, or by whoever reads it.
    """
    said = content["provenance"].get("layers_settings")
    if said or not (len(job.outputs) > 1 and job.outputs[1].is_file()):
        return said
    with suppress(ValueError, LookupError, TypeError), open(job.outputs[1], "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return json.loads(header["__metadata__"]["m3ae"])["settings"]
    return None


def difference(old: Any, new: Any) -> str:
    """The first setting that differs, with both values."""
    key, was, now = next(differences(old, new))
    return f"{key}: made with {shown(was)}, the run has {shown(now)}"


def differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every setting that differs: its dotted name, both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for was, now in zip(old, new, strict=True):
            yield from differences(was, now, name)
    elif old != new:
        yield name or "settings", old, new


def shown(value: Any) -> str:
    """A value, on one short line."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def wrong_bytes(inventory: Inventory, job: Job, hashes: Hashes) -> Problem | None:
    """A file that is not the one that the job's own record states."""
    for path in job.outputs:
        sha256 = inventory.statements.made.get(path)
        if sha256 and (found := hashes.of(path)) not in (None, sha256):
            witness = inventory.statements.of(path)[1]
            return Problem(path, f"sha256 {found[:12]}, but {witness} speaks of {sha256[:12]}")
    return None


def wrong_inputs(
    inventory: Inventory, job: Job, records: dict[Path, dict[str, Any]], hashes: Hashes
) -> Problem | None:
    """An input that is another now than when the job was done.

    What its own record says of it counts before its bytes: it may not have been brought, and where the two
    differ, the job that makes it is planned anyway.
    """
    for record, content in records.items():
        stated = stated_inputs(job, content)
        if job.has_receipt and (dropped := sorted(stated.keys() - job.inputs)):
            return Problem(record, f"made from {dropped[0]} too, which the run leaves out")
        for name, path in job.inputs.items():
            now = inventory.statements.captions(path) if job.stage == "tokens" else None
            now = now or inventory.statements.made.get(path) or hashes.of(path)
            if name in stated and now not in (None, stated[name]):
                return Problem(record, f"made from {path} of {stated[name][:12]}, which is {now[:12]} now")
            if job.has_receipt and name not in stated and path.exists():
                return Problem(record, f"made without {path}, which is here now")
    return None


def stated_paths(job: Job, records: dict[Path, dict[str, Any]]) -> frozenset[Path]:
    """The inputs that all records speak of."""
    names = set.intersection(*(set(stated_inputs(job, content)) for content in records.values()))
    return frozenset(path for name, path in job.inputs.items() if name in names)


def stated_inputs(job: Job, content: dict[str, Any]) -> dict[str, str]:
    """What went in, by name. Of shards, tokens know the captions."""
    if job.stage == "tokens":
        return {f"{split}_manifest": facts["captions_sha256"] for split, facts in content["splits"].items()}
    return content.get("inputs", {})
