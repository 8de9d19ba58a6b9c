"""Masked autoencoding of pairs."""


rule pretrain:
    """Train one encoder. Re-entrant: a killed job goes on from its last checkpoint in runs/."""
    input:
        manifest="data/{run}/shards/train/manifest.json",
        tokens="data/{run}/tokens/train.arrow",
        images=(
            "data/{run}/shards/images/manifest.json"
            if run.settings.pretrain.mixture.images
            else []
        ),
        texts=(
            "data/{run}/tokens/texts.arrow"
            if run.settings.pretrain.mixture.texts
            else []
        ),
    output:
        encoder="results/{run}/{model}/encoder.safetensors",
        steps="results/{run}/{model}/steps.jsonl",
        record="results/{run}/{model}/pretrain.json",
    log:
        "logs/{run}/{model}/pretrain.log",
    retries: 3
    threads: 1  # one computes; more decode ahead, as a GPU needs: set-threads in the profile
    params:
        stage=lambda w: run.stage("pretrain", w.model),
    shell:
        "m3ae pretrain --run {wildcards.run} --model {wildcards.model}"
        " --workers $(({threads} - 1)) --log {log}"


rule heldout:
    """Errors on hidden patches and words of held-out pairs, with right and wrong partners."""
    input:
        encoder="results/{run}/{model}/encoder.safetensors",
        manifest="data/{run}/shards/heldout/manifest.json",
        tokens="data/{run}/tokens/heldout.arrow",
    output:
        "results/{run}/{model}/heldout.json",
    log:
        "logs/{run}/{model}/heldout.log",
    params:
        stage=run.stage("heldout"),
    shell:
        "m3ae heldout --run {wildcards.run} --model {wildcards.model} --log {log}"
