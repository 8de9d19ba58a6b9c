"""``m3ae pointing``, ``clusters``: the numbers behind Figures 7 to 9."""

import click

from m3ae.cli.common import logged, model_option, run_option


@click.command()
@run_option
@model_option
@logged
def pointing(run_name: str, model: str) -> None:
    """Whether words look at what they name: the most attended patch against the true place of the digit.

    Only for scenes that are made here (tiny). Needs the encoder of an M3AE, the held-out shards and their
    tokens; writes results/RUN/MODEL/pointing.json.
    """
    from m3ae.cli.extended import print_metrics
    from m3ae.config import load_run
    from m3ae.evaluate.attention.pointing import run_pointing

    run_pointing(load_run(run_name), model)
    print_metrics(run_name, model, "pointing", "")


@click.command()
@run_option
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Model of the run's grid; may be given several times. Default: the two of Figure 9.",
)
@logged
def clusters(run_name: str, models: tuple[str, ...]) -> None:
    """How classes lie in the stored features: nearest neighbours, silhouette, and a map by t-SNE.

    Needs features.safetensors of each model; writes results/RUN/MODEL/clusters.json.
    """
    from m3ae.cli.evaluate import print_record
    from m3ae.config import load_run
    from m3ae.evaluate.clusters import run_clusters

    run = load_run(run_name)
    run_clusters(run, models or run.clustered)
    for model in models or run.clustered:
        print_record(run, model, "clusters")
