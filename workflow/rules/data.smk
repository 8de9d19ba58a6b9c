"""From lists on the web to clean shards, tokens and checked evaluation sets."""


rule source:
    """Write the lists `url<TAB>caption`; `tiny` also makes the pictures and evaluation sets."""
    output:
        train="data/{run}/source/train.tsv",
        heldout="data/{run}/source/heldout.tsv",
    log:
        "logs/{run}/source.log",
    params:
        stage=run.stage("source"),
    shell:
        "m3ae data source --run {wildcards.run} --log {log}"


rule download:
    """Download the images of a list with img2dataset; goes on where it was stopped."""
    input:
        "data/{run}/source/{split}.tsv",
    output:
        "data/{run}/raw/{split}.json",  # the shards beside it are not outputs: they survive a failure
    log:
        "logs/{run}/download-{split}.log",
    retries: 2
    threads: 1  # shards at a time, sixteen connections each: set-threads in the profile
    params:
        stage=run.stage("download"),
    shell:
        "m3ae data download --run {wildcards.run} --split {wildcards.split}"
        " --processes {threads} --log {log}"


rule clean:
    """Decode, check and deduplicate every sample; write clean shards with a manifest."""
    input:
        "data/{run}/raw/{split}.json",
    output:
        manifest="data/{run}/shards/{split}/manifest.json",
        index="data/{run}/shards/{split}/index.parquet",
    log:
        "logs/{run}/clean-{split}.log",
    params:
        stage=run.stage("clean"),
    shell:
        "m3ae data clean --run {wildcards.run} --split {wildcards.split} --log {log}"


rule tokens:
    """Train the tokenizer on the training captions and cut every caption into word pieces."""
    input:
        train="data/{run}/shards/train/manifest.json",
        heldout="data/{run}/shards/heldout/manifest.json",
    output:
        tokenizer="data/{run}/tokens/tokenizer.json",
        train="data/{run}/tokens/train.arrow",
        heldout="data/{run}/tokens/heldout.arrow",
    log:
        "logs/{run}/tokens.log",
    params:
        stage=run.stage("tokens"),
    shell:
        "m3ae data tokens --run {wildcards.run} --log {log}"


rule evalset:
    """Check an evaluation set against the registry: counts, checksums, labels."""
    input:
        lambda w: rules.source.output.train if w.dataset in made_here else [],
    output:
        "data/{run}/evalsets/{dataset}.json",
    log:
        "logs/{run}/evalset-{dataset}.log",
    params:
        stage=lambda w: evalset_stage(run, w.dataset),
    shell:
        "m3ae data evalset --run {wildcards.run} --dataset {wildcards.dataset} --log {log}"
