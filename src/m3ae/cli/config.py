"""``m3ae config``: show, check and compare run configurations."""

import click

from m3ae.cli.common import logged, run_option


@click.group()
def config() -> None:
    """Show, check and compare run configurations."""


@config.command()
@run_option
@logged
def show(run_name: str) -> None:
    """Print a run's settings in full, with everything that it extends."""
    import yaml

    from m3ae.config import load_run

    click.echo(yaml.safe_dump(load_run(run_name).settings.plain(), sort_keys=False, width=110), nl=False)


@config.command()
@run_option
@logged
def check(run_name: str) -> None:
    """Check a run's file: unknown keys, wrong types, impossible values."""
    from m3ae.config import load_run

    run = load_run(run_name)
    click.echo(f"{run_name}: valid; {len(run.models)} models, {len(run.tasks)} probe tasks")


@config.command()
@logged
def schema() -> None:
    """Print the JSON schema of a run's file (config/schema.json holds it for editors)."""
    from m3ae.config.schema import schema_text

    click.echo(schema_text(), nl=False)


@config.command()
@run_option
@logged
def diff(run_name: str) -> None:
    """Print how a run differs from `paper`."""
    from m3ae.config import load_run
    from m3ae.report.differences import differences

    click.echo(differences(load_run(run_name)).to_markdown(index=False, disable_numparse=True))
