"""``m3ae artifacts``: list, check, publish and bring what a run has made."""

import click

from m3ae.cli.common import fail, logged, run_option
from m3ae.config import load_run

kind_option = click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="Only this kind, such as encoders; may be repeated.",
)
some_models_option = click.option(
    "--model", "models", multiple=True, metavar="MODEL", help="Only this model; may be repeated."
)
remote_option = click.option(
    "--remote", metavar="NAME", help="A remote of DVC [the default one: `embedded`, in data/store]."
)


@click.group()
def artifacts() -> None:
    """List, check, publish and bring what a run has made: encoders, features, heads, records, data.

    Plain `dvc pull` brings everything that is published; these commands do parts of it, with checks.
    """


@artifacts.command("list")
@click.option("--run", "run_names", multiple=True, metavar="RUN", help="A run; may be repeated [all].")
@kind_option
@some_models_option
@remote_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@logged
def list_command(
    run_names: tuple[str, ...],
    kinds: tuple[str, ...],
    models: tuple[str, ...],
    remote: str | None,
    as_json: bool,
) -> None:
    """What artifacts there are: kind, model, size, hash as the record states it, and where they lie."""
    import json

    from m3ae.artifacts.listing import known_runs, listing, table

    listed = {
        name: listing(load_run(name), check(kinds), models, remote) for name in run_names or known_runs()
    }
    if as_json:
        lines = [line._asdict() for of_run in listed.values() for line in of_run]
        click.echo(json.dumps(lines, indent=1))
    else:
        click.echo("\n\n".join(table(lines, name) for name, lines in listed.items()))


@artifacts.command()
@run_option
@kind_option
@some_models_option
@logged
def verify(run_name: str, kinds: tuple[str, ...], models: tuple[str, ...]) -> None:
    """Hash every artifact that lies here again and compare with its record; exit code 1 if one differs."""
    from m3ae.artifacts.pull import changed
    from m3ae.artifacts.verify import findings, present, selected

    run = load_run(run_name)
    here = present(selected(run, check(kinds), models))
    found = list(findings(here, f"verifying {run_name}"))
    for line in found:
        click.echo(line)
    if found:
        fail(f"run {run_name!r}: {len(found)} of {len(here)} artifacts do not match their records", 1)
    click.echo(f"run {run_name!r}: {len(here)} artifacts match their records")
    other = changed(run, kinds, models)
    if other:
        click.echo(f"{len(other)} differ from what is published, such as {other[0].path}; publish them: push")


@artifacts.command()
@run_option
@kind_option
@some_models_option
@remote_option
@logged
def push(run_name: str, kinds: tuple[str, ...], models: tuple[str, ...], remote: str | None) -> None:
    """Publish artifacts: check them, send them to the remote, list them in results/RUN-KIND.dvc.

    Those in git already (records of `photos`) are left out. The default remote is a folder in git, of 20 MB
    at most, and takes no pictures or captions that the project did not make itself.
    """
    from m3ae.artifacts.push import push as push_artifacts
    from m3ae.artifacts.store import megabytes

    done = push_artifacts(load_run(run_name), check(kinds), models, remote)
    for kind, entries in done.entries.items():
        click.echo(f"{kind}: {len(entries)} files, {megabytes(sum(entry.size for entry in entries))}")
    click.echo(f"{done.num_sent} objects sent to {done.remote!r}, {megabytes(done.sent)}")
    if done.left_out:
        names = ", ".join(done.left_out)
        click.echo(f"left out: {names}; they hold pictures or captions of others, and data/store is in git")
    folders = [*map(str, done.files), *(["data/store"] if done.embedded else [])]
    click.echo(f"now commit: git add {' '.join(folders)}")


@artifacts.command()
@run_option
@kind_option
@some_models_option
@remote_option
@click.option("--force", is_flag=True, help="Replace files that differ from what is published.")
@logged
def pull(
    run_name: str, kinds: tuple[str, ...], models: tuple[str, ...], remote: str | None, force: bool
) -> None:
    """Bring published artifacts: like `dvc pull`, for a part of them.

    An object that the remote lacks, or has damaged, comes from the remote named `mirror`, if one is
    configured: dvc remote add mirror https://example.org/m3ae
    """
    from m3ae.artifacts.pull import pull as pull_artifacts
    from m3ae.artifacts.store import megabytes

    done = pull_artifacts(load_run(run_name), check(kinds), models, remote, force)
    click.echo(f"{done.brought} files brought ({megabytes(done.bytes)}), {done.there} were there")


@artifacts.command()
@click.option("--remove", is_flag=True, help="Delete them; without, only name them.")
@logged
def gc(remove: bool) -> None:
    """Objects of the embedded remote (data/store) that no .dvc file of this working tree refers to."""
    from m3ae.artifacts.gc import remove as remove_objects
    from m3ae.artifacts.gc import unused
    from m3ae.artifacts.store import megabytes

    found = unused()
    for item in found:
        click.echo(f"{item.path}: {megabytes(item.size)}")
    if remove:
        remove_objects(found)
    size = megabytes(sum(item.size for item in found))
    hint = "removed" if remove else "remove them with --remove" if found else "nothing to remove"
    click.echo(f"{len(found)} objects, {size}: {hint}")


@artifacts.command()
@run_option
@logged
def adopt(run_name: str) -> None:
    """Let the workflow take what lies here as made, where it matches its records.

    Every snakemake command does so by itself. Exit code 1 if something does not match.
    """
    from m3ae.artifacts.recognise import adopt as adopt_artifacts
    from m3ae.artifacts.recognise import told

    found = adopt_artifacts(load_run(run_name))
    click.echo(f"{len(found.recognised)} results recognised, {len(found.unknown)} files without a record")
    for line in told(found.refused):
        click.echo(line)
    if found.refused:
        fail(f"{len(found.refused)} results do not match their records; they will be made again", 1)


def check(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The kinds as given. Raises UserError, with the known ones, for one that there is not."""
    from m3ae.artifacts.store import KINDS
    from m3ae.errors import UserError

    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise UserError(f"--kind {unknown[0]}: expected one of {', '.join(KINDS)}")
    return kinds
