"""``m3ae pretrain``."""

from pathlib import Path
from typing import Any

import click

from m3ae.cli.common import logged, model_option, run_option


@click.command()
@run_option
@model_option
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Processes of each rank that decode and augment ahead of the step.",
)
@click.option(
    "--device-batch",
    type=click.IntRange(min=1),
    help="Most samples that a device takes in one pass; gradients of more are accumulated "
    "(default: its whole share of the batch).",
)
@click.option(
    "--parallel",
    type=click.Choice(["ddp", "fsdp"]),
    default="ddp",
    show_default=True,
    help="Several ranks hold a copy of the model each, or a part of it each.",
)
@click.option(
    "--recompute", is_flag=True, help="Activation checkpointing: less memory, about a third more work."
)
@click.option(
    "--compile/--no-compile",
    default=None,
    help="Compile the transformer's blocks (default: on a GPU alone).",
)
@click.option(
    "--tensorboard", type=click.Path(path_type=Path), help="Also write TensorBoard's event files to FOLDER."
)
@logged
def pretrain(run_name: str, model: str, **options: Any) -> None:
    """Train one encoder; a killed run goes on from its last checkpoint.

    Writes results/RUN/MODEL/{encoder.safetensors, steps.jsonl, pretrain.json}, pictures to
    logs/RUN/MODEL/pictures; the state of unfinished training lies in runs/RUN/MODEL. SIGTERM and SIGUSR1
    save within a step and exit with 75 ("again").

    On several devices: torchrun --standalone --nproc-per-node=4 --no-python -- m3ae pretrain ... The batch is
    global: the samples, their order and the losses are those of one device. M3AE_COLLECTIVE_TIMEOUT_S
    (600) is how long a rank waits for the others.
    """
    from m3ae.config import load_run
    from m3ae.train.loop import pretrain as train
    from m3ae.train.machine import Machine
    from m3ae.train.processor import prepare_processor

    prepare_processor()
    train(load_run(run_name), model, Machine(**options))
