"""``m3ae trace`` and ``m3ae export-crate``: where a result comes from, and what was made of it."""

import json

import click

from m3ae.cli.common import logged


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
