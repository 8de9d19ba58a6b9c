"""``m3ae heldout``, ``features``, ``pairs``, ``probe``, ``ood``, ``concepts``: with a frozen encoder."""

from typing import TYPE_CHECKING

import click

from m3ae.cli.common import logged, model_option, run_option

if TYPE_CHECKING:
    from m3ae.config import Run


@click.command()
@run_option
@model_option
@logged
def heldout(run_name: str, model: str) -> None:
    """Errors on hidden patches and words of held-out pairs.

    Needs the encoder and the held-out shards; writes results/RUN/MODEL/heldout.json.
    """
    from m3ae.config import load_run
    from m3ae.evaluate.heldout import run_heldout

    run = load_run(run_name)
    run_heldout(run, model)
    print_record(run, model, "heldout")


@click.command()
@run_option
@model_option
@logged
def features(run_name: str, model: str) -> None:
    """Pass every evaluation set through a frozen encoder, once.

    Needs the encoder and the checked evaluation sets; writes results/RUN/MODEL/features.safetensors.
    """
    from m3ae.config import load_run
    from m3ae.evaluate.features import extract_features
    from m3ae.records import read_record

    run = load_run(run_name)
    extract_features(run, model)
    for split, shape in read_record(run.paths.record(model, "features")).details.items():
        if "/" in split:  # else what the record says of the files
            click.echo(f"{model} {split}: {shape['count']} images, {shape['dim']} features each")


@click.command()
@run_option
@model_option
@logged
def pairs(run_name: str, model: str) -> None:
    """Pass the run's own pairs through a frozen encoder, once: images, captions, both together.

    Needs the encoder, both splits of clean shards, and their tokens where captions are read; writes
    results/RUN/MODEL/pairs.safetensors. `concepts` and `captions` do this themselves where it is missing.
    """
    from m3ae.config import load_run
    from m3ae.evaluate.pairs.extract import extract_pairs
    from m3ae.evaluate.pairs.stored import PairFeatures

    run = load_run(run_name)
    extract_pairs(run, model)
    for split, seen, count, width in PairFeatures(run, model).shapes():
        click.echo(f"{model} {split}: {count} pairs as {seen}, {width} features each")


@click.command()
@run_option
@model_option
@logged
def probe(run_name: str, model: str) -> None:
    """Linear probes on stored features, one per task of the run.

    Needs features.safetensors; writes probe-TASK.json and probe.safetensors beside it.
    """
    from m3ae.config import load_run
    from m3ae.evaluate.probe import run_probe

    run = load_run(run_name)
    run_probe(run, model)
    for task in run.tasks:
        print_record(run, model, f"probe-{task}")


@click.command()
@run_option
@model_option
@logged
def ood(run_name: str, model: str) -> None:
    """Out-of-distribution scores on stored features, as in Figure 6.

    Needs features.safetensors and probe.safetensors; writes ood-PAIR.json beside them.
    """
    from m3ae.config import load_run
    from m3ae.evaluate.ood import run_ood

    run = load_run(run_name)
    run_ood(run, model)
    for pair in run.ood_pairs:
        print_record(run, model, f"ood-{pair}")


@click.command()
@run_option
@model_option
@logged
def concepts(run_name: str, model: str) -> None:
    """What captions speak of, read off the frozen encoder: mean average precision over concepts.

    Needs the encoder and both splits of clean shards (and what `pairs` needs); writes
    results/RUN/MODEL/concepts.json.
    """
    from m3ae.config import load_run
    from m3ae.evaluate.concepts import run_concepts

    run = load_run(run_name)
    run_concepts(run, model)
    print_record(run, model, "concepts")


def print_record(run: "Run", model: str, name: str) -> None:
    """One line per metric: `m3ae-b100 digit: accuracy 41.2 % [39.0, 43.4] (chance 12.5 %)`."""
    from m3ae.records import read_record

    record = read_record(run.paths.record(model, name))
    chance = f" (chance {record.details['chance']:.1f} %)" if "chance" in record.details else ""
    for metric, result in record.metrics.items():
        digits = 1 if result.unit == "%" else 4
        value, low, high = (f"{number:.{digits}f}" for number in (result.value, result.low, result.high))
        subject = record.subject or record.stage
        click.echo(f"{model} {subject}: {metric} {value} {result.unit} [{low}, {high}]{chance}")
