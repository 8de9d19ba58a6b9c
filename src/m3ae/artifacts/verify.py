"""Are the artifacts of a run what their records speak of? Every byte is read again."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from m3ae.artifacts.inventory import Artifact, inventory
from m3ae.artifacts.packed import is_packed, unfit_pack
from m3ae.config import Run
from m3ae.errors import UserError
from m3ae.files import sha256_of
from m3ae.records import read_placed


def selected(run: Run, kinds: Iterable[str] = (), models: Iterable[str] = ()) -> list[Artifact]:
    """The artifacts of some kinds and models, or of all. Raises UserError for a model that there is not."""
    kinds, models = set(kinds), set(models)
    for model in models:
        run.model(model)
    return [
        artifact
        for artifact in inventory(run)
        if (not kinds or artifact.kind in kinds) and (not models or artifact.model in models)
    ]


def findings(artifacts: list[Artifact], title: str) -> Iterator[str]:
    """One line for each artifact that does not match its record, with a progress bar over their bytes."""
    total = sum(artifact.path.stat().st_size for artifact in artifacts)
    with tqdm(total=total, desc=title, unit="B", unit_scale=True, disable=None) as bar:
        for artifact in artifacts:
            finding = mismatch(artifact)
            bar.update(artifact.path.stat().st_size)
            if finding:
                yield finding


def mismatch(artifact: Artifact) -> str | None:
    """Why a file is not what its record speaks of; None if it is."""
    path = artifact.path
    if path == artifact.record:
        return broken(artifact)
    if is_packed(path) and (artifact.sha256 or not vouched(artifact)):
        return unfit_pack(artifact)
    if artifact.sha256 is None:
        return (
            f"{path}: no record speaks of it; make it again: snakemake -f {path}"
            if vouched(artifact)
            else None
        )
    found = sha256_of(path)
    if found == artifact.sha256:
        return None
    return (
        f"{path}: expected sha256 {artifact.sha256[:12]} as {artifact.record} states, got {found[:12]}; "
        f"bring it again, or make it again: snakemake -f {path}"
    )


def broken(artifact: Artifact) -> str | None:
    """Why a record is not to be believed; manifests, which state no hash of their own, need only be JSON."""
    try:
        if artifact.kind == "records":
            read_placed(artifact.path)
        else:
            json.loads(artifact.path.read_bytes())
    except UserError as error:
        return str(error)
    except ValueError as error:
        return f"{artifact.path}: not JSON ({error}); make it again: snakemake -f {artifact.path}"
    return None


def vouched(artifact: Artifact) -> bool:
    """Whether a record must state the bytes: of weights and features, which everything else hangs on."""
    return artifact.kind in ("encoders", "features", "layers", "heads")


def present(artifacts: Iterable[Artifact]) -> list[Artifact]:
    """Those that lie here."""
    return [artifact for artifact in artifacts if Path(artifact.path).is_file()]
