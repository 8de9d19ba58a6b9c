"""Masked autoencoding of pairs, and the baselines."""

from m3ae.config import launch
from m3ae.config.inputs import beside_files, training_files


rule pretrain:
    """Train one encoder. Re-entrant: a killed job goes on from its last checkpoint in runs/."""
    input:
        needs.of(
            "results/{run}/{model}/encoder.safetensors",
            lambda w: training_files(run, w.model).values(),
            lambda w: map(ancient, beside_files(run, w.model)),
        ),
    output:
        encoder="results/{run}/{model}/encoder.safetensors",
        steps="results/{run}/{model}/steps.jsonl",
        record="results/{run}/{model}/pretrain.json",
    log:
        "logs/{run}/{model}/pretrain.log",
    retries: launch.retries(workflow)  # three, or `restarts` of the profile
    threads: 1  # of a node. One for each device computes, more decode ahead: set-threads in the profile
    params:
        stage=lambda w: run.stage("pretrain", w.model),
        # The machine, as the profile's set-resources gives it: gpu, nodes, device_batch, parallel, recompute,
        # tensorboard. Made from resources, these two are in no record: another machine plans nothing.
        m3ae=launch.command,
        options=launch.options,
    shell:
        "{params.m3ae} pretrain --run {wildcards.run} --model {wildcards.model}"
        " {params.options} --log {log}"


# What a profile gives to `pretrain` (eight GPUs for a day) is for rows that train.
use rule pretrain as given_encoder with:
    wildcard_constraints:
        model="|".join(launch.given(run)) or "-",


ruleorder: given_encoder > pretrain


rule heldout:
    """Errors on hidden patches and words of held-out pairs, with right and wrong partners."""
    input:
        needs.of(
            "results/{run}/{model}/heldout.json",
            "results/{run}/{model}/encoder.safetensors",
            "data/{run}/shards/heldout/manifest.json",
            "data/{run}/tokens/heldout.arrow",
            [
                f"data/{{run}}/evalsets/{split.dataset}.json"
                for split in run.settings.heldout.images
            ],
            images if run.settings.heldout.images else [],
        ),
    output:
        "results/{run}/{model}/heldout.json",
    log:
        "logs/{run}/{model}/heldout.log",
    params:
        stage=run.stage("heldout"),
    shell:
        "m3ae heldout --run {wildcards.run} --model {wildcards.model} --log {log}"
