"""``m3ae doctor``: before a long run."""

import json
from typing import Any

import click

from m3ae.cli.common import logged, run_option


@click.command()
@run_option
@click.option("--model", help="Model of the run's grid (default: the first that reads words).")
@click.option(
    "--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes, as in pretrain."
)
@click.option("--device-batch", type=click.IntRange(min=1), help="Most samples of a pass, as in pretrain.")
@click.option("--recompute", is_flag=True, help="Activation checkpointing, as in pretrain.")
@click.option("--compile/--no-compile", default=None, help="Compile the blocks, as in pretrain.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=5,
    show_default=True,
    help="How long data, steps, and both together are measured, each.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@logged
def doctor(run_name: str, model: str | None, seconds: float, as_json: bool, **options: Any) -> None:
    """Measure this machine before a long training: what binds, how long it will take, what to change.

    Times storage, decoding, the copy to the device and the step; checks memory, free disk and the
    environment. Exit code 1 if something would stop the run. Trains nothing, writes nothing.
    """
    from m3ae.config import load_run
    from m3ae.train.doctor.examine import Doctor
    from m3ae.train.doctor.render import render
    from m3ae.train.machine import Machine

    run = load_run(run_name)
    name = model or next(iter(run.models_of("m3ae")), run.models[0])
    run.model(name)  # a wrong name is the first thing to say
    found = Doctor(run, name, Machine(**options), seconds, say).examine()
    click.echo(json.dumps(found.plain(), indent=1) if as_json else render(found))
    if not found.is_ready:
        raise SystemExit(1)


def say(what: str) -> None:
    """What goes on, on stderr."""
    click.echo(f"m3ae: {what} ...", err=True)
