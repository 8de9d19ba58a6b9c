"""``m3ae pretrain``."""

import click

from m3ae.cli.common import logged, model_option, run_option


@click.command()
@run_option
@model_option
@click.option(
    "--workers", default=0, show_default=True, help="Processes that decode and augment ahead of the step."
)
@logged
def pretrain(run_name: str, model: str, workers: int) -> None:
    """Train one encoder; a killed run goes on from its last checkpoint.

    Writes results/RUN/MODEL/{encoder.safetensors, steps.jsonl, pretrain.json}; the state of unfinished
    training lies in runs/RUN/MODEL. SIGTERM and SIGUSR1 save and exit with 75 ("again").
    """
    from m3ae.config import load_run
    from m3ae.train.loop import pretrain as train

    run = load_run(run_name)
    train(run, model, workers)
    click.echo(f"{model}: trained; {run.paths.encoder(model)}")
