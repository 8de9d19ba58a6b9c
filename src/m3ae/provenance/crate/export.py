"""Write the crate of a run, as a folder or a ZIP file that is whole or absent."""

import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from rocrate.rocrate import ROCrate

from m3ae.errors import UserError
from m3ae.provenance.crate.actions import add_run, add_stages, add_tables
from m3ae.provenance.crate.build import Builder, add_workflow, describe_root, files_of_run
from m3ae.provenance.found import records_of

ZIP = ".zip"


def export_crate(run: str, out: Path, *, artifacts: bool = False, agent: str | None = None) -> int:
    """Write the crate to ``out`` (a new folder, or a new `*.zip`); how many files it holds.

    Same records and files, same metadata. Raises UserError where ``out`` is there already.
    """
    if out.exists():
        raise UserError(f"{out}: is there already; choose another name, or remove it")
    crate = build_crate(run, artifacts=artifacts, agent=agent)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        whole = Path(folder) / out.name
        if out.suffix == ZIP:
            crate.write_zip(whole)
        else:
            crate.write(whole)
        shutil.move(whole, out)
    return len(crate.data_entities)


def build_crate(run: str, *, artifacts: bool, agent: str | None) -> ROCrate:
    """Everything that is known of a run, in memory."""
    builder = Builder(run, dict(records_of(run)), artifacts=artifacts, agent=agent)
    finished = [record.provenance.get("finished", "") for record in builder.records.values()]
    published = (max(finished) or "1970-01-01T00:00:00Z").replace("Z", "+00:00")
    describe_root(builder, published)
    workflow = add_workflow(builder, version("snakemake"))
    files = files_of_run(builder)
    targets = {
        name.removeprefix("target "): found for name, found in files.items() if name.startswith("target ")
    }
    add_stages(builder)
    add_tables(builder, targets, published)
    records = [builder.file(path) for path in builder.records]
    tables = [file for found in targets.values() for file in found]
    add_run(builder, workflow, files["settings"], [*records, *files["others"], *tables])
    return builder.crate
