"""``m3ae trace`` and ``m3ae export-crate``: where a result comes from, and what was made of it."""

import json
from pathlib import Path

import click

from m3ae.cli.common import logged, run_option


@click.command()
@click.argument("path")
@click.option("--settings", is_flag=True, help="Also list every setting of every stage.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@logged
def trace(path: str, settings: bool, as_json: bool) -> None:
    """Trace PATH back to data, code, settings and environment, and forward to the printed cells.

    PATH is a record (results/RUN/MODEL/*.json), a file that a stage read or made (weights, features,
    manifests, tokens, listings; a copy under any name is known by its bytes), a table, chart or page of
    reports/RUN, or a SHA-256 of which 8 digits are enough. From records alone: the files need not be here.
    """
    from m3ae.provenance.trace import trace as follow
    from m3ae.provenance.tree import Tree

    found = follow(path)
    click.echo(json.dumps(found.plain(), indent=1) if as_json else Tree(found, settings=settings).text())


@click.command()
@run_option
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--artifacts", is_flag=True, help="Also put encoders and features in, those that are here.")
@click.option("--agent", help="Who ran the stages (default: the authors in CITATION.cff).")
@logged
def export_crate(run_name: str, out: Path, artifacts: bool, agent: str | None) -> None:
    """Write a run as an RO-Crate to OUT, a new folder or a new .zip, for an archive such as Zenodo.

    In it: the workflow and its lock, the run's settings, every record, tables and charts, and for every
    stage what it read, by which code and libraries, when, and what it made (Workflow Run Crate 0.5). Files
    that are not in it stand there by their SHA-256. No picture, page or caption of the data goes in.
    """
    from m3ae.provenance.crate.export import export_crate as export

    num = export(run_name, out, artifacts=artifacts, agent=agent)
    click.echo(f"{out}: {num} files and ro-crate-metadata.json")
