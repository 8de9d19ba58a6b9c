"""``m3ae probes``, ``augmented``, ``detection``, ``shift``, ``robustness``, ``captions``: beyond figures."""

import click

from m3ae.cli.common import logged, model_option, run_option


@click.command()
@run_option
@model_option
@logged
def probes(run_name: str, model: str) -> None:
    """Other probes: a sweep of heads, logistic regression, nearest neighbours, few-shot.

    Needs features.safetensors and layers.safetensors; writes probes-TASK.json beside them.
    """
    from m3ae.cli.evaluate import print_record
    from m3ae.config import load_run
    from m3ae.evaluate.heads.probes import run_probes

    run = load_run(run_name)
    run_probes(run, model)
    for task in run.tasks:
        print_record(run, model, f"probes-{task}")


@click.command()
@run_option
@model_option
@logged
def augmented(run_name: str, model: str) -> None:
    """Heads on augmented images: the authors' probe as published, fine-tuning. The encoder runs each epoch.

    Needs the encoder, features.safetensors and probe-TASK.json; writes augmented-TASK.json beside them.
    """
    from m3ae.config import load_run
    from m3ae.evaluate.heads.augmented import run_augmented

    run = load_run(run_name)
    run_augmented(run, model)
    for task in run.augmented_tasks:
        print_metrics(run_name, model, f"augmented-{task}", "")


@click.command()
@run_option
@model_option
@logged
def detection(run_name: str, model: str) -> None:
    """Every out-of-distribution score: AUROC, AUPR of both sides, FPR@95.

    Needs features.safetensors and probe.safetensors; writes detection-PAIR.json beside them.
    """
    from m3ae.config import load_run
    from m3ae.evaluate.detect.detection import run_detection

    run = load_run(run_name)
    run_detection(run, model)
    for pair in run.extended.detection.pairs:
        print_metrics(run_name, model, f"detection-{pair.name}", "_auroc")


@click.command()
@run_option
@model_option
@logged
def shift(run_name: str, model: str) -> None:
    """Accuracy on corrupted images and on sets that others took.

    Needs the encoder and probe.safetensors; writes shift-TASK.json beside them.
    """
    from m3ae.config import load_run
    from m3ae.evaluate.shift.shifted import run_shift

    run = load_run(run_name)
    run_shift(run, model)
    for task in run.tasks:
        print_metrics(run_name, model, f"shift-{task}", "")


@click.command()
@run_option
@model_option
@logged
def robustness(run_name: str, model: str) -> None:
    """Accuracy of the probe under attack, at growing radii; a killed run goes on after its last batch.

    Needs the encoder and probe.safetensors; writes robustness.json beside them.
    """
    from m3ae.config import load_run
    from m3ae.evaluate.attack.robustness import run_robustness

    run_robustness(load_run(run_name), model)
    print_metrics(run_name, model, "robustness", "")


@click.command()
@run_option
@model_option
@logged
def captions(run_name: str, model: str) -> None:
    """The text side: words from images, retrieval, questions, text and joint features.

    Needs the encoder, both splits of clean shards and their tokens; writes captions.json.
    """
    from m3ae.config import load_run
    from m3ae.evaluate.language.captions import run_language

    run_language(load_run(run_name), model)
    print_metrics(run_name, model, "captions", "")


def print_metrics(run_name: str, model: str, name: str, ending: str) -> None:
    """A line per metric whose name ends so."""
    from m3ae.config import load_run
    from m3ae.records import read_record

    record = read_record(load_run(run_name).paths.record(model, name))
    for metric, result in record.metrics.items():
        if metric.endswith(ending):
            ends = f"[{result.low:.1f}, {result.high:.1f}]"
            click.echo(f"{model} {name}: {metric} {result.value:.1f} {result.unit} {ends}")
